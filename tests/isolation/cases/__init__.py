"""The corpus: every case of every area."""

from __future__ import annotations

from tests.isolation.case import Case
from tests.isolation.cases import (
    allowed,
    environment,
    files,
    kernel,
    memory,
    network,
    processes,
    tenants,
    terminal,
    time,
    worker,
    writing,
)

CASES: tuple[Case, ...] = (
    *files.CASES,
    *writing.CASES,
    *processes.CASES,
    *memory.CASES,
    *network.CASES,
    *allowed.CASES,
    *kernel.CASES,
    *environment.CASES,
    *terminal.CASES,
    *time.CASES,
    *tenants.CASES,
    *worker.CASES,
)
