"""`python -m tests.isolation`: the corpus in rounds, and what many runs and killed workers leave on this host."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from penstock_services.sandbox.users import USERS
from tests.isolation.attack import run
from tests.isolation.cases import CASES
from tests.isolation.in_terminal import TerminalWorker
from tests.isolation.leftovers import kill_workers, look
from tests.isolation.place import Place
from tests.isolation.table import PAGE, page


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.isolation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="of the guarded corpus, each case for its tiers")
    parser.add_argument("--only", default="", help="cases whose area or name has this in it")
    parser.add_argument(
        "--runs", type=int, default=0, help="of small commands by workers of which some are killed"
    )
    parser.add_argument("--killed", type=int, default=0, help="how many workers are killed among these runs")
    parser.add_argument("--write-docs", action="store_true", help="write docs/sandbox-corpus.md, and stop")
    options = parser.parse_args()
    if options.write_docs:
        PAGE.write_text(page())
        return 0
    counts = Counter[str]()
    if options.rounds:
        counts.update(_rounds(options.rounds, options.only))
    if options.runs:
        counts.update(kill_workers(options.runs, options.killed))
    for name, count in sorted(counts.items()):
        print(f"{name:32} {count:>8,}")
    left = sum(count for name, count in counts.items() if name.startswith("left: "))
    return 1 if counts["escapes"] or counts["not tried"] or left else 0


def _rounds(rounds: int, only: str) -> Counter[str]:
    counts = Counter({"escapes": 0, "not tried": 0, "attacks": 0})
    with Place() as place:
        worker = TerminalWorker()
        for number in range(rounds):
            begin = time.monotonic()
            for case in (case for case in CASES if only in case.area or only in case.name):
                for tier in case.tiers:
                    counts["attacks"] += 1
                    if case.in_terminal:
                        answer = worker.run(case, tier, control=False)
                        escaped, tried, said = answer["escaped"], answer["tried"], answer["said"]
                    else:
                        verdict = run(case, place, tier)
                        escaped, tried, said = verdict.escaped, verdict.tried, str(verdict)
                    if escaped or not tried:
                        counts["escapes" if escaped else "not tried"] += 1
                        print(f"{tier} {case.area}: {case.name}: {said}", file=sys.stderr)
            print(f"round {number + 1}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
        worker.close()
    uids = {place.uid, place.neighbours_uid}
    counts.update(look(str(place.folder), {os.getpid()}, uids | {uid + USERS for uid in uids}))
    return counts


if __name__ == "__main__":
    sys.exit(main())
