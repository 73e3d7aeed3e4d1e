"""File system: changing what is outside, and filling the host's disk."""

from __future__ import annotations

from tests.isolation.case import EVERY_TIER, Case
from tests.isolation.evidence import canary_touched, over_quota, tenant_over_quota, too_many_files
from tests.isolation.guards import Guard
from tests.isolation.scene import Scene

PATHS = (Guard.PATHS,)
QUOTA = (Guard.QUOTA,)
FULL = ("completed", "quota_exceeded")
MIB = 1 << 20


def _changes(name: str, attack: str, *, tiers: tuple[str, ...] = ("free",)) -> Case:
    return Case(name, "files", PATHS, attack, escaped=canary_touched, tiers=tiers)


def _fills(name: str, attack: str, *, tiers: tuple[str, ...] = ("free",)) -> Case:
    """It stops by itself at twice the quota, so that the control stays small."""
    return Case(name, "files", QUOTA, attack, escaped=over_quota, ends=FULL, tiers=tiers)


def _half_full(scene: Scene) -> None:
    """Another workspace of the tenant has taken half of its quota."""
    (scene.sibling / "half").write_bytes(b"x" * (scene.quota // 2))


CASES = (
    _changes("overwrites a file of the host", "open(facts['canary'], 'w').write('x')", tiers=EVERY_TIER),
    _changes("appends to a file of the host", "open(facts['canary'], 'a').write('x')"),
    _changes("truncates a file of the host", "os.truncate(facts['canary'], 0)"),
    _changes("deletes a file of the host", "os.unlink(facts['canary'])", tiers=EVERY_TIER),
    _changes("renames a file of the host", "os.rename(facts['canary'], facts['canary'] + '2')"),
    _changes(
        "exchanges a file of the host for one of its own",
        """\
        own = facts['outside'] + '/own'
        open(own, 'w').write('x')
        syscall('renameat2', -100, own.encode(), -100, facts['canary'].encode(), 2)
        """,
    ),
    _changes("makes a folder beside a file of the host", "os.mkdir(facts['outside'] + '/new')"),
    _changes(
        "changes the host through a link in the workspace",
        """\
        os.symlink(facts['outside'], 'link')
        open('link/canary', 'w').write('x')
        """,
    ),
    _changes("writes through /proc/self/root", "open('/proc/self/root' + facts['canary'], 'w').write('x')"),
    _changes(
        "maps a file of the host and writes into the mapping",
        """\
        import mmap
        file = os.open(facts['canary'], os.O_RDWR)
        mmap.mmap(file, 0)[0:1] = b'x'
        """,
    ),
    _changes(
        "writes beyond the end of a file of the host",
        """\
        os.posix_fallocate(os.open(facts['canary'], os.O_RDWR), 0, 1 << 16)
        """,
    ),
    _changes("sets attributes on a file of the host", "os.setxattr(facts['canary'], 'user.mark', b'x')"),
    _changes(
        "makes a socket beside a file of the host",
        """\
        socket.socket(socket.AF_UNIX).bind(facts['outside'] + '/socket')
        """,
    ),
    _changes("makes a named pipe beside a file of the host", "os.mkfifo(facts['outside'] + '/fifo')"),
    Case(
        "writes into any folder but its own",
        "files",
        (Guard.READ_ONLY,),
        """\
        own = {'/proc', '/dev', '/tmp', '/var/tmp', '/run', '/sys', os.getcwd(), os.environ.get('HOME', '/tmp')}
        for folder, folders, _ in os.walk('/'):
            folders[:] = [name for name in folders if os.path.join(folder, name) not in own]
            if folder != '/' and folder in own:
                continue
            try:
                mark = os.path.join(folder, 'mark-' + facts['token'])
                os.close(os.open(mark, os.O_CREAT | os.O_WRONLY))
                escaped(folder)
                os.unlink(mark)
            except OSError:
                pass
        """,
        tiers=EVERY_TIER,
    ),
    Case(
        "opens any program or library for writing",
        "files",
        (Guard.READ_ONLY,),
        """\
        own = {'/proc', '/dev', '/tmp', '/var/tmp', '/run', '/sys', os.getcwd(), os.environ.get('HOME', '/tmp')}
        for folder, folders, names in os.walk('/'):
            folders[:] = [name for name in folders if os.path.join(folder, name) not in own]
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.islink(path) and os.access(path, os.W_OK):
                    escaped(path)
        """,
        timeout_s=40,
    ),
    Case(
        "changes kernel settings in /proc/sys",
        "files",
        (Guard.READ_ONLY, Guard.CAPABILITIES, Guard.USERNS),
        """\
        place = '/proc/sys/net/ipv4/ip_forward'  # of its own network, so the control harms nobody
        file = os.open(place, os.O_WRONLY)
        os.write(file, b'1')
        escaped(place)
        """,
    ),
    _fills(
        "writes until the disk is full",
        """\
        with open('big', 'wb', buffering=0) as file:
            for _ in range(2 * facts['quota'] >> 20):
                file.write(bytes(1 << 20))
        """,
        tiers=EVERY_TIER,
    ),
    Case(
        "fills a second workspace of its tenant",
        "files",
        QUOTA,
        """\
        with open('big', 'wb', buffering=0) as file:
            for _ in range(facts['quota'] >> 20):
                file.write(bytes(1 << 20))
        """,
        prepare=_half_full,
        escaped=tenant_over_quota,
        ends=FULL,
        tiers=EVERY_TIER,
    ),
    _fills(
        "fills /tmp",
        """\
        with open('/tmp/big', 'wb', buffering=0) as file:
            for _ in range(2 * facts['quota'] >> 20):
                file.write(bytes(1 << 20))
        """,
    ),
    Case(
        "keeps a deleted file open and fills the disk with it",
        "files",
        QUOTA,
        """\
        file = os.open('gone', os.O_CREAT | os.O_RDWR)
        os.unlink('gone')
        written = 0
        for _ in range(2 * facts['quota'] >> 20):
            written += os.write(file, bytes(1 << 20))
            if written > facts['quota']:
                escaped(f'{written} bytes')
        """,
        ends=FULL,
    ),
    _fills(
        "preallocates more than its quota",
        """\
        os.posix_fallocate(os.open('big', os.O_CREAT | os.O_RDWR), 0, 2 * facts['quota'])
        """,
    ),
    _fills(
        "fills the holes of a sparse file",
        """\
        file = os.open('sparse', os.O_CREAT | os.O_RDWR)
        os.truncate(file, 1 << 33)
        for at in range(2 * facts['quota'] >> 16):
            os.pwrite(file, bytes(1 << 16), at << 18)
        """,
    ),
    _fills(
        "preallocates beyond the end, where the size does not show",
        """\
        libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        file = os.open('hidden', os.O_CREAT | os.O_RDWR)
        for at in range(2 * facts['quota'] >> 20):  # FALLOC_FL_KEEP_SIZE
            if libc.fallocate(file, 1, at << 20, 1 << 20) != 0:
                refused('fallocate')
        """,
    ),
    _fills(
        "fills the disk from many processes at once",
        """\
        def fill():
            with open(f'part-{os.getpid()}', 'wb', buffering=0) as file:
                for _ in range(facts['quota'] >> 20):
                    file.write(bytes(1 << 20))
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                try:
                    fill()
                finally:
                    os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        """,
    ),
    _fills(
        "writes through a mapping of a sparse file",
        """\
        import mmap
        size = 2 * facts['quota']
        file = os.open('mapped', os.O_CREAT | os.O_RDWR)
        os.truncate(file, size)
        def touch():
            view = mmap.mmap(file, size)
            for at in range(0, size, 4096):
                view[at] = 1
        in_child(touch)  # a page without room behind it is a SIGBUS
        """,
    ),
    _fills(
        "hides its bytes in file attributes",
        """\
        for number in range(2 * facts['quota'] >> 12):
            name = f'a{number}'
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
            attempt(os.setxattr, name, 'user.bytes', bytes(3900))
        """,
    ),
    Case(
        "makes more files than there is room for",
        "files",
        QUOTA,
        """\
        for number in range((facts['quota'] >> 12) + 100):
            os.close(os.open(f'f{number}', os.O_CREAT | os.O_WRONLY))
        """,
        escaped=too_many_files,
        ends=FULL,
        tiers=EVERY_TIER,
    ),
    Case(
        "makes more folders than there is room for",
        "files",
        QUOTA,
        """\
        for number in range((facts['quota'] >> 12) + 100):
            os.mkdir(f'd{number}')
        """,
        escaped=too_many_files,
        ends=FULL,
    ),
    Case(
        "makes more links than there is room for",
        "files",
        QUOTA,
        """\
        for number in range((facts['quota'] >> 12) + 100):
            os.symlink('x' * 50, f'l{number}')
        """,
        escaped=too_many_files,
        ends=FULL,
    ),
    Case(
        "opens settings of the whole host for writing",
        "files",
        (Guard.READ_ONLY, Guard.USER, Guard.CAPABILITIES),
        """\
        for name in ('sys/kernel/core_pattern', 'sysrq-trigger', 'sys/vm/drop_caches', 'sys/kernel/hostname'):
            if attempt(os.open, '/proc/' + name, os.O_WRONLY) is not None:  # and writes nothing
                escaped(name)
        """,
        tiers=EVERY_TIER,
    ),
)
