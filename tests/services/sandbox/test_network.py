"""A sandbox with a network, against real servers: on the host, outside, and in another sandbox. Each refusal has
its control: the same attempt without the rules arrives."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.errors import SandboxFailed, SandboxUnavailable
from penstock_services.sandbox import Policy, Sandbox, host, network, seccomp
from penstock_services.sandbox.cgroups import Group, prepared_hierarchy
from penstock_services.sandbox.owners import this_process
from penstock_services.sandbox.users import USERS
from tests.fixtures.outside import HOST_PUBLIC, NAME, ON_HOST, OUTSIDE, PORT, PUBLIC, Outside
from tests.fixtures.sandbox import missing
from tests.isolation.waiting import until

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

TRY = r"""
import json, socket, sys
kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
answers = {}
for address in sys.argv[2:]:
    for name, kind in kinds.items():
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as s:
            s.settimeout(5)
            try:
                s.connect((address, int(sys.argv[1])))
                if name == "udp":
                    s.send(b"hello")
                answers[f"{name} {address}"] = s.recv(100).decode()
            except OSError as error:
                answers[f"{name} {address}"] = type(error).__name__
print(json.dumps(answers))
"""
MAPPED = tuple(f"::ffff:{address}" for address in ("127.0.0.1", "10.11.12.13", "169.254.169.254"))
GATEWAYS = ("10.0.2.2", "fd00:2::2")
PRIVATE_OUTSIDE = tuple(address for address in OUTSIDE if address not in PUBLIC)
FIRST_UID, UIDS = 2_000_020_000, 20_000
NEVER = (*ON_HOST, *PRIVATE_OUTSIDE, *MAPPED, *GATEWAYS)


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> Iterator[Outside]:
    with Outside(tmp_path_factory.mktemp("outside")) as made:
        yield made


@pytest.fixture
def networked(sandbox_world) -> Policy:
    sandbox_world.uid = FIRST_UID + os.getpid() % UIDS  # no other test's: its processes are counted
    return replace(sandbox_world.policies["enterprise"], network=True)


@pytest.fixture
def tried(sandbox_world, outside, networked):
    """What a command that tries these addresses gets of each, and where something came in."""

    def run(*addresses: str, **changes: object) -> tuple[dict[str, str], set[str]]:
        sandbox = sandbox_world.sandbox(replace(networked, **changes))
        outside.take_heard()
        command = ["python3", "-I", "-S", "-c", TRY, str(PORT), *addresses]
        outcome = outside.on_host(lambda: asyncio.run(sandbox.run(command)))
        assert outcome.succeeded, outcome
        return json.loads(outcome.output), set(outside.take_heard())

    return run


def processes_of(uid: int) -> list[int]:
    """Living ones; the dead wait for this machine's first process at its own pace."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if entry.stat().st_uid == uid and Path(entry.path, "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def groups() -> list[str]:
    return [group.name for group in prepared_hierarchy().groups() if group.name.startswith(this_process().name)]


def test_the_outside_answers_over_both_protocols_and_both_versions(tried):
    answers, heard = tried(*PUBLIC)
    assert answers == {f"{kind} {address}": address for address in PUBLIC for kind in ("tcp", "udp")}
    assert heard == set(PUBLIC)


def test_the_host_private_ranges_and_metadata_do_not(tried):
    answers, heard = tried(*NEVER)
    assert heard == set()
    assert set(answers.values()) <= {"OSError", "PermissionError", "ConnectionRefusedError", "TimeoutError"}


def test_without_the_rules_all_of_that_is_reached(tried, monkeypatch):
    """The control of the rules, and of the gateway's not being mapped to the host's loopback."""
    monkeypatch.setattr(network, "ruleset", lambda reach: "")
    mapping = tuple(option for option in network.PASTA_OPTIONS if option != "--no-map-gw")
    monkeypatch.setattr(network, "PASTA_OPTIONS", mapping)
    _, heard = tried(*HOST_PUBLIC, *ON_HOST[-2:], *PRIVATE_OUTSIDE, *GATEWAYS)
    assert heard == set(ON_HOST) | set(PRIVATE_OUTSIDE)  # the gateways are 127.0.0.1 and ::1


def test_of_an_allow_list_nothing_else_is_reached_and_a_private_entry_is_not_either(tried):
    allowed = (PUBLIC[0], "2001:db8:7::/48", "10.0.0.0/8")
    answers, heard = tried(*PUBLIC, "10.11.12.13", network_hosts=allowed)
    assert heard == {PUBLIC[0], PUBLIC[2]}
    assert answers[f"tcp {PUBLIC[1]}"] != PUBLIC[1]


def said(outside: Outside, sandbox: Sandbox, program: str) -> str:
    outcome = outside.on_host(lambda: asyncio.run(sandbox.run(["python3", "-I", "-S", "-c", program])))
    return outcome.output.decode().strip()


LOOK_UP = f"import socket; print(socket.create_connection(('{NAME}', {PORT}), timeout=5).recv(100).decode())"


def test_names_are_found_by_the_hosts_public_name_server(sandbox_world, outside, networked):
    assert said(outside, sandbox_world.sandbox(networked), LOOK_UP) == PUBLIC[0]
    assert NAME in outside.asked


def test_an_allowed_name_is_found_without_a_name_server(sandbox_world, outside, networked):
    sandbox = sandbox_world.sandbox(replace(networked, network_hosts=(NAME,)))
    assert said(outside, sandbox, LOOK_UP) == PUBLIC[0]
    outside.asked.clear()
    program = "import socket\ntry: socket.gethostbyname('secret.penstock.test')\nexcept OSError: print('no')"
    assert said(outside, sandbox, program) == "no"
    assert "secret.penstock.test" not in outside.asked


CHANGE = r"""
import fcntl, socket, struct
refused = []
def attempt(what, action):
    try:
        action()
    except PermissionError:
        refused.append(what)
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
address = struct.pack("16sHH4s8x", b"net0", 2, 0, b"\xc6\x33\x64\x09")
attempt("address", lambda: fcntl.ioctl(probe, 0x8916, address))
attempt("down", lambda: fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"net0", 0)))
def netlink(family, *messages):
    link = socket.socket(16, 3, family)
    link.settimeout(2)
    link.send(b"".join(messages))
    answer = link.recv(4096)
    error = struct.unpack("i", answer[16:20])[0]
    if error:
        raise OSError(-error, "netlink")
def message(kind, flags, body):
    return struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body
attempt("link", lambda: netlink(0, message(16, 5, struct.pack("BxHiII", 0, 0, 2, 0, 1))))
name = b"penstock\0"
table = struct.pack("HH", 4 + len(name), 1) + name + b"\0" * (-len(name) % 4)
batch = lambda kind: message(kind, 1, struct.pack("!BBH", 0, 0, 10))
delete = message((10 << 8) | 2, 5, struct.pack("!BBH", 1, 0, 0) + table)  # NFT_MSG_DELTABLE
attempt("rules", lambda: netlink(12, batch(16), delete, batch(17)))
print(*refused)
"""


def test_a_command_cannot_change_the_rules_even_without_the_filter(sandbox_world, outside, networked, monkeypatch):
    """Netlink is refused by the filter already; here the kernel refuses for want of a right in that namespace."""
    monkeypatch.setattr(seccomp, "programs", lambda: ())
    assert said(outside, sandbox_world.sandbox(networked), CHANGE) == "address down link rules"


def test_root_of_the_host_could_change_them(outside):
    """The control: the same program with the right, in a network of the same shape."""
    rules = "table inet penstock { }; "
    command = f"ip link add net0 type veth && nft '{rules}' && exec {sys.executable} -c \"$PROGRAM\""
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", command],
        env=os.environ | {"PROGRAM": CHANGE},
        capture_output=True,
        check=False,
    )
    assert (done.stdout.decode().strip(), done.stderr.decode()) == ("", "")


def test_another_sandbox_is_not_reached(sandbox_world, outside, networked):
    workspaces = [sandbox_world.workspace(f"s-{n}", tenant=f"tenant-{n}") for n in range(2)]
    listening, trying = (sandbox_world.sandbox(networked, workspace) for workspace in workspaces)
    listen = (
        "import socket, threading\n"
        f"s = socket.create_server(('::', {PORT}), family=socket.AF_INET6, dualstack_ipv6=True)\n"
        f"with socket.create_connection(('10.0.2.100', {PORT})): s.accept()\n"  # it can be reached, from inside
        "open('ready', 'w').close(); s.settimeout(60)\n"
        "print('reached by', s.accept()[1])"
    )

    async def both() -> dict[str, str]:
        first = asyncio.ensure_future(listening.run(["python3", "-I", "-S", "-c", listen]))
        while not (workspaces[0].path / "ready").exists():
            assert not first.done(), first.result()
            await asyncio.sleep(0.01)
        addresses = ("10.0.2.100", "fd00:2::100", "127.0.0.1", "::1", *GATEWAYS, *HOST_PUBLIC)
        outcome = await trying.run(["python3", "-I", "-S", "-c", TRY, str(PORT), *addresses])
        assert not first.done(), first.result()
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        return json.loads(outcome.output)

    answers = outside.on_host(lambda: asyncio.run(both()))
    assert not [answer for answer in answers.values() if not answer.endswith("Error")]


@pytest.mark.parametrize("command", [["true"], ["sleep", "1000"], ["no-such-command"]])
def test_nothing_of_a_network_is_left_however_its_command_ended(sandbox_world, outside, networked, command):
    sandbox = sandbox_world.sandbox(replace(networked, timeout_s=0.5))
    outside.on_host(lambda: asyncio.run(sandbox.run(command)))
    assert processes_of(sandbox_world.uid + USERS) == []
    assert groups() == []


def test_pasta_that_cannot_start_fails_the_command_and_leaves_nothing(
    sandbox_world, outside, networked, monkeypatch
):
    monkeypatch.setattr(network, "_DEVICE", 'mount -t tmpfs none /dev/net && exec /usr/bin/setpriv "$@"')
    sandbox = sandbox_world.sandbox(networked)
    with pytest.raises(SandboxFailed, match="pasta ended.*tun"):
        outside.on_host(lambda: asyncio.run(sandbox.run(["true"])))
    assert processes_of(sandbox_world.uid + USERS) == []
    assert groups() == []


def test_rules_that_cannot_be_loaded_keep_the_command_from_starting(
    sandbox_world, outside, networked, monkeypatch
):
    monkeypatch.setattr(network, "ruleset", lambda reach: "table inet penstock { nonsense }")
    workspace = sandbox_world.workspace()
    sandbox = sandbox_world.sandbox(networked, workspace)
    with pytest.raises(SandboxFailed, match="rules.*cannot be loaded"):
        outside.on_host(lambda: asyncio.run(sandbox.run(["touch", "ran"])))
    assert not (workspace.path / "ran").exists()


WORKER = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from penstock_services.sandbox import Runtime, Sandbox, load_policies
policy = replace(load_policies()["enterprise"], network=True)
sandbox = Sandbox(policy, Path(sys.argv[1]), int(sys.argv[2]), runtime=Runtime(Path(sys.argv[3])))
asyncio.run(sandbox.run(["sh", "-c", "echo > started; exec sleep 1000"]))
"""


def test_with_a_killed_worker_its_networks_end(sandbox_world, outside, networked):
    """Without a reaper: pasta's holder ends with the pipe that only the worker had."""
    workspace, uid = sandbox_world.workspace(), sandbox_world.uid
    arguments = (str(workspace.path), str(uid), str(sandbox_world.folder / "runtime"))
    worker = outside.on_host(lambda: subprocess.Popen([sys.executable, "-c", WORKER, *arguments]))
    until((workspace.path / "started").exists, "the command runs", within_s=30)
    assert len(processes_of(uid + USERS)) == 2
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    until(lambda: not processes_of(uid + USERS), "pasta and its holder are gone", within_s=30)
    for group in prepared_hierarchy().groups():
        if f".{worker.pid}." in group.name:
            assert group.remove()


def test_what_carries_a_network_is_in_the_receipt(sandbox_world, outside, networked, monkeypatch):
    counts, seen = Group.counts, []
    monkeypatch.setattr(Group, "counts", lambda group: seen.append(counts(group)) or seen[-1])
    receipt = outside.on_host(lambda: asyncio.run(sandbox_world.sandbox(networked).run(["true"]))).receipt
    command, pasta = seen
    assert pasta.cpu_s > 0
    assert pasta.peak_memory_bytes > 0
    assert receipt.cpu_s == command.cpu_s + pasta.cpu_s
    assert receipt.peak_memory_bytes == command.peak_memory_bytes + pasta.peak_memory_bytes


def test_a_missing_tool_is_named(sandbox_world, networked, monkeypatch):
    monkeypatch.setattr(host, "NETWORK_PACKAGES", {"pasta-of-nobody": "passt"})
    host.found_network_tools.cache_clear()
    with pytest.raises(SandboxUnavailable, match="pasta-of-nobody.*apt-get install passt"):
        sandbox_world.sandbox(networked)
    monkeypatch.undo()
    host.found_network_tools.cache_clear()
