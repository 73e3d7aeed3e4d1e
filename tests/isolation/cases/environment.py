"""Environment: secrets planted in the worker, wherever a process inherits something from its parent."""

from __future__ import annotations

import os
import socket

from tests.isolation.case import EVERY_TIER, Case
from tests.isolation.evidence import heard, secret_read
from tests.isolation.guards import Guard
from tests.isolation.scene import Scene

ENVIRONMENT = (Guard.ENVIRONMENT,)
DESCRIPTORS = (Guard.DESCRIPTORS,)


def _variable(scene: Scene) -> None:
    scene.environment["PENSTOCK_PROVIDER_KEY"] = scene.secret


def _loader(scene: Scene) -> None:
    """What a loader's variable would make every program load; it is not there, and ld.so says so."""
    scene.environment["LD_PRELOAD"] = f"/{scene.secret}.so"


def _file(scene: Scene) -> None:
    scene.descriptors.append(os.open(scene.canary, os.O_RDONLY))


def _folder(scene: Scene) -> None:
    scene.descriptors.append(os.open(scene.outside, os.O_RDONLY))


def _connection(scene: Scene) -> None:
    """Stands for the worker's connection to a broker: what is written to it arrives outside."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    scene.listening["connection"] = ours
    scene.descriptors.append(theirs.detach())


def _standard_input(scene: Scene) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, scene.secret.encode())
    os.close(theirs)
    scene.worker_stdin = ours
    scene.closing.callback(os.close, ours)


def _group(scene: Scene) -> None:
    """A file for a group the worker is in."""
    scene.groups = [4242]
    kept = scene.workspace / "kept"
    kept.write_text(scene.secret)
    os.chown(kept, 0, 4242)
    kept.chmod(0o640)


def _where(scene: Scene) -> None:
    scene.cwd = scene.outside


def _credentials(scene: Scene) -> None:
    """A worker's files, in its home and beside its code."""
    home = scene.outside / "worker"
    home.mkdir()
    (home / ".env").write_text(f"PENSTOCK_PROVIDER_KEY={scene.secret}")
    (home / ".env").chmod(0o644)
    scene.facts["home"] = str(home)


def _victims_arguments(scene: Scene) -> None:
    scene.start_victim()


EVERY_DESCRIPTOR = """\
for name in os.listdir('/proc/self/fd'):
    number = int(name)
    if number > 2:
        try:
            {action}
        except OSError as error:
            refused(error)
"""

CASES = (
    Case(
        "prints its environment",
        "environment",
        ENVIRONMENT,
        "env",
        "sh",
        prepare=_variable,
        escaped=secret_read,
        tiers=EVERY_TIER,
    ),
    Case(
        "reads its own /proc/self/environ",
        "environment",
        ENVIRONMENT,
        "cat /proc/self/environ",
        "sh",
        prepare=_variable,
        escaped=secret_read,
    ),
    Case(
        "reads /proc/1/environ, which bwrap's init keeps",
        "environment",
        ENVIRONMENT,
        "cat /proc/1/environ",
        "sh",
        prepare=_variable,
        escaped=secret_read,
        tiers=EVERY_TIER,
    ),
    Case(
        "reads the environment of every process",
        "environment",
        ENVIRONMENT,
        "cat /proc/[0-9]*/environ",
        "sh",
        prepare=_variable,
        escaped=secret_read,
    ),
    Case(
        "reads the first environment on its stack",
        "environment",
        ENVIRONMENT,
        """\
        for line in open('/proc/self/maps'):
            if '[stack]' in line:
                start, end = (int(part, 16) for part in line.split()[0].split('-'))
        memory = open('/proc/self/mem', 'rb', buffering=0)
        memory.seek(start)
        print(memory.read(end - start).replace(b'\\0', b' ').decode(errors='replace')[-20000:])
        """,
        prepare=_variable,
        escaped=secret_read,
    ),
    Case(
        "inherits what the loader should load first",
        "environment",
        ENVIRONMENT,
        "env",
        "sh",
        prepare=_loader,
        escaped=secret_read,
    ),
    Case(
        "reads a file the worker has open",
        "environment",
        DESCRIPTORS,
        EVERY_DESCRIPTOR.format(action="print(os.pread(number, 100, 0))"),
        prepare=_file,
        escaped=secret_read,
        tiers=EVERY_TIER,
    ),
    Case(
        "opens a file of the worker anew through /proc/self/fd",
        "environment",
        DESCRIPTORS,
        EVERY_DESCRIPTOR.format(action="print(open(f'/proc/self/fd/{number}').read())"),
        prepare=_file,
        escaped=secret_read,
    ),
    Case(
        "opens files from a folder the worker has open",
        "environment",
        DESCRIPTORS,
        EVERY_DESCRIPTOR.format(action="print(os.read(os.open('canary', os.O_RDONLY, dir_fd=number), 100))"),
        prepare=_folder,
        escaped=secret_read,
        tiers=EVERY_TIER,
    ),
    Case(
        "climbs out from a folder the worker has open",
        "environment",
        DESCRIPTORS,
        EVERY_DESCRIPTOR.format(action="os.fchdir(number); print(open('../' * 40 + facts['canary'][1:]).read())"),
        prepare=_folder,
        escaped=secret_read,
    ),
    Case(
        "writes to a connection of the worker",
        "environment",
        DESCRIPTORS,
        EVERY_DESCRIPTOR.format(action="os.write(number, b'forged')"),
        prepare=_connection,
        escaped=heard,
        tiers=EVERY_TIER,
    ),
    Case(
        "reads the worker's standard input",
        "environment",
        (Guard.STDIN,),
        "cat",
        "sh",
        prepare=_standard_input,
        escaped=secret_read,
        tiers=EVERY_TIER,
    ),
    Case(
        "reads what the worker's groups may read",
        "environment",
        (Guard.GROUPS,),
        "cat kept",
        "sh",
        prepare=_group,
        escaped=secret_read,
        tiers=EVERY_TIER,
    ),
    Case(
        "starts where the worker is",
        "environment",
        (Guard.BUBBLEWRAP,),
        "cat canary",
        "sh",
        prepare=_where,
        escaped=secret_read,
    ),
    Case(
        "reads the worker's settings file",
        "environment",
        (Guard.PATHS,),
        "cat $home/.env",
        "sh",
        prepare=_credentials,
        escaped=secret_read,
        tiers=EVERY_TIER,
    ),
    Case(
        "reads the arguments of the host's processes",
        "environment",
        (Guard.PROCESSES_VIEW,),
        """\
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                line = open(f'/proc/{pid}/cmdline').read()
            except OSError:
                continue
            if line.startswith('/bin/sleep\\x00300'):
                escaped(line.replace('\\x00', ' '))
        """,
        prepare=_victims_arguments,
    ),
    Case(
        "learns the host's name",
        "environment",
        (Guard.HOSTNAME,),
        """\
        if os.uname().nodename == facts['hostname']:
            escaped(facts['hostname'])
        """,
        prepare=lambda scene: scene.facts.update(hostname=socket.gethostname()),
        tiers=EVERY_TIER,
    ),
    Case(
        "sees the control groups of the host",
        "environment",
        (Guard.CGROUP_VIEW,),
        """\
        for line in open('/proc/self/cgroup'):
            if line.split(':', 2)[2].strip() not in ('/', ''):
                escaped(line.strip())
        """,
    ),
    Case(
        "inherits any descriptor but its three",
        "environment",
        DESCRIPTORS,
        """\
        for number in range(3, 1024):
            try:
                os.fstat(number)
                escaped(f'descriptor {number}')
            except OSError:
                pass
        """,
        prepare=_file,
        tiers=EVERY_TIER,
    ),
)
