"""The blocks of code of every page, and the lines of a console that a reader would type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:<!-- example: (\w+) -->\n)?^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of code."""

    page: str
    line: int
    language: str
    code: str
    example: str
    """Its name, by the comment before it; empty where it has none."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Those in one of `languages`, in order."""
    return [block for page in PAGES for block in _of(page) if block.language in languages]


def commands(block: Block) -> list[str]:
    """What a console block's reader types; a line that ends in a backslash goes on in the next."""
    joined = re.sub(r"\\\n\s*", "", block.code)
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def _of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        yield Block(str(page.relative_to(ROOT)), line, match[2], match[3], match[1] or "")
