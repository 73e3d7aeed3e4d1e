"""Memory: more than the tier allows, by every way to get some."""

from __future__ import annotations

from tests.isolation.case import EVERY_TIER, Case
from tests.isolation.evidence import secret_read, too_much_memory
from tests.isolation.guards import Guard
from tests.isolation.ipc import choose_key, left, plant_memory

MEMORY = (Guard.MEMORY,)
KILLED = ("out_of_memory",)
EITHER = ("out_of_memory", "completed")
"""Where the kernel may refuse a page instead of killing."""


def _takes(name: str, attack: str, *, ends: tuple[str, ...] = KILLED, tiers: tuple[str, ...] = ("free",)) -> Case:
    """It takes 64 MiB more than allowed, so that the control stays small."""
    return Case(name, "memory", MEMORY, attack, escaped=too_much_memory, ends=ends, tiers=tiers, timeout_s=40)


CHILDREN = """\
        def all_of(number, ready):
            got = 0
            while got < number:
                if select.select([ready], [], [], 0.01)[0]:
                    got += len(os.read(ready, number))
                elif os.waitpid(-1, os.WNOHANG)[0]:
                    return False  # the kernel killed one
            for _ in range(50):  # one whose memory went to another that was ready later has yet to end
                if os.waitpid(-1, os.WNOHANG)[0]:
                    return False
                time.sleep(0.01)
            return True
        import select
"""

CASES = (
    _takes(
        "allocates more than its memory",
        """\
        block = bytearray(facts['memory'] + (64 << 20))
        for at in range(0, len(block), 4096):
            block[at] = 1
        escaped(f'{len(block)} bytes')
        """,
        tiers=EVERY_TIER,
    ),
    _takes(
        "maps shared memory and touches it",
        """\
        import mmap
        block = mmap.mmap(-1, facts['memory'] + (64 << 20))
        for at in range(0, len(block), 4096):
            block[at] = 1
        escaped(f'{len(block)} bytes')
        """,
    ),
    _takes(
        "spreads its memory over children",
        CHILDREN
        + """\
        share = (facts['memory'] + (64 << 20)) // 3
        ready, done = os.pipe(), os.pipe()
        for _ in range(3):
            if os.fork() == 0:
                block = bytearray(share)
                for at in range(0, share, 4096):
                    block[at] = 1
                os.write(ready[1], b'x')
                os.read(done[0], 1)
                os._exit(0)
        os.close(ready[1])
        if all_of(3, ready[0]):
            escaped(f'{3 * share} bytes')
        os.write(done[1], b'xxx')
        """,
    ),
    _takes(
        "copies its memory by forking and writing",
        CHILDREN
        + """\
        share = (facts['memory'] + (64 << 20)) // 3
        block = bytearray(share)
        for at in range(0, share, 4096):
            block[at] = 1
        ready, done = os.pipe(), os.pipe()
        for _ in range(2):
            if os.fork() == 0:
                for at in range(0, share, 4096):
                    block[at] = 2
                os.write(ready[1], b'x')
                os.read(done[0], 1)
                os._exit(0)
        os.close(ready[1])
        if all_of(2, ready[0]):
            escaped(f'{3 * share} bytes')
        os.write(done[1], b'xx')
        """,
    ),
    Case(
        "fills the file systems that are memory",
        "memory",
        (Guard.MEMORY, Guard.READ_ONLY),
        """\
        piece = bytes(1 << 20)
        for place in ('/dev/shm', '/dev', '/run', '/'):
            try:
                with open(place + '/fill', 'wb', buffering=0) as file:
                    for _ in range((facts['memory'] + (64 << 20)) >> 20):
                        file.write(piece)
                escaped(place)
            except OSError as error:
                refused(error)
        """,
        escaped=too_much_memory,
        ends=EITHER,
        timeout_s=40,
    ),
    _takes(
        "fills a file that is only memory",
        """\
        file = os.memfd_create('fill')
        piece = bytes(1 << 20)
        for _ in range((facts['memory'] + (64 << 20)) >> 20):
            os.write(file, piece)
        escaped('memfd')
        """,
        ends=EITHER,
    ),
    _takes(
        "fills System V shared memory",
        """\
        size = facts['memory'] + (64 << 20)
        libc.shmat.restype = ctypes.c_void_p
        segment = libc.shmget(0, ctypes.c_size_t(size), 0o1600)
        address = libc.shmat(segment, None, 0)
        libc.shmctl(segment, 0, None)  # it goes with its last user, also in the control
        for at in range(0, size, 4096):
            ctypes.memset(address + at, 1, 1)
        escaped(f'{size} bytes')
        """,
    ),
    _takes(
        "fills many pieces of memory that are swapped for files",
        """\
        import mmap
        held = []
        for _ in range((facts['memory'] >> 24) + 4):
            block = mmap.mmap(-1, 1 << 24, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for at in range(0, 1 << 24, 4096):
                block[at] = 1
            held.append(block)
        escaped(f'{len(held) << 24} bytes')
        """,
    ),
    _takes(
        "grows its stack",
        """\
        import resource, threading
        size = facts['memory'] + (64 << 20)
        hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
        resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))
        threading.stack_size(size)
        def touch():
            here = ctypes.c_char()
            low = ctypes.addressof(here)
            for line in open('/proc/self/maps'):
                start, end = (int(part, 16) for part in line.split()[0].split('-'))
                if end - start >= size - 8192:
                    for at in range(start + 65536, end - (1 << 20), 4096):
                        ctypes.memset(at, 1, 1)
                    escaped(f'{end - start} bytes')
        thread = threading.Thread(target=touch)
        thread.start()
        thread.join()
        """,
    ),
    _takes(
        "fills sockets nobody reads from",
        """\
        held = []
        import resource
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        sent = 0
        while sent < facts['memory'] + (64 << 20):
            one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
            one.setblocking(False)
            held += [one, two]
            try:
                while True:
                    sent += one.send(bytes(1 << 16))
            except BlockingIOError:
                pass
        escaped(f'{sent} bytes in {len(held)} sockets')
        """,
        ends=("out_of_memory", "completed"),
    ),
    Case(
        "reads a file larger than its memory, whose pages stay cached",
        "memory",
        MEMORY,
        """\
        file = os.open('sparse', os.O_CREAT | os.O_RDWR)
        os.truncate(file, facts['memory'] + (64 << 20))
        while os.read(file, 1 << 20):
            pass
        """,
        escaped=too_much_memory,
    ),
    Case(
        "leaves System V shared memory behind",
        "memory",
        (Guard.IPC,),
        """\
        segment = libc.shmget(facts['key'], ctypes.c_size_t(1 << 20), 0o1666)
        """,
        prepare=choose_key,
        escaped=left("shm"),
    ),
    Case(
        "leaves a System V message queue behind",
        "memory",
        (Guard.IPC,),
        """\
        libc.msgget(facts['key'], 0o1666)
        """,
        prepare=choose_key,
        escaped=left("msg"),
    ),
    Case(
        "leaves System V semaphores behind",
        "memory",
        (Guard.IPC,),
        """\
        libc.semget(facts['key'], 1, 0o1666)
        """,
        prepare=choose_key,
        escaped=left("sem"),
    ),
    Case(
        "reads System V shared memory of the host",
        "memory",
        (Guard.IPC,),
        """\
        libc.shmat.restype = ctypes.c_void_p
        segment = libc.shmget(facts['key'], ctypes.c_size_t(4096), 0)
        if segment >= 0:
            print(ctypes.string_at(libc.shmat(segment, None, 0o10000), 64))
        """,
        prepare=plant_memory,
        escaped=secret_read,
    ),
    _takes(
        "fills page tables, which no page of its own shows",
        """\
        import mmap
        step = 2 << 20  # one table of 4 KiB for each
        size = (facts['memory'] + (64 << 20)) // 4096 * step
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=mmap.PROT_READ)
        for at in range(0, size, step):
            block[at]  # reads the page of zeros that all share
        escaped(f'{size // step} tables')
        """,
    ),
)
