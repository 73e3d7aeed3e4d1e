"""What the sandbox needs of a host."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache

from penstock.errors import SandboxUnavailable

OLDEST_BWRAP = (0, 8)
"""The first with --disable-userns."""


@cache
def found_bwrap() -> str:
    """Path of bubblewrap.

    Raises:
        SandboxUnavailable: it is missing or too old, or there is no setpriv.
    """
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxUnavailable("bubblewrap is not installed; apt-get install bubblewrap")
    if shutil.which("setpriv", path="/usr/bin") is None:
        raise SandboxUnavailable("/usr/bin/setpriv is not installed; apt-get install util-linux")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    if version < OLDEST_BWRAP:
        wanted = ".".join(map(str, OLDEST_BWRAP))
        raise SandboxUnavailable(f"{path} is {said.strip() or 'of no known version'}; {wanted} or newer is needed")
    return path
