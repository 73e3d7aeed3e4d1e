"""Terminal: an operator who runs a worker in a shell must not have words put in his mouth."""

from __future__ import annotations

from tests.isolation.case import EVERY_TIER, Case, Refused
from tests.isolation.guards import Guard
from tests.isolation.terminals import another_terminal, group_hurt, legacy_tiocsti, typed, written

SESSION = (Guard.SESSION, Guard.SECCOMP)
"""Either alone holds: no controlling terminal, and the call is refused."""


def _in_terminal(
    name: str,
    attack: str,
    guards: tuple[Guard, ...] = SESSION,
    *,
    weakened: tuple[Guard, ...] = (),
    no_control: Refused = legacy_tiocsti,
) -> Case:
    return Case(
        name,
        "terminal",
        guards,
        attack,
        escaped=typed,
        tiers=EVERY_TIER,
        weakened=weakened,
        in_terminal=True,
        no_control=no_control,
    )


TYPE = """\
terminal = os.open('/dev/tty', os.O_RDWR)
for letter in b'typed\\n':
    wanted(libc.ioctl(terminal, ctypes.c_ulong({request}), ctypes.byref(ctypes.c_char(letter))), 'TIOCSTI')
"""

CASES = (
    _in_terminal("types into the worker's terminal", TYPE.format(request="0x5412")),
    _in_terminal(
        "types into the worker's terminal, past the lost session",
        TYPE.format(request="0x5412"),
        (Guard.SECCOMP,),
        weakened=(Guard.SESSION,),
    ),
    _in_terminal(
        "types into it by a request whose upper half a filter may overlook",
        TYPE.format(request="0x100005412"),
        (Guard.SECCOMP,),
        weakened=(Guard.SESSION,),
    ),
    Case(
        "opens the worker's terminal",
        "terminal",
        (Guard.SESSION,),
        """\
        os.open('/dev/tty', os.O_RDWR)
        escaped('/dev/tty')
        """,
        in_terminal=True,
        tiers=EVERY_TIER,
    ),
    Case(
        "writes to the worker's terminal",
        "terminal",
        (Guard.SESSION,),
        """\
        os.write(os.open('/dev/tty', os.O_RDWR), b'written')
        """,
        in_terminal=True,
        escaped=written,
    ),
    Case(
        "has a terminal as its input or output",
        "terminal",
        (Guard.STDIN,),
        """\
        for descriptor in range(3):
            if os.isatty(descriptor):
                escaped(f'descriptor {descriptor}')
        """,
        in_terminal=True,
    ),
    Case(
        "signals the group the worker is in",
        "terminal",
        (Guard.SESSION,),
        """\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(0, signal.SIGTERM)
        """,
        in_terminal=True,
        escaped=group_hurt,
    ),
    Case(
        "writes to another terminal of the host",
        "terminal",
        (Guard.DEVICES,),
        """\
        os.write(os.open(facts['terminal'], os.O_RDWR | os.O_NOCTTY), b'written')
        """,
        prepare=another_terminal,
        escaped=written,
    ),
    Case(
        "finds terminals of the host",
        "terminal",
        (Guard.DEVICES,),
        """\
        for name in os.listdir('/dev/pts'):
            if name.isdigit():
                escaped(name)
        """,
        prepare=another_terminal,
    ),
)
