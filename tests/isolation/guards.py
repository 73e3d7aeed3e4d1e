"""What stands between a command and the host, one name each: a control takes exactly these away."""

from __future__ import annotations

from enum import StrEnum


class Guard(StrEnum):
    """The value says, in the table of docs/sandbox-corpus.md, what the control runs without."""

    PATHS = "only listed paths are there"
    READ_ONLY = "the root is read-only"
    RUNTIME = "commands left out of the root"
    DEVICES = "its own /dev"
    SECCOMP = "system call filter"
    USERNS = "no further user namespaces"
    CAPABILITIES = "no capabilities"
    USER = "a user namespace of its own"
    BUBBLEWRAP = "bubblewrap as a whole"
    KILL = "kill of the whole control group"
    PROCESSES_VIEW = "its own process ids"
    NETWORK = "its own network"
    RULES = "rules of its network"
    ALLOW_LIST = "allow-list of its network"
    GATEWAY = "a gateway that is not the host's loopback"
    FORWARDING = "no forwarded ports"
    IPC = "its own IPC objects"
    HOSTNAME = "its own host name"
    CGROUP_VIEW = "its own view of cgroups"
    SESSION = "its own terminal session"
    MEMORY = "memory limit"
    PROCESSES = "process limit"
    TIMEOUT = "time limit"
    QUOTA = "sized file system"
    OUTPUT = "output limit"
    ENVIRONMENT = "scrubbed environment"
    DESCRIPTORS = "closed descriptors"
    GROUPS = "no groups of the worker"
    STDIN = "its own standard input"
    UID = "one uid per slot, folders 0700"
    PRINTABLE = "no control characters on a terminal"
    COLLECTOR = "openat2 beneath the workspace"
    REMOVAL = "removal that knows no depth and follows nothing"
