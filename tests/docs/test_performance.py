"""docs/performance.md: its benches exist, and its targets are the ones they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("|") and "`bench/" in line]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_a_bench_that_is_there_and_its_targets(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    bench = next(ROOT / re.sub("`", "", cell) for cell in cells if cell.startswith("`bench/"))
    assert bench.is_file()
    numbers = re.findall(r"[≤≥<] ?([\d,.]+)", cells[1])
    said = bench.read_text().replace("_", ",")
    assert [
        number for number in numbers if not re.search(rf"\b{re.escape(number.removesuffix('.0'))}\b", said)
    ] == []


def test_every_bench_that_make_bench_runs_is_on_the_page() -> None:
    benches = re.findall(r"python (bench/\w+\.py)", (ROOT / "scripts" / "bench").read_text())
    assert [bench for bench in benches if bench not in PAGE] == []
