"""What each tier may do."""

from pathlib import Path

import pytest

from penstock.errors import PolicyRefused
from penstock_services.sandbox import load_policies

MIB = 1024 * 1024


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policies.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("tier", "timeout_s", "memory_mib", "processes", "quota_mib", "readable"),
    [
        ("free", 60, 256, 5, 100, ("/usr/share/dict", "/etc/passwd")),
        ("pro", 120, 512, 10, 1024, ("/usr/share", "/etc/passwd", "/etc/hosts")),
        ("enterprise", 300, 1024, 20, 10240, ("/usr/share", "/etc")),
    ],
)
def test_each_tier_has_its_limits(tier, timeout_s, memory_mib, processes, quota_mib, readable):
    policy = load_policies()[tier]
    assert (policy.timeout_s, policy.memory_bytes, policy.processes) == (timeout_s, memory_mib * MIB, processes)
    assert (policy.quota_bytes, policy.readable, policy.writable) == (quota_mib * MIB, readable, ())
    assert not policy.network


def test_a_tier_nobody_knows_is_free():
    policies = load_policies()
    assert policies.of("platinum") is policies["free"]


def test_only_free_lacks_the_commands_that_speak_to_a_network():
    policies = load_policies()
    assert policies["free"].left_out == {"curl", "wget", "ssh", "scp", "nc", "netcat"}
    assert policies["pro"].left_out == policies["enterprise"].left_out == frozenset()


def test_an_operator_may_tighten_a_tier_and_name_only_what_changes(tmp_path):
    policies = load_policies(written(tmp_path, "[tiers.pro]\ntimeout_s = 30\n"))
    assert policies["pro"].timeout_s == 30
    assert policies["pro"].memory_bytes == 512 * MIB
    assert policies["free"] == load_policies()["free"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("timeout_s = 61", "timeout_s 61 above 60"),
        ("memory_bytes = 300000000", "memory_bytes"),
        ("processes = 6", "processes 6 above 5"),
        ("quota_bytes = 200000000", "quota_bytes"),
        ('readable = ["/etc/passwd", "/srv"]', "readable /srv"),
        ('readable = ["/usr/share"]', "readable /usr/share"),
        ('writable = ["/srv"]', "writable /srv"),
        ('left_out = ["curl"]', "command nc"),
        ("network = true", "network"),
    ],
)
def test_what_is_looser_than_built_in_must_be_said_to_be_meant(tmp_path, change, said):
    text = f"[tiers.free]\n{change}\n"
    with pytest.raises(PolicyRefused, match=f"{said}.*allow_looser = true"):
        load_policies(written(tmp_path, text))
    load_policies(written(tmp_path, f"allow_looser = true\n{text}"))


def test_a_tier_of_the_operators_own_starts_from_free(tmp_path):
    policies = load_policies(written(tmp_path, "[tiers.trial]\nprocesses = 2\n"))
    assert (policies["trial"].tier, policies["trial"].processes, policies["trial"].timeout_s) == ("trial", 2, 60)


def test_more_commands_than_built_in_are_looser_too(tmp_path):
    with pytest.raises(PolicyRefused, match="adds gdb"):
        load_policies(written(tmp_path, '[runtime]\ncommands = ["sh", "gdb"]\nlibraries = []\n'))


def test_options_are_one_tenants_and_of_the_tier_enterprise(tmp_path):
    text = (
        '[tenants.acme]\ntimeout_s = 900\nextra_read_paths = ["/srv/models"]\nextra_write_paths = ["/srv/out"]\n'
    )
    policies = load_policies(written(tmp_path, text))
    acme = policies.of("enterprise", "acme")
    assert (acme.timeout_s, acme.writable) == (900, ("/srv/out",))
    assert acme.readable == ("/usr/share", "/etc", "/srv/models")
    assert policies.of("enterprise", "other") == policies["enterprise"]
    assert policies.of("pro", "acme") == policies["pro"]


def test_a_network_is_one_tenants_of_the_tier_enterprise_with_its_hosts(tmp_path):
    text = '[tenants.acme]\nallow_network = true\nnetwork_hosts = ["pypi.org", "203.0.113.0/24", "2001:db8::1"]\n'
    policies = load_policies(written(tmp_path, text))
    acme = policies.of("enterprise", "acme")
    assert (acme.network, acme.network_hosts) == (True, ("pypi.org", "203.0.113.0/24", "2001:db8::1"))
    assert not policies.of("enterprise", "other").network
    assert not policies.of("pro", "acme").network
    assert policies.networked("enterprise") == acme
    assert policies.networked("pro") is policies.networked("free") is None


@pytest.mark.parametrize(
    "text",
    [
        "[tiers.free]\ntimeout_s = 0",
        "[tiers.free]\ntimeout_s = 'soon'",
        "[tiers.free]\nmemory = 5",
        "[tiers.free]\nprocesses = -1",
        '[tiers."../x"]\nprocesses = 1',
        '[tenants.acme]\nextra_read_paths = ["relative"]',
        '[tenants.acme]\nextra_read_paths = ["/srv/../root"]',
        '[tenants.acme]\nextra_read_paths = ["/"]',
        '[tenants.acme]\nextra_read_paths = ["/proc/1"]',
        '[tenants.acme]\nextra_write_paths = ["/sys"]',
        '[tenants."a/b"]\ntimeout_s = 5',
        '[tenants.acme]\nnetwork_hosts = ["https://pypi.org"]',
        '[tenants.acme]\nnetwork_hosts = ["pypi.org:443"]',
        '[tenants.acme]\nnetwork_hosts = ["10.0.0.1/8"]',
        '[tenants.acme]\nnetwork_resolvers = ["127.0.0.53"]',
        '[tenants.acme]\nnetwork_resolvers = ["dns.example"]',
        "not toml",
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_and_named(tmp_path, text):
    with pytest.raises(PolicyRefused, match=r"policies\.toml"):
        load_policies(written(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(PolicyRefused, match="none.toml"):
        load_policies(tmp_path / "none.toml")
