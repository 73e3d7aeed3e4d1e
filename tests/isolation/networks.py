"""A network of the test's own, standing in for the host's: loopback, private, metadata and outside addresses."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
ADDRESSES = (
    "10.11.12.13/32",
    "172.16.17.18/32",
    "192.168.19.20/32",
    "169.254.169.254/32",  # where clouds answer about the machine
    "203.0.113.7/32",  # documentation range, for an address outside
    "127.0.0.53/32",
)


def in_network_of_its_own(action: Callable[[], T]) -> T:
    """Run it in a thread whose network is new: sockets made and processes started there belong to that network.

    Raises:
        OSError: this process may not make network namespaces.
    """
    result: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "no network of its own")
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            for address in ADDRESSES:
                subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)
            subprocess.run(["ip", "-6", "address", "add", "fd00:7::1/128", "dev", "lo", "nodad"], check=True)
            subprocess.run(["ip", "link", "set", "lo", "multicast", "on"], check=True)
            subprocess.run(["ip", "route", "add", "224.0.0.0/4", "dev", "lo"], check=True)
            result.append(action())
        except BaseException as error:  # carried over to the thread that waits
            failed.append(error)

    thread = threading.Thread(target=run, name=f"network-{os.getpid()}")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return result[0]
