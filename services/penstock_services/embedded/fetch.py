"""Fetch the broker and the registry ahead of the first start: `python -m penstock_services.embedded.fetch`."""

from __future__ import annotations

import asyncio
import sys

from penstock.errors import PenstockError
from penstock_services.embedded.jars import java_servers
from penstock_services.embedded.java import find_java
from penstock_services.embedded.warm_up import ensure_class_archives


def main() -> int:
    """Returns the exit code; progress and errors go to standard error."""

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        java = find_java()
        asyncio.run(ensure_class_archives(java, java_servers(report), report))
    except PenstockError as exc:
        report(f"penstock: {exc}")
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
