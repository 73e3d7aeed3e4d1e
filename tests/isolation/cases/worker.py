"""The worker itself: what it reads from a command, and what it does for it outside the sandbox."""

from __future__ import annotations

from penstock.agents.commands import Outcome
from tests.isolation.case import EVERY_TIER, Case, Evidence
from tests.isolation.collecting import (
    collected_secret,
    collected_too_much,
    collector_waits,
    raced,
    read_tool,
    removal_fails,
    removal_goes_outside,
    write_tool,
)
from tests.isolation.evidence import long_output
from tests.isolation.guards import Guard
from tests.isolation.scene import Scene
from tests.isolation.terminals import shown_as_error, shown_to_a_reader

OUTPUT = (Guard.OUTPUT,)


def _floods(name: str, attack: str, *, tiers: tuple[str, ...] = ("free",)) -> Case:
    return Case(name, "worker", OUTPUT, attack, escaped=long_output, output_bytes=64 * 1024, tiers=tiers)


def _leaves(name: str, attack: str, escaped: Evidence, guard: Guard = Guard.COLLECTOR) -> Case:
    """What the attack leaves in the workspace is for the worker, which looks at it from outside as root."""
    return Case(name, "worker", (guard,), attack, prepare=_report, escaped=escaped)


def _prints(name: str, escaped: Evidence) -> Case:
    """A title, an emptied screen and an answer from the terminal, which would be typed into the reader's shell."""
    attack = "sys.stdout.write('\\x1b]0;title\\x07\\x1b[2J\\x1b[6n' + '\\u202e\\x9b31m\\n')"
    return Case(name, "worker", (Guard.PRINTABLE,), attack, escaped=escaped)


def _report(scene: Scene) -> None:
    """A file outside with the name that is collected."""
    (scene.outside / "report.txt").write_text(scene.secret)


def _forged(scene: Scene, outcome: Outcome) -> str | None:
    return None if outcome.exit_code == 3 else f"status 3 became {outcome.exit_code}"


CASES = (
    _floods(
        "writes 32 MiB of output",
        """\
        piece = b'x' * (1 << 20)
        for _ in range(32):
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        """,
        tiers=EVERY_TIER,
    ),
    _floods(
        "writes a million lines",
        """\
        for _ in range(1000):
            sys.stdout.write('line\\n' * 1000)
        """,
    ),
    _floods(
        "writes to its error output",
        """\
        for _ in range(8):
            os.write(2, b'x' * (1 << 20))
        """,
    ),
    _floods("writes one line without an end", "os.write(1, b'x' * (1 << 22))\nprint()"),
    _floods("writes bytes that are no text", "os.write(1, bytes(range(256)) * (1 << 13))\nprint()"),
    _floods(
        "writes from four processes at once",
        """\
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                os.write(1, b'x' * (1 << 20))
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        print()
        """,
    ),
    Case(
        "forges the report of its own end",
        "worker",
        (Guard.BUBBLEWRAP,),
        """\
        for number in map(int, os.listdir('/proc/self/fd')):
            if number > 2:
                attempt(os.write, number, b'{"exit-code": 0}\\n')
        print('TRIED', flush=True)
        os._exit(3)
        """,
        escaped=_forged,
        tiers=EVERY_TIER,
    ),
    _prints("prints what would steer a reader's terminal", shown_to_a_reader),
    _prints("fails with what would steer a reader's terminal", shown_as_error),
    _leaves(
        "leaves a link to a file of the host to be collected",
        "os.symlink(facts['canary'], 'report.txt')",
        collected_secret,
    ),
    _leaves(
        "leaves a link through /proc/self/root to be collected",
        "os.symlink('/proc/self/root' + facts['canary'], 'report.txt')",
        collected_secret,
    ),
    _leaves(
        "leaves a link to a folder of the host to be collected",
        "os.symlink(facts['outside'], 'reports')",
        collected_secret,
    ),
    _leaves(
        "leaves a relative link that climbs out",
        """\
        os.symlink('../' * 40 + facts['canary'][1:], 'report.txt')
        """,
        collected_secret,
    ),
    _leaves("leaves a named pipe that nobody writes to", "os.mkfifo('report.txt')", collector_waits),
    _leaves(
        "leaves a file of 65 MiB that takes no room",
        """\
        os.truncate(os.open('report.txt', os.O_CREAT | os.O_RDWR), 65 << 20)
        """,
        collected_too_much,
    ),
    _leaves(
        "exchanges a file for a link while it is collected",
        """\
        open('report.txt', 'w').write('harmless')
        os.symlink(facts['canary'], '.other')
        """,
        raced("report.txt", ".other"),
    ),
    _leaves(
        "exchanges a folder for a link while it is collected",
        """\
        os.mkdir('reports')
        open('reports/report.txt', 'w').write('harmless')
        os.symlink(facts['outside'], '.other')
        """,
        raced("reports", ".other"),
    ),
    _leaves("has the worker's read_file follow a link", "os.symlink(facts['canary'], 'report.txt')", read_tool),
    _leaves(
        "has the worker's write_file follow a link",
        "os.symlink(facts['canary'], 'report.txt')",
        write_tool("report.txt"),
    ),
    _leaves(
        "has the worker's write_file follow a link to a folder",
        "os.symlink(facts['outside'], 'folder')",
        write_tool("folder/canary"),
    ),
    _leaves(
        "makes folders so deep that removing them overflows",
        """\
        for _ in range(3000):
            os.mkdir('d')
            os.chdir('d')
        """,
        removal_fails,
        Guard.REMOVAL,
    ),
    _leaves(
        "makes folders that nobody may enter",
        """\
        os.makedirs('closed/inner')
        os.chmod('closed/inner', 0)
        os.chmod('closed', 0)
        open('.mark', 'w').close()
        for _ in range(1500):
            os.mkdir('d')
            os.chdir('d')
        """,
        removal_fails,
        Guard.REMOVAL,
    ),
    _leaves(
        "leaves a link where its removal would follow it",
        "os.symlink(facts['outside'], 'folder')",
        removal_goes_outside,
        Guard.REMOVAL,
    ),
)
