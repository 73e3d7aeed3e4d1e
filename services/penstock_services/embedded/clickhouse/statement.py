"""One SQL statement as far as HTTP needs to know it: its kind, its FORMAT clause, where INSERT data begins, and
every name it calls. A scanner and not a parser: the engine parses; this only has to be right about strings,
comments and brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""--[^\n]*|\#[!\s][^\n]*|/\*.*?\*/"""
    r"""|'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|\$(\w*)\$.*?\$\1\$"""
    r"""|[A-Za-z_]\w*|\d[\w.]*|\s+|.""",
    re.DOTALL,
)
STREAMED = frozenset({"SELECT", "WITH", "FROM", "("})
"""Kinds whose result the engine writes into a pipe; it loses the piped output of what it rewrites (SHOW, KILL)."""


@dataclass(slots=True)
class Statement:
    """What the scanner found. Offsets are bytes into the scanned SQL."""

    kind: str = ""
    """First keyword, upper case; `INSERT` also for `WITH … INSERT`, `(` for a bracketed SELECT."""
    subject: str = ""
    """Second keyword, upper case."""
    end: int = 0
    """End of the last token, without a trailing semicolon or comment."""
    format_name: str | None = None
    format_start: int = 0
    data_start: int | None = None
    """Where INSERT data begins: behind `FORMAT X`."""
    has_select: bool = False
    has_values: bool = False
    uses_client_file: bool = False
    """INTO OUTFILE or FROM INFILE."""
    has_second: bool = False
    """Another statement follows the semicolon."""
    calls: set[str] = field(default_factory=set)
    """Every name directly before a bracket, unquoted, lower case."""
    engines: set[str] = field(default_factory=set)
    """Every name behind ENGINE, unquoted, lower case."""

    @property
    def is_insert(self) -> bool:
        return self.kind == "INSERT"

    @property
    def carries_rows(self) -> bool:
        """An INSERT whose rows come as data in a format, not from the SQL text itself."""
        return self.is_insert and not self.has_select and not self.has_values


def scan(sql: bytes) -> Statement:
    """Scan the first statement of `sql`; the data of `INSERT … FORMAT X` is left alone."""
    found = Statement()
    depth, ended, previous, named = 0, False, "", ""
    for match in TOKEN.finditer(sql.decode("latin-1")):  # latin-1: offsets stay bytes
        token = match.group()
        first = token[0]
        if first.isspace() or token.startswith(("--", "/*", "# ", "#!")):
            continue
        if token == ";" and depth == 0:
            ended = True
            continue
        if ended:
            found.has_second = True
            break
        found.end = match.end()
        if token == "(" and named:
            found.calls.add(named)
        if first in "([{":
            depth += 1
        elif first in ")]}":
            depth -= 1
        is_word = first.isalpha() or first == "_"
        word = token.upper() if is_word else ""
        named = token.lower() if is_word else token[1:-1].lower() if first in '`"' else ""
        if previous == "ENGINE" and token == "=":
            continue  # `previous` stays ENGINE for the name behind it
        if previous == "ENGINE" and named:
            found.engines.add(named)
        _note_keyword(found, word or token, previous, depth, match.start(), match.end())
        if found.is_insert and found.format_name and not found.has_select:
            found.data_start = match.end()
            break
        previous = word or token
    return found


def _note_keyword(found: Statement, word: str, previous: str, depth: int, start: int, end: int) -> None:
    if not found.kind:
        found.kind = word
        found.has_select = word in ("SELECT", "WITH", "(")
        return
    if not found.subject:
        found.subject = word
    if depth:
        return
    if word == "INTO" and previous == "INSERT" and found.kind == "WITH":
        found.kind, found.has_select = "INSERT", False
    elif word in ("SELECT", "WITH"):
        found.has_select = True
    elif word == "VALUES" and found.is_insert and not found.has_select:
        found.has_values = True
    elif (previous, word) in (("INTO", "OUTFILE"), ("FROM", "INFILE")):
        found.uses_client_file = True
    elif word == "FORMAT" and found.kind != "CREATE":
        found.format_start = start
    elif previous == "FORMAT" and found.format_start and found.kind != "CREATE":
        found.format_name = word if not word.isalpha() else found.format_name
