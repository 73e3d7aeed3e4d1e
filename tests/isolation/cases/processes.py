"""Processes: too many, outliving the run, and reaching those of the host."""

from __future__ import annotations

from pathlib import Path

from tests.isolation.case import EVERY_TIER, Case, Evidence
from tests.isolation.evidence import alive, said_so, secret_read, too_many_at_once, victim_hurt
from tests.isolation.guards import Guard
from tests.isolation.scene import Scene

VIEW = (Guard.PROCESSES_VIEW,)
BUBBLEWRAP = (Guard.BUBBLEWRAP,)
"""Three of its guards hold alone: other process ids, another user namespace, the filter."""
STAYS = (Guard.PROCESSES_VIEW, Guard.KILL)
"""Either alone ends what is left: the end of the process ids' first, and the kill of the control group."""
LIMITED = ("completed", "too_many_processes")
STOPPED = ("timed_out",)


def _may_raise_limits() -> str | None:
    """Containers and small virtual machines often give root less than everything."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    sys_resource = 1 << 24
    return None if int(status["CapEff"], 16) & sys_resource else "root on this host has no CAP_SYS_RESOURCE"


def _counted(scene: Scene) -> None:
    scene.count_tasks()


def _victim(scene: Scene) -> None:
    scene.start_victim()


def _cgroup_version(scene: Scene) -> None:
    scene.facts["version_1"] = "cgroup " in Path("/proc/mounts").read_text()


def _multiplies(name: str, attack: str, *, tiers: tuple[str, ...] = ("free",)) -> Case:
    """It stops by itself at 60, so that the control stays small, and then stays for a second to be counted."""
    return Case(
        name,
        "processes",
        (Guard.PROCESSES,),
        attack,
        prepare=_counted,
        escaped=too_many_at_once,
        ends=LIMITED,
        tiers=tiers,
    )


def _outlives(name: str, attack: str, *, ends: tuple[str, ...] = ("completed",), timeout_s: float = 20.0) -> Case:
    return Case(name, "processes", STAYS, attack, escaped=alive, ends=ends, timeout_s=timeout_s, tiers=EVERY_TIER)


def _reaches(
    name: str,
    attack: str,
    escaped: Evidence = victim_hurt,
    guards: tuple[Guard, ...] = VIEW,
    ends: tuple[str, ...] = ("completed",),
) -> Case:
    return Case(name, "processes", guards, attack, prepare=_victim, escaped=escaped, ends=ends)


CASES = (
    _multiplies(
        "forks without end",
        """\
        for _ in range(60):
            if attempt(os.fork) == 0:
                time.sleep(9)
                os._exit(0)
        time.sleep(1)
        """,
        tiers=EVERY_TIER,
    ),
    _multiplies(
        "forks from every child",
        """\
        for _ in range(6):
            attempt(os.fork)
        time.sleep(1)
        """,
    ),
    _multiplies(
        "starts threads without end",
        """\
        import threading
        try:
            for _ in range(60):
                threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
        except RuntimeError as error:
            refused(error)
        time.sleep(1)
        """,
    ),
    _multiplies(
        "clones by the bare system call",
        """\
        for _ in range(60):
            if syscall('clone', signal.SIGCHLD, 0, 0, 0, 0) == 0:
                time.sleep(9)
                os._exit(0)
        time.sleep(1)
        """,
    ),
    _multiplies(
        "leaves the dead unburied",
        """\
        for _ in range(60):
            if attempt(os.fork) == 0:
                os._exit(0)
        for _ in range(60):
            if attempt(os.fork) == 0:
                time.sleep(9)
                os._exit(0)
        time.sleep(1)
        """,
    ),
    _outlives(
        "leaves a daemon by forking twice",
        """\
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for descriptor in range(3):
                    os.close(descriptor)
                time.sleep(30)
            os._exit(0)
        """,
    ),
    _outlives(
        "leaves a daemon that keeps the output open",
        """\
        if os.fork() == 0:
            os.setsid()
            time.sleep(30)
            os._exit(0)
        """,
    ),
    _outlives(
        "leaves a daemon that ignores every signal",
        """\
        if os.fork() == 0:
            os.setsid()
            for number in range(1, 65):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            for descriptor in range(3):
                os.close(descriptor)
            time.sleep(30)
            os._exit(0)
        """,
    ),
    _outlives(
        "leaves a stopped process",
        """\
        child = os.fork()
        if child == 0:
            os.setsid()
            for descriptor in range(3):
                os.close(descriptor)
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(30)
            os._exit(0)
        os.waitpid(child, os.WUNTRACED)
        """,
    ),
    _outlives(
        "leaves a chain of processes, each the child of a dead one",
        """\
        if os.fork() == 0:
            os.setsid()
            for descriptor in range(3):
                os.close(descriptor)
            end = time.monotonic() + 20
            while time.monotonic() < end:
                try:
                    if os.fork() != 0:
                        os._exit(0)
                except OSError:
                    pass
                time.sleep(0.02)
            os._exit(0)
        time.sleep(0.05)
        """,
    ),
    _outlives(
        "keeps a daemon beyond the time limit",
        """\
        if os.fork() == 0:
            os.setsid()
        time.sleep(30)
        """,
        ends=STOPPED,
        timeout_s=1.5,
    ),
    _reaches("kills a process of the host by its id", "os.kill(facts['victim'], signal.SIGKILL)"),
    _reaches("stops a process of the host", "os.kill(facts['victim'], signal.SIGSTOP)\ntime.sleep(0.1)"),
    _reaches(
        "kills every process it may",
        """\
        if os.fork() == 0:
            os.kill(-1, signal.SIGKILL)
        time.sleep(0.5)
        """,
        ends=("completed", "killed"),
    ),
    _reaches(
        "kills a process of the host through a process descriptor",
        """\
        descriptor = os.pidfd_open(facts['victim'])
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        """,
    ),
    _reaches(
        "kills every id of the host's range",
        """\
        for pid in range(2, 40000):
            if pid not in (os.getpid(), os.getppid()) and abs(pid - facts['victim']) < 3:
                attempt(os.kill, pid, signal.SIGKILL)
        """,
    ),
    _reaches("makes a process of the host slow", "os.setpriority(os.PRIO_PROCESS, facts['victim'], 19)"),
    _reaches("makes all processes of its uid slow", "os.setpriority(os.PRIO_USER, os.getuid(), 19)"),
    _reaches(
        "limits a process of the host",
        """\
        import resource
        resource.prlimit(facts['victim'], resource.RLIMIT_NOFILE, (3, 3))
        """,
    ),
    _reaches(
        "sees the processes of the host",
        """\
        for pid in filter(str.isdigit, os.listdir('/proc')):
            if int(pid) == facts['victim']:
                escaped('the process ' + pid)
        """,
        said_so,
    ),
    _reaches(
        "reads the environment of a process of the host",
        """\
        print(open(f"/proc/{facts['victim']}/environ").read())
        """,
        secret_read,
        BUBBLEWRAP,
    ),
    _reaches(
        "reads files through a process of the host",
        """\
        print(os.listdir(f"/proc/{facts['victim']}/root/"))
        escaped('its root')
        """,
        said_so,
        BUBBLEWRAP,
    ),
    _reaches(
        "reads the memory of a process of the host",
        """\
        for line in open(f"/proc/{facts['victim']}/maps"):
            if '[stack]' in line:
                start, end = (int(part, 16) for part in line.split()[0].split('-'))
        class Piece(ctypes.Structure):
            _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
        room = ctypes.create_string_buffer(end - start)
        here, there = Piece(ctypes.addressof(room), end - start), Piece(start, end - start)
        pieces = (ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
        wanted(syscall('process_vm_readv', facts['victim'], *pieces), 'read')
        print(room.raw.replace(b'\\0', b' ').decode(errors='replace'))
        """,
        secret_read,
        BUBBLEWRAP,
    ),
    _reaches(
        "traces a process of the host",
        """\
        wanted(syscall('ptrace', 0x4206, facts['victim'], 0, 0), 'seize')
        """,
        said_so,
        BUBBLEWRAP,
    ),
    _reaches(
        "takes a descriptor of a process of the host",
        """\
        wanted(syscall('pidfd_getfd', os.pidfd_open(facts['victim']), 0, 0), 'pidfd_getfd')
        """,
        said_so,
        BUBBLEWRAP,
    ),
    Case(
        "traces its parent",
        "processes",
        (Guard.SECCOMP,),
        """\
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            wanted(syscall('ptrace', 0x4206, parent, 0, 0), 'seize')
            os._exit(0)
        os.waitpid(child, 0)
        """,
        tiers=EVERY_TIER,
    ),
    Case(
        "lets itself be traced",
        "processes",
        (Guard.SECCOMP,),
        """\
        in_child(lambda: wanted(syscall('ptrace', 0, 0, 0, 0), 'traceme'))
        """,
    ),
    Case(
        "writes into another process's memory",
        "processes",
        (Guard.SECCOMP,),
        """\
        class Piece(ctypes.Structure):
            _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
        room = ctypes.create_string_buffer(b'abcd')
        piece = Piece(ctypes.addressof(room), 4)
        parent = os.getpid()
        in_child(lambda: wanted(syscall(
            'process_vm_writev', parent, ctypes.byref(piece), 1, ctypes.byref(piece), 1, 0), 'process_vm_writev'))
        """,
    ),
    Case(
        "takes a descriptor of another process",
        "processes",
        (Guard.SECCOMP,),
        """\
        parent = os.pidfd_open(os.getpid())
        in_child(lambda: wanted(syscall('pidfd_getfd', parent, 0, 0), 'pidfd_getfd'))
        """,
    ),
    Case(
        "compares kernel objects of processes",
        "processes",
        (Guard.SECCOMP,),
        """\
        wanted(syscall('kcmp', os.getpid(), os.getpid(), 0, 0, 0), 'kcmp')
        """,
    ),
    Case(
        "runs with real-time priority",
        "processes",
        (Guard.USER, Guard.CAPABILITIES),
        """\
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        escaped('real time')
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        """,
    ),
    Case(
        "raises its own priority",
        "processes",
        (Guard.USER, Guard.CAPABILITIES),
        """\
        before = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, before - 1)
        escaped(f'nice {before - 1}')
        """,
    ),
    Case(
        "exempts itself from being killed for memory",
        "processes",
        (Guard.USER, Guard.CAPABILITIES),
        """\
        os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000')
        escaped('oom_score_adj')
        """,
        no_control=_may_raise_limits,
    ),
    Case(
        "gets more than its hard limits",
        "processes",
        (Guard.USER, Guard.CAPABILITIES),
        """\
        import resource
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))
            escaped('open files')
        except ValueError as error:
            refused(error)
        """,
        no_control=_may_raise_limits,
    ),
    Case(
        "may gain rights by executing a program",
        "processes",
        (Guard.BUBBLEWRAP,),
        """\
        status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
        if status['NoNewPrivs'].strip() != '1':
            escaped('no_new_privs is off')
        """,
        tiers=EVERY_TIER,
    ),
    Case(
        "holds a capability",
        "processes",
        (Guard.CAPABILITIES,),
        """\
        status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
        for kind in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
            if int(status[kind], 16):
                escaped(kind)
        """,
        tiers=EVERY_TIER,
    ),
    Case(
        "runs without a system call filter",
        "processes",
        (Guard.SECCOMP,),
        """\
        status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
        if status['Seccomp'].strip() != '2':
            escaped('no filter')
        """,
        tiers=EVERY_TIER,
    ),
    Case(
        "moves itself out of its control group",
        "processes",
        (Guard.USER, Guard.CAPABILITIES, Guard.SECCOMP, Guard.CGROUP_VIEW),
        """\
        os.mkdir('groups')
        kind, data = (b'cgroup2', b'') if not facts['version_1'] else (b'cgroup', b'pids')
        if wanted(syscall('mount', b'none', b'groups', kind, 0, data), 'mount') >= 0:
            os.system('umount groups')
        """,
        prepare=_cgroup_version,
    ),
    Case(
        "gives its disk requests real-time priority",
        "processes",
        (Guard.USER, Guard.CAPABILITIES, Guard.SECCOMP),
        """\
        wanted(syscall('ioprio_set', 1, 0, 1 << 13), 'ioprio_set')
        """,
    ),
)
