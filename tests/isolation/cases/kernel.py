"""Kernel surface: system calls a command does not need and whose bugs others have used."""

from __future__ import annotations

import ctypes
import errno
import platform
from pathlib import Path

from tests.isolation.case import EVERY_TIER, Case, Refused, possible
from tests.isolation.guards import Guard

FILTER = (Guard.SECCOMP,)
NAMESPACES = (Guard.SECCOMP, Guard.USERNS)
"""The filter refuses the call, and bwrap has used up the number of user namespaces."""
ROOT_INSIDE = (Guard.SECCOMP, Guard.CAPABILITIES, Guard.USERNS)
"""Without these a command is root of namespaces of its own."""
HOST_ROOT = (Guard.SECCOMP, Guard.CAPABILITIES, Guard.USER)
NEW_USER = 0x10000000
KINDS = {
    "mount": 0x00020000,
    "process id": 0x20000000,
    "network": 0x40000000,
    "IPC": 0x08000000,
    "host name": 0x04000000,
    "control group": 0x02000000,
    "time": 0x00000080,
}


def _only_x86() -> str | None:
    return (
        None
        if platform.machine() == "x86_64"
        else f"32-bit calls by int 0x80 are x86's; this is {platform.machine()}"
    )


def _32_bit() -> str | None:
    if reason := _only_x86():
        return reason
    return None if Path("/proc/sys/abi").exists() else "this kernel has no 32-bit system calls"


def _io_uring() -> str | None:
    state = Path("/proc/sys/kernel/io_uring_disabled")
    return "io_uring is off on this host" if not state.exists() or state.read_text().strip() == "2" else None


def _keys() -> str | None:
    return None if Path("/proc/keys").exists() else "this kernel has no keyrings"


def _kcore() -> str | None:
    return None if Path("/proc/kcore").exists() else "this kernel has no /proc/kcore"


def _ports() -> str | None:
    """Asks for nothing: a range of no ports."""
    libc = ctypes.CDLL(None, use_errno=True)
    missing = not hasattr(libc, "ioperm") or (libc.ioperm(0, 0, 0) != 0 and ctypes.get_errno() == errno.ENOSYS)
    return "this kernel gives no input and output ports to programs" if missing else None


def _call(
    name: str,
    attack: str,
    guards: tuple[Guard, ...] = FILTER,
    *,
    tiers: tuple[str, ...] = ("free",),
    no_control: Refused = possible,
) -> Case:
    return Case(name, "kernel", guards, attack, tiers=tiers, no_control=no_control)


def _unshare(kind: str, flag: int) -> Case:
    return _call(
        f"makes a {kind} namespace in a new user namespace",
        f"in_child(lambda: wanted(syscall('unshare', {NEW_USER | flag:#x}), 'unshare'))",
        NAMESPACES,
    )


def _by_int_0x80(number: int, argument: int) -> str:
    """Machine code that makes a 32-bit system call from a 64-bit program, where filters by number may not look."""
    return f"""\
        import mmap, struct
        code = b'\\x53' + b'\\xb8' + struct.pack('<I', {number}) + b'\\xbb' + struct.pack('<I', {argument})
        code += b'\\xcd\\x80' + b'\\x5b' + b'\\xc3'  # push rbx; mov eax; mov ebx; int 0x80; pop rbx; ret
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        def attack():
            result = call()
            escaped('by int 0x80') if result >= 0 else refused(result)
        in_child(attack)
        """


CASES = (
    _call(
        "makes a user namespace",
        f"in_child(lambda: wanted(syscall('unshare', {NEW_USER:#x}), 'unshare'))",
        NAMESPACES,
        tiers=EVERY_TIER,
    ),
    *(_unshare(kind, flag) for kind, flag in KINDS.items()),
    _call(
        "makes a user namespace by clone",
        f"""\
        child = syscall('clone', {NEW_USER:#x} | signal.SIGCHLD, 0, 0, 0, 0)
        if child == 0:
            os._exit(0)
        wanted(child, 'clone')
        """,
        NAMESPACES,
        tiers=EVERY_TIER,
    ),
    _call(
        "makes a user namespace by clone3, whose flags a filter cannot read",
        f"""\
        arguments = (ctypes.c_uint64 * 11)({NEW_USER:#x}, 0, 0, 0, signal.SIGCHLD)
        child = syscall('clone3', arguments, 88)
        if child == 0:
            os._exit(0)
        wanted(child, 'clone3')
        """,
        NAMESPACES,
        tiers=EVERY_TIER,
    ),
    _call(
        "uses clone3 at all",
        """\
        arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, signal.SIGCHLD)
        child = syscall('clone3', arguments, 88)
        if child == 0:
            os._exit(0)
        wanted(child, 'clone3')
        """,
    ),
    _call(
        "enters a namespace by its file",
        """\
        wanted(syscall('setns', os.open('/proc/self/ns/uts', os.O_RDONLY), 0), 'setns')
        """,
        ROOT_INSIDE,
    ),
    _call(
        "mounts a file system",
        "wanted(syscall('mount', b'none', b'.', b'tmpfs', 0, 0), 'mount')",
        ROOT_INSIDE,
        tiers=EVERY_TIER,
    ),
    _call(
        "binds one folder over another",
        """\
        os.mkdir('over')
        wanted(syscall('mount', b'/usr', b'over', 0, 4096, 0), 'mount')
        """,
        ROOT_INSIDE,
    ),
    _call(
        "makes its root writable by mounting it anew",
        """\
        wanted(syscall('mount', 0, b'/proc', 0, 0x20 | 0x1000 | 0x2 | 0x4 | 0x8, 0), 'remount')
        """,
        ROOT_INSIDE,
    ),
    _call("unmounts what covers the host", "wanted(syscall('umount2', b'/proc', 2), 'umount2')", ROOT_INSIDE),
    _call(
        "opens a file system by the new calls",
        "wanted(syscall('fsopen', b'tmpfs', 0), 'fsopen')",
        ROOT_INSIDE,
        tiers=EVERY_TIER,
    ),
    _call(
        "clones a mount by the new calls", "wanted(syscall('open_tree', -100, b'/', 1), 'open_tree')", ROOT_INSIDE
    ),
    _call(
        "picks a mounted file system to change it",
        "wanted(syscall('fspick', -100, b'/proc', 0), 'fspick')",
        ROOT_INSIDE,
    ),
    _call(
        "moves a mount",
        """\
        os.mkdir('to')
        tree = syscall('open_tree', -100, b'/proc', 1)
        if tree >= 0:
            wanted(syscall('move_mount', tree, b'', -100, b'to', 4), 'move_mount')
        else:
            refused(tree)
        """,
        ROOT_INSIDE,
    ),
    _call(
        "changes the attributes of a mount",
        """\
        attributes = (ctypes.c_uint64 * 4)(0x8, 0, 0, 0)  # noexec
        wanted(syscall('mount_setattr', -100, b'/proc', 0, attributes, 32), 'mount_setattr')
        """,
        ROOT_INSIDE,
    ),
    _call(
        "puts another root in place of its own",
        """\
        os.mkdir('root')
        if syscall('mount', b'root', b'root', 0, 4096, 0) >= 0:
            os.chdir('root')
            wanted(syscall('pivot_root', b'.', b'.'), 'pivot_root')
        """,
        ROOT_INSIDE,
    ),
    _call("makes a keyring", "wanted(syscall('keyctl', 0, -3, 1), 'keyctl')", tiers=EVERY_TIER, no_control=_keys),
    _call(
        "adds a key", "wanted(syscall('add_key', b'user', b'name', b'value', 5, -2), 'add_key')", no_control=_keys
    ),
    _call(
        "asks for a key",
        """\
        syscall('add_key', b'user', b'wanted', b'value', 5, -2)
        wanted(syscall('request_key', b'user', b'wanted', 0, -2), 'request_key')
        """,
        no_control=_keys,
    ),
    _call(
        "makes a BPF map",
        """\
        attributes = (ctypes.c_uint32 * 32)(2, 4, 4, 1)  # an array of one
        wanted(syscall('bpf', 0, attributes, 128), 'bpf')
        """,
        HOST_ROOT,
        tiers=EVERY_TIER,
    ),
    _call(
        "loads a BPF program",
        """\
        code = ctypes.create_string_buffer(bytes.fromhex('b700000000000000' '9500000000000000'))
        licence = ctypes.create_string_buffer(b'GPL')
        class Load(ctypes.Structure):
            _fields_ = [('kind', ctypes.c_uint32), ('count', ctypes.c_uint32), ('code', ctypes.c_uint64),
                        ('licence', ctypes.c_uint64), ('rest', ctypes.c_uint8 * 104)]
        load = Load(1, 2, ctypes.addressof(code), ctypes.addressof(licence))
        wanted(syscall('bpf', 5, ctypes.byref(load), 128), 'bpf')
        """,
        HOST_ROOT,
    ),
    _call(
        "counts events of the processor",
        """\
        class Event(ctypes.Structure):
            _fields_ = [('kind', ctypes.c_uint32), ('size', ctypes.c_uint32), ('config', ctypes.c_uint64),
                        ('rest', ctypes.c_uint64 * 14)]
        event = Event(1, 128, 0)  # software, cpu clock
        event.rest[3] = 0x60  # neither kernel nor hypervisor
        wanted(syscall('perf_event_open', ctypes.byref(event), 0, -1, -1, 0), 'perf_event_open')
        """,
        tiers=EVERY_TIER,
    ),
    _call(
        "sets up an io_uring",
        """\
        wanted(syscall('io_uring_setup', 4, (ctypes.c_uint8 * 120)()), 'io_uring_setup')
        """,
        tiers=EVERY_TIER,
        no_control=_io_uring,
    ),
    _call("handles its own page faults", "wanted(syscall('userfaultfd', 1), 'userfaultfd')", tiers=EVERY_TIER),
    _call("changes its execution domain", "wanted(syscall('personality', 0x0040000), 'personality')"),
    _call(
        "reads the kernel's log",
        """\
        room = ctypes.create_string_buffer(4096)
        wanted(syscall('syslog', 3, room, 4096), 'syslog')
        """,
        HOST_ROOT,
        tiers=EVERY_TIER,
    ),
    _call(
        "renames the host",
        """\
        if wanted(syscall('sethostname', b'renamed', 7), 'sethostname') >= 0:
            escaped(os.uname().nodename)
        """,
        ROOT_INSIDE,
    ),  # never Guard.HOSTNAME: the name it changes is its own
    _call(
        "renames the host's domain",
        "wanted(syscall('setdomainname', b'renamed', 7), 'setdomainname')",
        ROOT_INSIDE,
    ),
    _call("watches files of every process", "wanted(syscall('fanotify_init', 0, 0), 'fanotify_init')", HOST_ROOT),
    _call(
        "moves pages of another process",
        """\
        wanted(syscall('move_pages', os.getppid(), 0, 0, 0, 0, 0), 'move_pages')
        """,
    ),
    _call(
        "makes a namespace by a 32-bit system call",
        _by_int_0x80(310, NEW_USER),
        NAMESPACES,
        no_control=_32_bit,
        tiers=EVERY_TIER,
    ),
    _call("lets itself be traced by a 32-bit system call", _by_int_0x80(26, 0), FILTER, no_control=_32_bit),
    _call("makes any 32-bit system call", _by_int_0x80(20, 0), FILTER, no_control=_32_bit),
    _call(
        "reads addresses of the kernel",
        """\
        for line in open('/proc/kallsyms'):
            if int(line.split()[0], 16):
                escaped(line)
            break
        """,
        HOST_ROOT,
    ),
    _call(
        "opens the kernel's memory",
        "os.open('/proc/kcore', os.O_RDONLY)\nescaped('/proc/kcore')",
        HOST_ROOT,
        no_control=_kcore,
    ),
    _call(
        "gets at input and output ports",
        """\
        in_child(lambda: escaped('ioperm') if libc.ioperm(0x80, 1, 1) == 0 else refused('ioperm'))
        """,
        HOST_ROOT,
        no_control=_ports,
    ),
)
