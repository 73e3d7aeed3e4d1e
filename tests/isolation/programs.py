"""Attack programs: the words every one may use, and how one becomes an argv."""

from __future__ import annotations

import json
from collections.abc import Mapping
from textwrap import dedent, indent
from typing import Literal

Language = Literal["python", "sh"]
TRIED = "TRIED"
"""Printed at its end by every program that was not killed: without it nothing was proved."""
ESCAPED = "ESCAPED:"
"""Printed by a program that got what it wanted, where only it can know."""

PRELUDE = '''\
import ctypes, errno, json, os, signal, socket, stat, sys, time
facts = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {  # x86-64, arm64; from 424 on they are the same everywhere
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "mknodat": (259, 33), "unshare": (272, 97), "setns": (308, 268), "clone": (56, 220), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "personality": (135, 92), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "syslog": (103, 116), "sethostname": (170, 161),
    "setdomainname": (171, 162), "quotactl": (179, 60), "acct": (163, 89), "fanotify_init": (300, 262),
    "prlimit64": (302, 261), "renameat2": (316, 276), "move_pages": (279, 239), "ioprio_set": (251, 30),
    "memfd_create": (319, 279), "swapon": (167, 224), "getpid": (39, 172), "exit": (60, 93),
    "pidfd_send_signal": (424,), "io_uring_setup": (425,), "open_tree": (428,), "move_mount": (429,),
    "fsopen": (430,), "fsconfig": (431,), "fsmount": (432,), "fspick": (433,), "pidfd_open": (434,),
    "clone3": (435,), "openat2": (437,), "pidfd_getfd": (438,), "process_madvise": (440,),
    "mount_setattr": (442,), "process_mrelease": (448,),
}
MACHINE = ("x86_64", "aarch64").index(os.uname().machine)

def syscall(name, *arguments):
    """What the kernel answers: a result, or minus the error's number."""
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(NUMBERS[name][MACHINE % len(NUMBERS[name])]), *given)
    return result if result != -1 else -ctypes.get_errno()

def escaped(what):
    print("ESCAPED:", what, flush=True)

def refused(what):
    print("refused:", what, flush=True)

def wanted(result, what):
    """An escape where the kernel did it; its reason where it did not."""
    escaped(what) if result >= 0 else refused(f"{what}: {errno.errorcode.get(-result, result)}")
    return result

def attempt(action, *arguments):
    """What one of several attempts gives, None where it is refused."""
    try:
        return action(*arguments)
    except OSError as error:
        refused(error)

def in_child(action):
    """The action's own process; its status."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]

'''


def argv(language: Language, attack: str, facts: Mapping[str, object]) -> list[str]:
    """The command that runs an attack; `facts` reach it as `facts["name"]` in Python, as $name in sh."""
    if language == "sh":
        assignments = "".join(f"{name}='{value}'\n" for name, value in facts.items())
        return ["/bin/sh", "-c", f"{assignments}{dedent(attack)}\necho {TRIED}\n"]
    body = indent(dedent(attack), "    ")
    text = f"{PRELUDE}try:\n{body}\nexcept OSError as error:\n    refused(error)\nprint('{TRIED}', flush=True)\n"
    return ["/usr/bin/python3", "-I", "-S", "-c", text, json.dumps(dict(facts))]
