"""Which addresses no sandbox reaches, and which name servers it may ask. Pure."""

from ipaddress import ip_address, ip_network

import pytest

from penstock_services.sandbox.firewall import Reach, is_refused, public_resolvers, ruleset


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.31.255.255", "192.168.0.1", "100.127.0.1", "169.254.169.254", "0.0.0.0"),
        *("168.63.129.16", "192.0.0.192", "100.100.100.200", "224.0.0.1", "255.255.255.255"),
        *("::1", "::", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "fd00:ec2::254", "fe80::1", "ff02::1"),
        *("2002:a00:1::1", "2001:0:1::1"),
    ],
)
def test_what_is_not_the_public_network_is_refused(address):
    assert is_refused(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "203.0.113.7", "2606:4700::1111", "2001:db8::1"])
def test_the_public_network_is_not(address):
    assert not is_refused(ip_address(address))


def test_of_the_hosts_name_servers_only_public_ones_are_asked():
    text = "# nameserver 8.8.4.4\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\n"
    assert public_resolvers(f"{text}search x\nnameserver 8.8.8.8\n") == [ip_address("8.8.8.8")]


def test_refused_ranges_come_before_what_is_allowed():
    rules = ruleset(Reach([ip_address("198.51.100.2")], [], [ip_network("10.0.0.0/8")]))
    assert rules.index("@refused4 reject") < rules.index("@allowed4 accept")
    assert "198.51.100.2/32" in rules
    assert "policy drop" in rules
