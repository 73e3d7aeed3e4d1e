"""`python -m tests.faults`: the whole campaign; prints its tables, exit code 1 where a promise did not hold."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.faults.campaign import campaign
from tests.faults.table import markdown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all rounds, for docs/faults.md")
    parser.add_argument("--only", default="", help="faults and guards whose name has this in it")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    for name in ("aiokafka", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the faults are ours
    folder = Path(tempfile.mkdtemp(prefix="penstock-faults-"))
    begin = time.monotonic()
    say = partial(print, flush=True)
    report = asyncio.run(campaign(folder, full=options.full, only=options.only, say=say))
    say(f"\n{markdown(report)}\n\n{time.monotonic() - begin:.0f} s")
    if not report.passed:
        say(f"A promise did not hold, or a control found nothing; logs and data are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
