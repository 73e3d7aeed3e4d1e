"""A file of prices is read whole, or refused with the line and the column that cannot be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.errors import InvalidInput
from penstock_services.pricing.price_file import read_prices

NOW = datetime(2026, 9, 15, tzinfo=UTC)
HEADER = "model,input_per_mtok,output_per_mtok,effective\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_csv_and_json_say_the_same(tmp_path: Path):
    table = write(tmp_path, "a.csv", HEADER + "ours,0.25,1.25,2026-09-01\n\nother, 0.000000001 ,2,\n")
    listed = write(
        tmp_path,
        "a.json",
        """[
        {"model": "ours", "input_per_mtok": 0.25, "output_per_mtok": "1.25", "effective": "2026-09-01T00:00:00Z"},
        {"model": "other", "input_per_mtok": "0.000000001", "output_per_mtok": 2}
        ]""",
    )
    prices = read_prices(table, NOW)
    assert prices == read_prices(listed, NOW)
    assert [(p.input_per_mtok, p.effective) for p in prices] == [
        (250_000_000, datetime(2026, 9, 1, tzinfo=UTC)),
        (1, NOW),
    ]


def test_a_number_in_json_keeps_the_digits_it_is_written_with(tmp_path: Path):
    path = write(
        tmp_path, "a.json", '[{"model": "m", "input_per_mtok": 0.100000000, "output_per_mtok": 9007.199254741}]'
    )
    assert read_prices(path, NOW)[0].output_per_mtok == 9_007_199_254_741


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", HEADER + "ours,1,2,\nours,1,-2,\n", "line 3, column output_per_mtok"),
        ("a.csv", HEADER + "ours,NaN,2,\n", "line 2, column input_per_mtok"),
        ("a.csv", HEADER + "ours,1 EUR,2,\n", "line 2, column input_per_mtok"),
        ("a.csv", HEADER + "ours,1,0.0000000001,\n", "line 2, column output_per_mtok"),
        ("a.csv", HEADER + "ours,1,2,soon\n", "line 2, column effective"),
        ("a.csv", HEADER + "ours,,2,\n", "line 2, column input_per_mtok: is missing"),
        ("a.csv", HEADER + "ours,1,2\n", "line 2: has 3 values"),
        ("a.csv", HEADER + "ours,1,2,2026-09-01\nours,1,2,2026-09-01\n", "line 3: repeats line 2"),
        ("a.csv", HEADER + "ours,1,2,2026-09-01\nours,1,3,2026-09-01\n", "line 3: overlaps line 2"),
        ("a.csv", "model,input,output_per_mtok\n", "line 1, column input"),
        ("a.csv", "model,model\n", "named twice"),
        ("a.csv", HEADER, "has 0 prices"),
        ("a.csv", "", "has 0 prices"),
        ("a.csv", HEADER + '"ours,1,2,\n', "line 2"),
        ("a.csv", HEADER + "".join(f"m{n},1,2,\n" for n in range(1_001)), "has 1,001 prices"),
        ("a.txt", "", "must end in"),
        ("a.json", "[\n{\n]", "line 3, column 1"),
        ("a.json", '{"model": "m"}', "must be an array"),
        ("a.json", "[\n1]", "line 2: must be an object"),
        (
            "a.json",
            '[\n\n{"model": "m", "input_per_mtok": null, "output_per_mtok": 1}]',
            "line 3, column input_per",
        ),
        ("a.json", '[{"model": ["m"], "input_per_mtok": 1, "output_per_mtok": 1}]', "line 1, column model"),
        (
            "a.json",
            '[{"model": "m", "input_per_mtok": NaN, "output_per_mtok": 1}]',
            "line 1, column input_per",
        ),
        ("a.json", '[\n{"model": "m", "model": "n"}]', "line 2, column model: is there twice"),
        (
            "a.json",
            '[{"model": "m", "input_per_mtok": 1, "output_per_mtok": 1, "currency": "EUR"}]',
            "column currency",
        ),
    ],
)
def test_a_broken_file_is_refused_with_its_line_and_column(tmp_path: Path, name: str, text: str, says: str):
    with pytest.raises(InvalidInput, match=says):
        read_prices(write(tmp_path, name, text), NOW)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_prices(path, NOW)
