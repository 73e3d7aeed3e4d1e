"""One log format for every process; libraries speak only when something is wrong."""

from __future__ import annotations

import logging

QUIET = ("aiokafka", "faust", "httpx", "mode")
"""Chatty at INFO: a line per request, per rebalance, per service started."""


def configure_logging() -> None:
    """Log to standard error; call once, from a process's command."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
