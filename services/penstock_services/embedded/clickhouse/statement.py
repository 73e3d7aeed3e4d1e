"""One SQL statement as far as HTTP needs to know it: its kind, its FORMAT clause, where INSERT data begins, and
every name it calls.

A scanner and not a parser: the engine parses. This only has to see strings, comments and brackets as the engine's
lexer does, or a name could hide from the guard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# SQL is scanned as latin-1, so that offsets are bytes. ClickHouse takes typographic quotes too: ‘text’, “name”.
_TOKEN = re.compile(
    r"""--[^\n]*|\#[!\s][^\n]*|/\*.*?\*/"""
    r"""|'(?:[^'\\]|\\.|'')*'|\xe2\x80\x98.*?\xe2\x80\x99|\$(\w*)\$.*?\$\1\$"""
    r"""|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|\xe2\x80\x9c.*?\xe2\x80\x9d"""
    r"""|[A-Za-z_]\w*|\d[\w.]*|\s+|.""",
    re.DOTALL | re.ASCII,
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
    """Where the clause `FORMAT X` begins, if there is one."""
    clauses_start: int = 0
    """Where an INSERT's SETTINGS or FORMAT begin, whichever is first; 0 without either."""
    data_start: int | None = None
    """Where INSERT data begins: behind `FORMAT X`."""
    has_select: bool = False
    has_values: bool = False
    sets_settings: bool = False
    """A SETTINGS clause, of the statement or of a subquery."""
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
    def carries_data(self) -> bool:
        """An INSERT whose rows come as data in a format, not out of the SQL text itself."""
        return self.is_insert and not self.has_select and not self.has_values


def scan(sql: bytes) -> Statement:
    """Scan the first statement of `sql`. The data of `INSERT … FORMAT X` is left alone; VALUES are scanned,
    because the engine evaluates expressions in them.
    """
    found = Statement()
    keywords = _Keywords(found)
    depth, ended, callee, after_engine = 0, False, "", False
    for match in _TOKEN.finditer(sql.decode("latin-1")):
        token = match.group()
        # The lexer's Unicode blanks arrive as single bytes above 127: they must not part a name from its bracket.
        if (
            token.isspace()
            or token.startswith(("--", "/*", "# ", "#!"))
            or (len(token) == 1 and not token.isascii())
        ):
            continue
        if token == ";" and depth == 0:
            ended = True
            continue
        if ended:
            found.has_second = True
            break
        found.end = match.end()
        if token == "(" and callee:
            found.calls.add(callee)
        depth += (token in ("(", "[", "{")) - (token in (")", "]", "}"))
        callee = _name(token)
        if after_engine and callee:
            found.engines.add(callee)
        after_engine = callee == "engine" or (after_engine and token == "=")
        keywords.see(token, depth, match.start())
        if found.format_name and found.carries_data:
            found.data_start = match.end()
            break
    return found


def _name(token: str) -> str:
    """The token as an identifier, unquoted and lower case; empty for anything else."""
    if (token[0].isalpha() and token.isascii()) or token[0] == "_":
        return token.lower()
    if token[0] in '`"' and len(token) > 1:
        return re.sub(r"\\(.)", r"\1", token[1:-1]).lower()
    if token.startswith("\xe2\x80\x9c"):
        return token[3:-3].lower()
    return ""


class _Keywords:
    """Fills in what depends on the order of keywords outside brackets."""

    def __init__(self, found: Statement) -> None:
        self.found = found
        self.previous = ""
        self.before_previous = ""
        self.in_settings = False

    def see(self, token: str, depth: int, start: int) -> None:
        found, word = self.found, token.upper()
        if not found.kind:
            found.kind, found.has_select = word, word in STREAMED
        elif not found.subject:
            found.subject = word
        if token == "=" and self.before_previous == "SETTINGS":
            found.sets_settings = True
        if depth == 0:
            self._clause(token, word, start)
        self.before_previous, self.previous = self.previous, word

    def _clause(self, token: str, word: str, start: int) -> None:
        found, previous = self.found, self.previous
        if word in ("SETTINGS", "FORMAT") and previous not in ("INTO", "TABLE") and not found.clauses_start:
            found.clauses_start = start
        if found.format_name and not self.in_settings:  # `FORMAT X` ends a query, but for SETTINGS
            self.in_settings = word == "SETTINGS"
            if not self.in_settings:
                found.format_name = None
        if found.kind == "WITH" and (previous, word) == ("INSERT", "INTO"):
            found.kind, found.has_select = "INSERT", False
        elif word in ("SELECT", "WITH") and previous:
            found.has_select = True
        elif word == "VALUES" and found.is_insert and not found.has_select:
            found.has_values, found.format_name = True, None
        elif (previous, word) in (("INTO", "OUTFILE"), ("FROM", "INFILE")):
            found.uses_client_file = True
        elif word == "FORMAT":
            found.format_start = start
        elif previous == "FORMAT" and self._may_name_format(token):
            found.format_name = token

    def _may_name_format(self, token: str) -> bool:
        follows_clause = self.before_previous not in ("INTO", "TABLE")  # a table may be called `format`
        return bool(_name(token)) and follows_clause and self.found.kind != "CREATE" and not self.found.has_values
