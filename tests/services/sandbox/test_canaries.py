"""The canaries see a limit that is taken away."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from penstock.errors import SandboxUnavailable
from penstock_services.sandbox import command_line, host, load_policies, network, seccomp
from penstock_services.sandbox.canaries import check_tiers, try_tier
from penstock_services.sandbox.settings import SandboxSettings
from tests.fixtures.outside import Outside
from tests.fixtures.sandbox import missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture
def settings(sandbox_folder) -> SandboxSettings:
    return SandboxSettings(folder=sandbox_folder)


OPTIONS = command_line.bwrap_options


async def lost(settings: SandboxSettings) -> dict[str, str]:
    findings = await try_tier(settings, load_policies(), "free")
    return {finding.limit: finding.seen for finding in findings if not finding.held}


async def test_every_limit_of_every_tier_holds_here(settings, sandbox_folder):
    await check_tiers(settings, load_policies(), ["free", "pro", "enterprise"])
    assert [p for p in (sandbox_folder / "workspaces").iterdir() if not p.name.startswith(".")] == []


def writable(*arguments):
    options = OPTIONS(*arguments)
    at = [n for n, option in enumerate(options) if option == "--remount-ro"]
    return [option for n, option in enumerate(options) if n not in at and n - 1 not in at]


@pytest.mark.parametrize(
    ("name", "replacement", "limit", "seen"),
    [
        ("bwrap_options", writable, "files, network, kernel", "wrote in /"),
        ("OWN_PROCESSES", 10, "processes", "processes at once"),
        ("environment", lambda: dict(os.environ), "environment", "was seen"),
    ],
)
async def test_a_limit_that_was_taken_away_is_found(settings, monkeypatch, name, replacement, limit, seen):
    monkeypatch.setattr(command_line, name, replacement)
    assert seen in (await lost(settings))[limit]


async def test_a_missing_filter_is_found(settings, monkeypatch):
    monkeypatch.setattr(seccomp, "programs", lambda: ())
    assert "has no filter" in (await lost(settings))["files, network, kernel"]


def test_a_network_shared_with_the_host_is_found_by_its_devices(settings, outside, monkeypatch):
    """Those that are up: kernels with tunnel modules make some that are down in every new network."""
    subprocess.run(["ip", "-n", outside.host, "link", "add", "down0", "type", "veth"], check=True)
    monkeypatch.setattr(command_line, "bwrap_options", lambda *given: [*OPTIONS(*given), "--share-net"])
    seen = outside.on_host(lambda: asyncio.run(lost(settings)))["files, network, kernel"]
    assert "has a network device, wire0" in seen
    assert "down0" not in seen


async def test_a_worker_is_told_the_tier_the_limit_and_what_to_do(settings, monkeypatch):
    monkeypatch.setattr(command_line, "OWN_PROCESSES", 10)
    with pytest.raises(
        SandboxUnavailable, match=r"tier pro cannot be served here: processes.*PENSTOCK_WORKER_TIERS"
    ):
        await check_tiers(settings, load_policies(), ["pro"])


async def test_a_tier_without_a_policy_is_named(settings):
    with pytest.raises(SandboxUnavailable, match="'platinum'; known: free, pro, enterprise"):
        await check_tiers(settings, load_policies(), ["platinum"])


async def test_the_command_line_prints_the_table_and_fails_where_a_limit_does_not_hold(sandbox_folder):
    async def verify(**environment: str):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "penstock", "verify", "isolation", "--tier", "free", "--json"),
            env=os.environ | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode, out, err

    status, out, err = await verify()
    assert status == 0, err
    assert {finding["limit"] for finding in json.loads(out)} >= {"memory", "processes", "time", "disk quota"}
    status, out, _ = await verify(PATH="/nowhere")
    assert status == 1
    assert "bubblewrap is not installed" in json.loads(out)[0]["seen"]


@pytest.fixture
def networked(tmp_path):
    """The operator's policies, of which one tenant may have a network."""
    (tmp_path / "policies.toml").write_text("[tenants.acme]\nallow_network = true\n")
    return load_policies(tmp_path / "policies.toml")


@pytest.fixture
def outside(tmp_path):
    with Outside(tmp_path) as made:
        yield made


def test_where_a_tenant_may_have_a_network_its_limits_are_tried_too(settings, networked, outside):
    findings = outside.on_host(lambda: asyncio.run(try_tier(settings, networked, "enterprise")))
    assert {finding.limit for finding in findings} >= {"network: reach", "network: rules", "memory"}
    assert [finding.seen for finding in findings if not finding.held] == []
    assert networked.networked("pro") is None


def test_rules_that_were_taken_away_keep_a_worker_from_starting(settings, networked, outside, monkeypatch):
    monkeypatch.setattr(network, "ruleset", lambda reach: "")
    with pytest.raises(SandboxUnavailable, match="enterprise cannot be served here: network: reach does not hold"):
        outside.on_host(lambda: asyncio.run(check_tiers(settings, networked, ["enterprise"])))


async def test_a_missing_tool_keeps_a_worker_from_starting(settings, networked, monkeypatch):
    monkeypatch.setattr(host, "NETWORK_PACKAGES", {"pasta-of-nobody": "passt"})
    host.found_network_tools.cache_clear()
    with pytest.raises(SandboxUnavailable, match="enterprise cannot be served here: .*pasta-of-nobody"):
        await check_tiers(settings, networked, ["enterprise"])
    monkeypatch.undo()
    host.found_network_tools.cache_clear()
