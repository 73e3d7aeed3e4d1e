"""The system calls a sandboxed process may make.

An allow-list: what libseccomp knows by name, less what is named here. A call that is not allowed fails with EPERM
where it is named here, and with ENOSYS where nobody has heard of it (newer than the library), as on an older
kernel. A call by another architecture's entry (`int 0x80`, x32) kills the process: their numbers mean other calls.
"""

from __future__ import annotations

import errno
from functools import cache
from tempfile import TemporaryFile
from typing import Any

from penstock.errors import SandboxUnavailable

DENIED = (
    # namespaces and mounts
    *("unshare", "setns", "mount", "umount2", "umount", "pivot_root", "chroot", "move_mount", "open_tree"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
    # other processes
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise"),
    # keys, and programs for the kernel
    *("add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
    # the machine
    *("init_module", "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms"),
    *("kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "syslog"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime", "sethostname", "setdomainname"),
    *("iopl", "ioperm", "modify_ldt", "vm86", "vm86old", "uselib", "ustat", "sysfs", "_sysctl", "nfsservctl"),
    *("vhangup", "lookup_dcookie", "open_by_handle_at", "name_to_handle_at", "fanotify_init", "fanotify_mark"),
    *("move_pages", "migrate_pages", "mbind", "set_mempolicy", "set_mempolicy_home_node", "memfd_secret"),
)
"""Refused whatever their arguments."""

CLONE_NEW = 0x7E020000
"""The flags of clone(2) that make a namespace. CLONE_NEWTIME, 0x80, is part of the exit signal there and needs
clone3 or unshare."""
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_TYPE_MASK = 1, 2, 5, 0xF
LOW_32 = 0xFFFFFFFF
"""The kernel reads these arguments as 32 bits; a filter that compared 64 could be passed by the upper ones."""
LAST_KNOWN = 500
"""No call that libseccomp 2.5 knows has a higher number."""


@cache
def programs() -> tuple[bytes, bytes]:
    """Two filters as `struct sock_filter[]` for this architecture; the kernel applies both and takes the stricter.

    The first allows calls by number and, for a few, by argument. The second refuses two requests of `ioctl`,
    which a list of what is allowed cannot say.

    Raises:
        SandboxUnavailable: libseccomp or its Python binding is missing.
    """
    try:
        import pyseccomp as s
    except (ImportError, OSError, RuntimeError) as exc:
        raise SandboxUnavailable(
            f"no seccomp filter can be made: {exc}; install libseccomp2 (apt-get install libseccomp2) and "
            "penstock[platform]"
        ) from exc
    return _allowing(s), _refusing(s)


def _allowing(s: Any) -> bytes:
    rules = s.SyscallFilter(s.ERRNO(errno.ENOSYS))
    rules.set_attr(s.Attr.ACT_BADARCH, s.KILL_PROCESS)
    # clone3's flags lie in memory, which a filter cannot read: ENOSYS makes every C library fall back to clone.
    by_argument = {_number(s, name) for name in ("clone", "clone3", "personality", "socket", "socketpair")}
    denied = {_number(s, name) for name in DENIED} - {None}
    for number in range(LAST_KNOWN):
        if number in denied:
            rules.add_rule(s.ERRNO(errno.EPERM), number)
        elif number not in by_argument and _known(s, number):
            rules.add_rule(s.ALLOW, number)
    rules.add_rule(s.ALLOW, "clone", s.Arg(0, s.MASKED_EQ, CLONE_NEW, 0))
    for persona in (0, LOW_32):  # Linux; and asking, which changes nothing
        rules.add_rule(s.ALLOW, "personality", s.Arg(0, s.MASKED_EQ, LOW_32, persona))
    for call in ("socket", "socketpair"):
        for family in (AF_UNIX, AF_INET, AF_INET6):
            for kind in (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET):
                rules.add_rule(
                    s.ALLOW,
                    call,
                    s.Arg(0, s.MASKED_EQ, LOW_32, family),
                    s.Arg(1, s.MASKED_EQ, SOCK_TYPE_MASK, kind),
                )
    return _exported(rules)


def _refusing(s: Any) -> bytes:
    rules = s.SyscallFilter(s.ALLOW)
    rules.set_attr(s.Attr.ACT_BADARCH, s.KILL_PROCESS)
    for request in (TIOCSTI, TIOCLINUX):
        rules.add_rule(s.ERRNO(errno.EPERM), "ioctl", s.Arg(1, s.MASKED_EQ, LOW_32, request))
    return _exported(rules)


def _number(s: Any, name: str) -> int | None:
    number = int(s.resolve_syscall(s.system_arch(), name))
    return number if number >= 0 else None


def _known(s: Any, number: int) -> bool:
    try:
        return bool(s.resolve_syscall(s.system_arch(), number))
    except ValueError:
        return False


def _exported(rules: Any) -> bytes:
    with TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
