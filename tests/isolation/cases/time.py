"""Time: every way to live beyond the limit. How exact it is, is a figure of the benchmark."""

from __future__ import annotations

from tests.isolation.case import EVERY_TIER, Case
from tests.isolation.evidence import alive
from tests.isolation.guards import Guard

LIMIT_S = 0.6
"""Python takes a tenth of it to start where the machine is quiet."""


def _stays(name: str, attack: str, *, tiers: tuple[str, ...] = ("free",)) -> Case:
    """It would end by itself after 30 s, so that the control stays small."""
    return Case(
        name,
        "time",
        (Guard.TIMEOUT,),
        attack,
        escaped=alive,
        ends=("timed_out",),
        timeout_s=LIMIT_S,
        tiers=tiers,
    )


CASES = (
    _stays("sleeps", "time.sleep(30)", tiers=EVERY_TIER),
    _stays("computes", "end = time.monotonic() + 30\nwhile time.monotonic() < end:\n    pass"),
    _stays(
        "ignores every signal that can be ignored",
        """\
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        time.sleep(30)
        """,
    ),
    _stays(
        "answers the signal to end by starting anew",
        """\
        def again(*_):
            if os.fork() == 0:
                os.setsid()
                time.sleep(30)
        signal.signal(signal.SIGTERM, again)
        signal.signal(signal.SIGINT, again)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            time.sleep(1)
        """,
    ),
    _stays("stops itself", "os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(30)"),
    _stays("stops its whole group", "os.kill(0, signal.SIGSTOP)\ntime.sleep(30)"),
    _stays(
        "computes in as many processes as it may",
        """\
        for _ in range(3):
            attempt(os.fork)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            pass
        """,
    ),
    _stays(
        "closes its output and stays",
        """\
        for descriptor in range(3):
            os.close(descriptor)
        time.sleep(30)
        """,
    ),
    _stays(
        "writes without end",
        """\
        end = time.monotonic() + 30
        while time.monotonic() < end:
            os.write(1, b'x' * 65536)
        """,
    ),
    _stays(
        "reads input that never comes to an end",
        """\
        read, write = os.pipe()
        import select
        select.select([read], [], [], 30)
        """,
    ),
    _stays(
        "runs away by forking and ending, again and again",
        """\
        end = time.monotonic() + 30
        os.setsid() if os.fork() == 0 else time.sleep(30)
        while time.monotonic() < end:
            if attempt(os.fork):
                os._exit(0)
            time.sleep(0.001)
        """,
    ),
    _stays(
        "waits for a child that sleeps",
        """\
        if os.fork() == 0:
            time.sleep(30)
        os.wait()
        """,
    ),
    _stays(
        "waits in the kernel where signals come late",
        """\
        child = syscall('clone', 0x4000 | signal.SIGCHLD, 0, 0, 0, 0)  # CLONE_VFORK: sleeps until the child ends
        if child == 0:
            time.sleep(30)
            os._exit(0)
        """,
    ),
)
