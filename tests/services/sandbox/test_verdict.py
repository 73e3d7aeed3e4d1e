"""From what was seen of a run to why it ended."""

import pytest

from penstock.errors import SandboxFailed
from penstock_services.sandbox import load_policies
from penstock_services.sandbox.groups import Counts
from penstock_services.sandbox.verdict import Ending, Seen, ending

FREE = load_policies()["free"]
EXIT = b'{ "child-pid": 5 }\n{ "exit-code": %d }\n'


def seen(code: int | None, *, oom=0, refused=0, timed_out=False, full=False, wait=0, output=b"") -> Seen:
    counts = Counts(0.0, 0, oom, refused)
    return Seen(timed_out, full, counts, b'{ "child-pid": 5 }\n' if code is None else EXIT % code, wait, output)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (seen(0), Ending("completed", 0, None)),
        (seen(3), Ending("completed", 3, None)),
        (seen(137), Ending("killed", None, 9)),
        (seen(143), Ending("killed", None, 15)),
        (seen(159), Ending("policy_denied", None, 31)),
        (seen(None, timed_out=True, wait=-9), Ending("timed_out", None, 9)),
        (seen(137, oom=1), Ending("out_of_memory", None, 9)),
        (seen(1, oom=1), Ending("out_of_memory", 1, None)),
        (seen(None, oom=1, wait=-9), Ending("out_of_memory", None, 9)),
        (seen(0, refused=2), Ending("too_many_processes", 0, None)),
        (seen(1, full=True), Ending("quota_exceeded", 1, None)),
        (seen(0, full=True), Ending("completed", 0, None)),
        (seen(None, wait=-9), Ending("killed", None, 9)),
        (seen(None, timed_out=True, oom=1, wait=-9), Ending("timed_out", None, 9)),
    ],
)
def test_the_limit_that_ended_a_command_is_named(what, expected):
    assert ending(FREE, ["x"], what) == expected


def test_a_command_the_tier_lacks_is_denied_and_another_unknown_one_is_not_found():
    missing = seen(None, wait=1, output=b"bwrap: execvp x: No such file or directory\n")
    assert ending(FREE, ["curl"], missing) == Ending("policy_denied", 127, None)
    assert ending(FREE, ["/usr/bin/curl"], missing) == Ending("policy_denied", 127, None)
    assert ending(FREE, ["nope"], missing) == Ending("completed", 127, None)


def test_a_sandbox_that_could_not_be_set_up_is_no_outcome():
    with pytest.raises(SandboxFailed, match="Can't mkdir"):
        ending(FREE, ["true"], seen(None, wait=1, output=b"bwrap: Can't mkdir /x: Permission denied"))
