"""Finding the statement in a request: in the URL, in the body, or begun in one and ended in the other."""

from __future__ import annotations

import re

from penstock_services.embedded.clickhouse.body import Body
from penstock_services.embedded.clickhouse.errors import BAD_ARGUMENTS, SYNTAX_ERROR, ClickHouseError
from penstock_services.embedded.clickhouse.request import Call
from penstock_services.embedded.clickhouse.statement import Statement, scan

_LINE_END = re.compile(rb"[ \t]*\r?\n?")


async def read_statement(call: Call, body: Body) -> tuple[bytes, Statement]:
    """The SQL and what the scanner says of it; the rows of `INSERT … FORMAT X` stay in the body.

    VALUES are read whole, as SQL: the engine evaluates expressions in them, so the guard must see them.

    Raises:
        ClickHouseError: longer than `MAX_TEXT_BYTES`, or an INSERT without rows.
    """
    sql, statement = await (_begun_in_url(call, body) if call.sql.strip() else _in_body(body))
    if statement.carries_data and statement.format_name is None:
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error: INSERT without FORMAT, VALUES or SELECT")
    return sql, statement


async def _begun_in_url(call: Call, body: Body) -> tuple[bytes, Statement]:
    sql = call.sql
    statement = scan(sql)
    if statement.carries_data and statement.format_name is None:
        sql = sql[: statement.end] + b" FORMAT " + (call.default_format or "Values").encode()
        statement = scan(sql)
    if statement.carries_data:
        if sql[_data_offset(sql, statement) :].strip():
            raise ClickHouseError(BAD_ARGUMENTS, "rows go into the request's body, not behind FORMAT in the URL")
        return sql, statement
    if rest := await body.text():
        sql += b"\n" + rest
    return sql, scan(sql)


async def _in_body(body: Body) -> tuple[bytes, Statement]:
    head = await body.head()
    statement = scan(head)
    if statement.carries_data and statement.format_name:
        body.drop(_data_offset(head, statement))
        return head, statement
    sql = await body.text()
    return sql, scan(sql)


def _data_offset(sql: bytes, statement: Statement) -> int:
    """Where rows begin: behind the format's name and one line end."""
    blank = _LINE_END.match(sql, statement.data_start or 0)
    return blank.end() if blank else 0
