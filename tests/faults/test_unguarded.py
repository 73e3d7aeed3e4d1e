"""Each guard that a control switches off is still there to be switched off."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults.unguarded import switch_off


def test_the_guards_code_is_where_the_controls_replace_it():
    """In a process of its own, which is unguarded afterwards."""
    code = "from tests.faults.unguarded import GUARDS, switch_off; [switch_off(guard) for guard in GUARDS]"
    command = [sys.executable, "-c", code]
    switched = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert switched.returncode == 0, switched.stderr


def test_an_unknown_guard_is_refused():
    with pytest.raises(ValueError, match="no guard 'nothing'"):
        switch_off("nothing")
