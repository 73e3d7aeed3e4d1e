"""The programs of the canaries, for the sandbox's own Python."""

CANARY_QUOTA_BYTES = 16 * 1024 * 1024
"""A canary's volume: enough for ext4, quickly full."""
OVER_BYTES = 16 * 1024 * 1024

INSIDE = r"""
import ctypes, errno, fcntl, os, socket, struct, sys
left_out = sys.argv[1:]
got = []
def attempt(what, action):
    try:
        result = action()
    except OSError:
        return
    if result is not False:
        got.append(what)
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
def connect(family, kind, address):
    with socket.socket(family, kind) as s:
        s.settimeout(1)
        s.connect(address)
        s.send(b"x")
for folder in ("/", "/usr", "/usr/bin", "/usr/lib", "/etc", "/dev", "/dev/shm", "/proc/sys/kernel", "/sys",
"/root"):
    attempt(f"wrote in {folder}", lambda: open(folder + "/penstock-canary", "w"))
attempt("read /etc/shadow", lambda: open("/etc/shadow").read())
attempt("read the host's root", lambda: os.listdir("/proc/1/root/root"))
attempt("saw /root", lambda: os.listdir("/root"))
attempt("saw /home", lambda: os.listdir("/home"))
attempt("saw /sys", lambda: os.listdir("/sys"))
attempt("made a device", lambda: os.mknod("device", 0o20666, os.makedev(1, 3)))
attempt("saw a disk", lambda: [n for n in os.listdir("/dev") if n.startswith(("sd", "vd", "loop", "nvme"))] != [])
numbers = {int(n) for n in os.listdir("/proc") if n.isdigit()}
attempt("saw the host's processes", lambda: len(numbers) > 5)
attempt("became root", lambda: os.setuid(0))
attempt("has a capability", lambda: "CapEff:\t0000000000000000" not in open("/proc/self/status").read())
attempt("may gain rights", lambda: "NoNewPrivs:\t1" not in open("/proc/self/status").read())
attempt("has no filter", lambda: "Seccomp:\t2" not in open("/proc/self/status").read())
attempt("has open files of its parent's", lambda: [n for n in os.listdir("/proc/self/fd") if int(n) > 3] != [])
attempt("reached tcp", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("203.0.113.1", 80)))
attempt("reached udp", lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("203.0.113.1", 53)))
attempt("reached ipv6", lambda: connect(socket.AF_INET6, socket.SOCK_DGRAM, ("2001:db8::1", 53)))
def is_up(device):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        answer = fcntl.ioctl(s, 0x8913, device.encode().ljust(40, b"\0"))  # SIOCGIFFLAGS
    return struct.unpack_from("H", answer, 16)[0] & 1
devices = [line.split(":")[0].strip() for line in open("/proc/self/net/dev").readlines()[2:]]
if "lo" not in devices:
    got.append("cannot see its network devices")
for device in devices:  # a new namespace may have tunnels of its own, which are down
    attempt(f"has a network device, {device}", lambda: device != "lo" and is_up(device) == 1)
attempt("made a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("made a packet socket", lambda: socket.socket(17, socket.SOCK_RAW, 0))
attempt("made a vsock socket", lambda: socket.socket(40, socket.SOCK_STREAM))
attempt("made a netlink socket", lambda: socket.socket(16, socket.SOCK_RAW, 0))
X86, ARM = "x86_64", "aarch64"
machine = os.uname().machine
calls = {  # name: (x86_64, aarch64, arguments)
    "unshare(NEWUSER)": (272, 97, (0x10000000,)),
    "mount": (165, 40, (b"none", b"/workspace", b"tmpfs", 0, 0)),
    "ptrace": (101, 117, (0, 0, 0, 0)),
    "keyctl": (250, 219, (0, -3, 0)),
    "add_key": (248, 217, (b"user", b"x", b"x", 1, -3)),
    "bpf": (321, 280, (0, 0, 0)),
    "perf_event_open": (298, 241, (0, 0, -1, -1, 0)),
    "io_uring_setup": (425, 425, (1, 0)),
    "userfaultfd": (323, 282, (1,)),
    "personality": (135, 92, (0x0040000,)),
    "chroot": (161, 51, (b"/workspace",)),
    "clone(NEWUSER)": (56, 220, (0x10000011, 0, 0, 0, 0)),
}
for name, (x86, arm, arguments) in calls.items():
    number = x86 if machine == X86 else arm if machine == ARM else None
    if number is not None:
        def refused(number=number, arguments=arguments):
            if libc.syscall(number, *arguments) < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
                raise OSError
        attempt(name, refused)
for name in left_out:
    attempt(f"found {name}", lambda: any(os.path.exists(f"{p}/{name}") for p in ("/usr/bin", "/bin",
    "/usr/local/bin")))
if os.uname().nodename != "sandbox":
    got.append("saw the host's name")
if got:
    print("; ".join(got))
"""
"""Prints what it got that it should not get. Arguments: the commands that must not be there."""

MEMORY = r"""
import sys
held = []
for _ in range(int(sys.argv[1]) >> 20):
    held.append(bytearray(b"x") * (1 << 20))
"""
"""Touches that many bytes."""

PROCESSES = r"""
import os, signal, sys, time
limit, children = int(sys.argv[1]), []
try:
    for _ in range(limit + 5):
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
print(f"{len(children) + 1} processes at once")
sys.exit(len(children) + 1 != limit)
"""
"""Exits 0 where exactly that many run at once, itself included."""

REFUSED = r"""
import errno, ipaddress, socket, sys
port, got = int(sys.argv[1]), []
for text in sys.argv[2:]:
    if got:
        break
    address = ipaddress.ip_address(text)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    kinds = [socket.SOCK_DGRAM] + [socket.SOCK_STREAM] * (address.version == 4)
    for kind in kinds:
        with socket.socket(family, kind) as s:
            s.settimeout(2)
            try:
                s.connect((text, port))
                s.send(b"x")
                s.recv(1)
                got.append(f"reached {text}")
            except OSError as error:
                expected = {errno.EPERM, errno.EHOSTUNREACH, errno.EACCES}
                if address.version == 6:
                    expected.add(errno.ENETUNREACH)  # a host without IPv6
                if address.is_loopback:
                    expected = {errno.ECONNREFUSED}  # its own
                if error.errno not in expected:
                    got.append(f"{text} was not refused: {error}")
if got:
    print("; ".join(got))
"""
"""Prints the first that answered or was not refused at once. Arguments: a port and addresses."""

CHANGED = r"""
import fcntl, socket, struct
probe, got = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), []
if "net0:" not in open("/proc/self/net/dev").read():
    got.append("there is no interface")
requests = {
    "gave itself an address": (0x8916, struct.pack("16sHH4s8x", b"net0", 2, 0, bytes((10, 0, 2, 9)))),
    "took the interface down": (0x8914, struct.pack("16sh14x", b"net0", 0)),
    "took a route away": (0x890C, bytes(120)),
}
for what, (number, request) in requests.items():
    try:
        fcntl.ioctl(probe, number, request)
        got.append(what)
    except PermissionError:
        pass
for family in (16, 17):
    try:
        socket.socket(family, 3, 0)
        got.append(f"made a socket of family {family}")
    except OSError:
        pass
if got:
    print("; ".join(got))
"""
"""Prints what of the network it could change."""
