"""Examples of docs/producing.md and docs/following.md on the whole stack, as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Stack

pytestmark = pytest.mark.e2e
DOCS = Path(__file__).parents[2] / "docs"
PRINTED = {
    ("producing.md", "sync"): ["from a service without asyncio"],
    ("following.md", "several"): [f"{number}: ExecutionCompleted" for number in range(3)],
}


@pytest.mark.parametrize(("page", "example"), PRINTED)
def test_an_example_prints_what_it_should(stack: Stack, page: str, example: str) -> None:
    (code,) = re.findall(
        rf"<!-- example: {example} -->\n```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL
    )
    done = subprocess.run([sys.executable, "-c", code], env=stack.env, capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stdout.splitlines()) == (0, PRINTED[page, example]), done.stderr
