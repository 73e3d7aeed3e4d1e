"""Tenants: two sandboxes at once on one host, each with a workspace, neither finding the other's."""

from __future__ import annotations

import time

from tests.isolation.case import EVERY_TIER, Case, Evidence, Prepare, nothing
from tests.isolation.evidence import neighbour_killed, neighbour_touched, said_so, secret_read
from tests.isolation.guards import Guard
from tests.isolation.ipc import choose_key
from tests.isolation.scene import Scene

APART = (Guard.PATHS, Guard.UID)
"""Either alone holds: the other folder is not there, and it is somebody else's."""
SEEN = (Guard.PATHS,)
"""All workspaces can be seen, as after a mistake in a policy: their owners still differ."""
UID = (Guard.UID,)


def _base(scene: Scene) -> None:
    scene.show_all_workspaces()


def _sibling(scene: Scene) -> None:
    scene.show_all_workspaces()
    (scene.sibling / "kept").write_text(scene.secret)
    scene.facts["sibling"] = str(scene.sibling)


def _made_and_removed(scene: Scene) -> None:
    """Workspaces of the neighbour come and go, each with the secret in it for a moment."""
    for number in range(12):
        workspace = scene.make_neighbours(f"new-{number}")
        kept = workspace / "kept"
        kept.write_text(scene.secret)
        time.sleep(0.02)  # an execution's life, much shortened
        scene.remove_neighbours(f"new-{number}")


def _shared_tmp(scene: Scene) -> None:
    scene.canary.write_text("")  # the secret is the neighbour's
    scene.binds = [(str(scene.outside), "/tmp")]


def _shared_shm(scene: Scene) -> None:
    scene.canary.write_text("")
    scene.binds = [(str(scene.outside), "/dev/shm")]


def _to(name: str, attack: str, escaped: Evidence = secret_read) -> tuple[Case, Case]:
    """The attack on a neighbour's folder, and the same where the folder can be seen."""
    return (
        Case(name, "tenants", APART, attack, prepare=_base, escaped=escaped, tiers=EVERY_TIER),
        Case(
            f"{name}, all folders shown to it",
            "tenants",
            UID,
            attack,
            prepare=_base,
            escaped=escaped,
            weakened=SEEN,
        ),
    )


def _beside(
    name: str,
    attack: str,
    neighbour: str,
    guards: tuple[Guard, ...],
    *,
    escaped: Evidence = said_so,
    tiers: tuple[str, ...] = ("free",),
    prepare: Prepare = nothing,
) -> Case:
    """The attack while the neighbour's own program runs."""
    return Case(
        name, "tenants", guards, attack, neighbour=neighbour, escaped=escaped, tiers=tiers, prepare=prepare
    )


LISTENS = """\
server = socket.socket({family})
server.bind({address})
server.listen()
with open('address', 'w') as file:
    json.dump(server.getsockname() if {family} != socket.AF_UNIX else '', file)
os.rename('address', 'ready')
end = time.monotonic() + 15
while time.monotonic() < end and not os.path.exists('stop'):
    time.sleep(0.01)
"""
KEEPS = """\
file = attempt(open, '{place}/kept-by-neighbour', 'w')
if file:
    print(facts['secret'], file=file, flush=True)
"""
SHARES = """\
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(facts['key'], ctypes.c_size_t(4096), 0o1666)
address = libc.shmat(segment, None, 0)
ctypes.memmove(address, facts['secret'].encode(), len(facts['secret']))
"""
WAITS = """\
open('ready', 'w').close()
end = time.monotonic() + 15
while time.monotonic() < end and not os.path.exists('stop'):
    time.sleep(0.01)
"""

CASES = (
    *_to("reads a file of another tenant", "print(open(facts['neighbour'] + '/kept').read())"),
    *_to(
        "lists another tenant's folder",
        """\
        for name in os.listdir(facts['neighbour']):
            print(name)
        print(open(os.path.join(facts['neighbour'], 'kept')).read())
        """,
    ),
    *_to(
        "reads through a link to another tenant's folder",
        """\
        os.symlink(facts['neighbour'], 'link')
        print(open('link/kept').read())
        """,
    ),
    *_to(
        "writes into another tenant's folder",
        "open(facts['neighbour'] + '/left', 'w').write('x')",
        neighbour_touched,
    ),
    *_to("deletes a file of another tenant", "os.unlink(facts['neighbour'] + '/kept')", neighbour_touched),
    *_to(
        "changes the rights of another tenant's folder", "os.chmod(facts['neighbour'], 0o777)", neighbour_touched
    ),
    *_to(
        "renames another tenant's file",
        "os.rename(facts['neighbour'] + '/kept', facts['neighbour'] + '/moved')",
        neighbour_touched,
    ),
    Case(
        "reads another execution of its own tenant, all folders shown to it",
        "tenants",
        UID,
        "print(open(facts['sibling'] + '/kept').read())",
        prepare=_sibling,
        escaped=secret_read,
        weakened=SEEN,
    ),
    Case(
        "guesses the folders of other tenants",
        "tenants",
        APART,
        """\
        names = attempt(os.listdir, facts['base']) or ['acme', 'neighbour', 'tenant']
        for tenant in names:
            for execution in attempt(os.listdir, f"{facts['base']}/{tenant}") or ['1', 'execution']:
                file = attempt(open, f"{facts['base']}/{tenant}/{execution}/kept")
                if file:
                    print(file.read())
        """,
        prepare=_base,
        escaped=secret_read,
    ),
    _beside(
        "races another tenant for each file it writes",
        """\
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            try:
                print(open(facts['neighbour'] + '/written').read())
                break
            except OSError:
                pass
        """,
        """\
        open('ready', 'w').close()
        end = time.monotonic() + 15
        while time.monotonic() < end and not os.path.exists('stop'):
            open('part', 'w').write(facts['secret'])
            os.rename('part', 'written')
            os.unlink('written')
        """,
        APART,
        escaped=secret_read,
        prepare=_base,
    ),
    _beside(
        "finds what another tenant keeps in /tmp",
        """\
        for name in os.listdir('/tmp'):
            if os.path.isfile('/tmp/' + name):
                print(open('/tmp/' + name).read())
        """,
        KEEPS.format(place="/tmp") + WAITS,
        SEEN,
        escaped=secret_read,
        prepare=_shared_tmp,
    ),
    _beside(
        "finds what another tenant keeps in /dev/shm",
        """\
        for name in os.listdir('/dev/shm'):
            print(open('/dev/shm/' + name).read())
        """,
        KEEPS.format(place="/dev/shm") + WAITS,
        SEEN,
        escaped=secret_read,
        prepare=_shared_shm,
    ),
    _beside(
        "connects to a server of another tenant",
        """\
        address = json.load(open('neighbours-address'))
        connection = socket.create_connection(tuple(address[:2]), timeout=2)
        escaped('connected')
        """,
        LISTENS.format(family="socket.AF_INET", address="('127.0.0.1', 0)"),
        (Guard.NETWORK,),
        tiers=EVERY_TIER,
    ),
    _beside(
        "connects to an IPv6 server of another tenant",
        """\
        address = json.load(open('neighbours-address'))
        connection = socket.create_connection(tuple(address[:2]), timeout=2)
        escaped('connected')
        """,
        LISTENS.format(family="socket.AF_INET6", address="('::1', 0)"),
        (Guard.NETWORK,),
    ),
    _beside(
        "connects to an abstract socket of another tenant",
        """\
        connection = socket.socket(socket.AF_UNIX)
        connection.connect('\\0name-' + str(facts['key']))
        escaped('connected')
        """,
        LISTENS.format(family="socket.AF_UNIX", address="'\\0name-' + str(facts['key'])"),
        (Guard.NETWORK,),
    ),
    _beside(
        "reads shared memory of another tenant",
        """\
        libc.shmat.restype = ctypes.c_void_p
        segment = libc.shmget(facts['key'], ctypes.c_size_t(4096), 0)
        if segment >= 0:
            print(ctypes.string_at(libc.shmat(segment, None, 0o10000), 64))
        """,
        SHARES + WAITS,
        (Guard.IPC,),
        escaped=secret_read,
        prepare=choose_key,
    ),
    _beside(
        "sees the processes of another tenant",
        """\
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                line = open(f'/proc/{pid}/cmdline').read()
            except OSError:
                continue
            print(line.replace('\\0', ' '))
        """,
        WAITS,
        (Guard.PROCESSES_VIEW,),
        escaped=secret_read,
        tiers=EVERY_TIER,
    ),
    _beside(
        "kills the processes of another tenant",
        """\
        for pid in sorted(map(int, filter(str.isdigit, os.listdir('/proc')))):
            try:
                line = open(f'/proc/{pid}/cmdline').read()
            except OSError:
                continue
            if facts['neighbours_token'] in line and facts['token'] not in line:
                attempt(os.kill, pid, signal.SIGKILL)
        """,
        WAITS,
        (Guard.PROCESSES_VIEW, Guard.UID),
        escaped=neighbour_killed,
    ),
    Case(
        "races workspaces while they are made and removed",
        "tenants",
        UID,
        """\
        end = time.monotonic() + 2.0
        found = False
        while time.monotonic() < end and not found:
            for number in range(12):
                try:
                    print(open(f"{facts['neighbour'][:-len('execution')]}new-{number}/kept").read())
                    found = True
                except OSError:
                    pass
        """,
        prepare=_base,
        meanwhile=_made_and_removed,
        escaped=secret_read,
        weakened=SEEN,
    ),
    Case(
        "sees where on the host other workspaces are mounted",
        "tenants",
        (Guard.BUBBLEWRAP,),
        """\
        for line in open('/proc/self/mountinfo'):
            if facts['other'] in line.split()[4]:
                escaped(line)
        """,
        prepare=lambda scene: scene.facts.update(other="/neighbour"),
        tiers=EVERY_TIER,
    ),
)
