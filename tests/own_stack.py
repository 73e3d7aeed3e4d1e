"""A stack of its own for programs that prove or measure something on one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values

PENSTOCK = (sys.executable, "-m", "penstock")


@contextmanager
def own_stack(**environment: str) -> Iterator[None]:
    """Run `penstock up` in a temporary folder on free ports; this process then has its addresses."""
    with tempfile.TemporaryDirectory(prefix="penstock-own-") as folder:
        home = Path(folder) / ".penstock"
        os.environ.update({"PENSTOCK_HOME": str(home)} | environment)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the stack would outlive this process
        subprocess.run([*PENSTOCK, "up", "--ports", "auto"], check=True, stdout=subprocess.DEVNULL)
        try:
            os.environ.update({k: v for k, v in dotenv_values(home / "stack.env").items() if v is not None})
            yield
        finally:
            subprocess.run([*PENSTOCK, "down"], check=True, stdout=subprocess.DEVNULL)
