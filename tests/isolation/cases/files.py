"""File system: reading and reaching what is outside."""

from __future__ import annotations

import os
import shutil
import stat
import struct

from tests.isolation.case import EVERY_TIER, Case
from tests.isolation.evidence import canary_touched, left_in_workspace, secret_read
from tests.isolation.guards import Guard
from tests.isolation.scene import Scene

PATHS = (Guard.PATHS,)
HOST_ROOT = (Guard.USER, Guard.CAPABILITIES, Guard.SECCOMP)
"""Without these a command is the host's root, in mount, process and network namespaces of its own."""
PLAIN = (Guard.BUBBLEWRAP, Guard.QUOTA)
"""Without these a command is any process of the slot's uid, in a plain folder."""


def _setuid_program(scene: Scene) -> None:
    """A copy of `id` that belongs to root and runs as root wherever the mount and the process allow it."""
    program = scene.workspace / "id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)


def _setgid_program(scene: Scene) -> None:
    program = scene.workspace / "id"
    shutil.copy("/usr/bin/id", program)
    os.chown(program, 0, 4243)
    program.chmod(0o2755)


def _program_with_capability(scene: Scene) -> None:
    """A copy of `cat` with cap_dac_read_search, and a file only root may read."""
    program, kept = scene.workspace / "cat", scene.workspace / "kept"
    shutil.copy("/usr/bin/cat", program)
    program.chmod(0o755)
    read_search = 1 << 2
    os.setxattr(program, "security.capability", struct.pack("<IIIII", 0x02000001, read_search, 0, 0, 0))
    kept.write_text(scene.secret)
    kept.chmod(0o600)


def _host_tmp(scene: Scene) -> None:
    scene.binds = [(str(scene.outside), "/tmp")]


def _host_shm(scene: Scene) -> None:
    scene.binds = [(str(scene.outside), "/dev/shm")]


def _host_passwd(scene: Scene) -> None:
    """The host's accounts stand in for all of its /etc."""
    passwd = scene.outside / "passwd"
    passwd.write_text(f"root:x:0:0::/:/bin/sh\n{scene.secret}:x:1:1::/:/bin/sh\n")
    scene.binds = [(str(passwd), "/etc/passwd")]


def _host_etc(scene: Scene) -> None:
    etc = scene.outside / "etc"
    (etc / "ssh").mkdir(parents=True)
    (etc / "ssh" / "ssh_host_key").write_text(f"-----BEGIN PRIVATE KEY-----\n{scene.secret}\n")
    scene.binds = [(str(etc), "/etc")]


def _host_sys(scene: Scene) -> None:
    scene.binds = [("/sys", "/tmp/sys")]
    scene.facts["places"] = ["/sys", "/tmp/sys"]


def _homes(scene: Scene) -> None:
    home = scene.outside / "home"
    home.mkdir()
    (home / ".credentials").write_text(scene.secret)
    scene.facts["places"] = ["/root", "/home", "/run", "/var", "/srv", "/mnt", "/opt", "/boot", "/tmp"]
    scene.binds = [(str(home), "/tmp/home")]


def _node(scene: Scene) -> None:
    """A device node that somebody else put there: /dev/full, which reads as zeros."""
    node = scene.workspace / "node"
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    node.chmod(0o666)


def _unwanted_commands() -> str | None:
    names = ("curl", "wget", "ssh", "scp", "nc", "netcat")
    return None if any(map(shutil.which, names)) else f"this host itself has none of {', '.join(names)}"


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _reads(name: str, attack: str, *, tiers: tuple[str, ...] = ("free",)) -> Case:
    return Case(name, "files", PATHS, attack, escaped=secret_read, tiers=tiers)


CASES = (
    _reads("reads a file of the host by its path", "print(open(facts['canary']).read())", tiers=EVERY_TIER),
    _reads(
        "reads a file of the host through a symbolic link",
        "os.symlink(facts['canary'], 'link')\nprint(open('link').read())",
        tiers=EVERY_TIER,
    ),
    _reads(
        "reads a file of the host through a chain of links",
        """\
        os.symlink('/', 'root')
        os.symlink('root' + os.path.dirname(facts['canary']), 'folder')
        os.symlink('folder/canary', 'link')
        print(open('link').read())
        """,
    ),
    _reads("climbs out of the workspace by ..", "print(open('../' * 40 + facts['canary'][1:]).read())"),
    _reads(
        "climbs out by .. from a descriptor",
        """\
        folder = os.open('.', os.O_RDONLY)
        for _ in range(40):
            folder = os.open('..', os.O_RDONLY, dir_fd=folder)
        print(os.read(os.open(facts['canary'][1:], os.O_RDONLY, dir_fd=folder), 100))
        """,
    ),
    _reads("reads through /proc/self/root", "print(open('/proc/self/root' + facts['canary']).read())"),
    _reads("reads through /proc/1/root", "print(open('/proc/1/root' + facts['canary']).read())"),
    _reads(
        "reads through the root of its parent",
        "print(open(f'/proc/{os.getppid()}/root' + facts['canary']).read())",
    ),
    _reads(
        "reads through /proc/self/cwd/..",
        "print(open('/proc/self/cwd/' + '../' * 40 + facts['canary'][1:]).read())",
    ),
    _reads(
        "reads through /proc/thread-self/root", "print(open('/proc/thread-self/root' + facts['canary']).read())"
    ),
    _reads(
        "keeps a descriptor of its root and opens from it",
        """\
        root = os.open('/', os.O_PATH)
        print(os.read(os.open(facts['canary'][1:], os.O_RDONLY, dir_fd=root), 100))
        """,
    ),
    _reads(
        "moves the workspace's folder while it is inside",
        """\
        os.makedirs('a/b/c')
        os.chdir('a/b/c')
        os.rename('../../../a/b', '../../../b')
        print(open('../' * 40 + facts['canary'][1:]).read())
        """,
    ),
    _reads(
        "swaps a folder for a link while another process opens beneath it",
        """\
        os.makedirs('swap/' + os.path.dirname(facts['canary'])[1:])
        open('swap' + facts['canary'], 'w').close()
        os.symlink('/', 'other')
        child = os.fork()
        if child == 0:
            while True:  # RENAME_EXCHANGE
                syscall('renameat2', -100, b'swap', -100, b'other', 2)
        try:
            for _ in range(2000):
                try:
                    found = open('swap' + facts['canary']).read()
                except OSError:
                    continue
                if found:
                    print(found)
                    break
        finally:
            os.kill(child, signal.SIGKILL)
        """,
    ),
    Case(
        "links a file of the host into the workspace",
        "files",
        PATHS,
        """\
        os.link(facts['canary'], facts['outside'] + '/hard')
        """,
        escaped=canary_touched,
    ),
    Case(
        "finds the files others keep in /tmp",
        "files",
        PATHS,
        """\
        for name in os.listdir('/tmp'):
            if os.path.isfile('/tmp/' + name):
                print(open('/tmp/' + name).read())
        """,
        prepare=_host_tmp,
        escaped=secret_read,
        tiers=EVERY_TIER,
    ),
    Case(
        "leaves a file for others in /tmp",
        "files",
        PATHS,
        """\
        open('/tmp/left', 'w').write('x')
        """,
        prepare=_host_tmp,
        escaped=canary_touched,
    ),
    Case(
        "replaces a file of others in the sticky /tmp",
        "files",
        PATHS,
        """\
        os.rename('/tmp/canary', '/tmp/moved')
        """,
        prepare=_host_tmp,
        escaped=canary_touched,
    ),
    Case(
        "finds the files others keep in /dev/shm",
        "files",
        PATHS,
        """\
        for name in os.listdir('/dev/shm'):
            print(open('/dev/shm/' + name).read())
        """,
        prepare=_host_shm,
        escaped=secret_read,
    ),
    Case(
        "leaves a file for others in /dev/shm",
        "files",
        PATHS,
        """\
        open('/dev/shm/left', 'w').write('x')
        """,
        prepare=_host_shm,
        escaped=canary_touched,
    ),
    Case(
        "reads the host's accounts in /etc/passwd",
        "files",
        PATHS,
        "cat /etc/passwd",
        "sh",
        prepare=_host_passwd,
        escaped=secret_read,
    ),
    Case(
        "reads what the host has under /sys",
        "files",
        PATHS,
        """\
        for place in facts['places']:
            if attempt(os.listdir, place + '/kernel'):
                escaped(place)
        """,
        prepare=_host_sys,
        tiers=EVERY_TIER,
    ),
    Case(
        "searches every home and service folder",
        "files",
        PATHS,
        """\
        for place in facts['places']:
            for folder, _, names in os.walk(place):
                for name in names:
                    try:
                        print(open(os.path.join(folder, name), errors='replace').read(1000))
                    except OSError:
                        pass
        """,
        prepare=_homes,
        escaped=secret_read,
        tiers=EVERY_TIER,
    ),
    Case(
        "gets root from a setuid program in the workspace",
        "files",
        PLAIN,
        """\
        [ "$(./id -u)" = 0 ] && echo ESCAPED: root
        """,
        "sh",
        prepare=_setuid_program,
        tiers=EVERY_TIER,
    ),
    Case(
        "gets a group from a setgid program in the workspace",
        "files",
        PLAIN,
        """\
        case "$(./id -G)" in *4243*) echo ESCAPED: a group;; esac
        """,
        "sh",
        prepare=_setgid_program,
    ),
    Case(
        "gets a capability from a program that carries one",
        "files",
        PLAIN,
        "./cat kept",
        "sh",
        prepare=_program_with_capability,
        escaped=secret_read,
    ),
    Case(
        "makes a device node in the workspace",
        "files",
        HOST_ROOT,
        """\
        wanted(syscall('mknodat', -100, b'device', 0o666 | 0o020000, os.makedev(1, 7)), 'mknod')
        """,
        escaped=left_in_workspace("device", _is_device),
        tiers=EVERY_TIER,
    ),
    Case(
        "makes a block device node of the host's disk",
        "files",
        HOST_ROOT,
        """\
        wanted(syscall('mknodat', -100, b'disk', 0o600 | 0o060000, os.makedev(254, 0)), 'mknod')
        """,
        escaped=left_in_workspace("disk", _is_device),
    ),
    Case(
        "opens a device node that lies in the workspace",
        "files",
        (Guard.DEVICES, Guard.QUOTA),
        """\
        escaped(os.read(os.open('node', os.O_RDONLY), 4))
        """,
        prepare=_node,
    ),
    Case(
        "opens the host's own devices",
        "files",
        (Guard.DEVICES,),
        """\
        for name in ('fuse', 'loop-control', 'kvm', 'mem', 'vda', 'sda', 'kmsg', 'btrfs-control', 'autofs'):
            if attempt(os.open, '/dev/' + name, os.O_RDONLY) is not None:
                escaped('/dev/' + name)
        """,
        tiers=EVERY_TIER,
    ),
    Case(
        "finds devices beyond the harmless ones",
        "files",
        (Guard.DEVICES,),
        """\
        harmless = {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx', 'console'}
        for name in os.listdir('/dev'):
            mode = os.lstat('/dev/' + name).st_mode
            if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and name not in harmless:
                escaped(name)
        """,
    ),
    Case(
        "opens a file by its handle, past all paths",
        "files",
        HOST_ROOT,
        """\
        open('file', 'w').write('x')
        handle = ctypes.create_string_buffer(8 + 128)
        ctypes.memmove(handle, (128).to_bytes(4, 'little'), 4)
        mount = ctypes.c_int()
        syscall('name_to_handle_at', -100, b'file', handle, ctypes.byref(mount), 0)
        wanted(syscall('open_by_handle_at', os.open('.', os.O_RDONLY), handle, 0), 'open_by_handle_at')
        """,
    ),
    Case(
        "changes its root by chroot",
        "files",
        (Guard.CAPABILITIES, Guard.SECCOMP, Guard.USERNS),
        """\
        wanted(syscall('chroot', b'.'), 'chroot')
        """,
    ),
    Case(
        "makes a file nobody can delete",
        "files",
        HOST_ROOT,
        """\
        import fcntl
        file = os.open('forever', os.O_CREAT | os.O_RDWR)
        fcntl.ioctl(file, 0x40086602, (0x10).to_bytes(8, 'little'))  # FS_IOC_SETFLAGS, immutable
        escaped('immutable')
        fcntl.ioctl(file, 0x40086602, (0).to_bytes(8, 'little'))
        """,
    ),
    Case(
        "finds curl, wget, ssh, scp, nc or netcat",
        "files",
        (Guard.RUNTIME,),
        """\
        unwanted = {'curl', 'wget', 'ssh', 'scp', 'nc', 'netcat', 'nc.openbsd', 'nc.traditional', 'ncat', 'sftp'}
        for top in ('/bin', '/sbin', '/usr', '/lib', '/opt', '/etc'):
            for folder, _, names in os.walk(top):
                for name in unwanted & set(names):
                    if os.access(os.path.join(folder, name), os.X_OK):
                        escaped(os.path.join(folder, name))
        """,
        no_control=_unwanted_commands,
    ),
    Case(
        "finds keys and passwords in /etc",
        "files",
        PATHS,
        """\
        for folder, _, names in os.walk('/etc'):
            for name in names:
                path = os.path.join(folder, name)
                if name in ('shadow', 'gshadow', 'shadow-'):
                    escaped(path)
                try:
                    if b'PRIVATE KEY' in open(path, 'rb').read():
                        escaped(path)
                except OSError:
                    pass
        """,
        prepare=_host_etc,
        tiers=EVERY_TIER,
    ),
)
