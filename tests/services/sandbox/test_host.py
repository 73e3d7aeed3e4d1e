"""What is missing on a host is said, with what to do."""

import os
import stat

import pytest

from penstock.errors import SandboxUnavailable
from penstock_services.sandbox.host import check_user_namespaces, found_bwrap


@pytest.fixture(autouse=True)
def forgotten():
    """What was found is remembered for the process; these tests change what there is."""
    found_bwrap.cache_clear()
    yield
    found_bwrap.cache_clear()


def test_user_namespaces_that_are_off_are_said_with_the_switch(tmp_path):
    switch = tmp_path / "max_user_namespaces"
    switch.write_text("0\n")
    with pytest.raises(SandboxUnavailable, match=r"turned off here; sysctl -w user\.max=1"):
        check_user_namespaces({switch: "user.max=1"})
    switch.write_text("15000\n")
    check_user_namespaces({switch: "user.max=1", tmp_path / "missing": "x"})


def test_a_missing_bubblewrap_is_said_with_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap"):
        found_bwrap()


def test_a_bubblewrap_that_is_too_old_is_said_with_both_versions(monkeypatch, tmp_path):
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho bubblewrap 0.4.1\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SandboxUnavailable, match=r"bubblewrap 0\.4\.1; 0\.8 or newer"):
        found_bwrap()
