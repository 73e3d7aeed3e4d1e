"""Every example is run by a test, and every command a page shows exists with its options."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from penstock.cli.app import build
from tests.docs.blocks import ROOT, Block, blocks, commands
from tests.docs.examples import NOT_OURS, NOT_RUN, RUN_BY

CODE = blocks("python", "sh")
CONSOLES = [(block, line) for block in blocks("console") for line in commands(block)]
UsageError = typer.BadParameter.__base__
assert UsageError is not None
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("block", CODE, ids=str)
def test_each_block_is_run_by_a_test_or_named_with_a_reason(block: Block) -> None:
    key = (block.page, block.example)
    assert (key in RUN_BY) != (key in NOT_RUN), f"{block}: say in tests/docs/examples.py what runs it"
    if key in RUN_BY:
        test = (ROOT / RUN_BY[key]).read_text()
        assert (Path(block.page).name in test, block.example in test) == (True, True), f"{RUN_BY[key]} does not"


def test_no_example_is_named_that_is_not_there() -> None:
    assert {*RUN_BY, *NOT_RUN} == {(block.page, block.example) for block in CODE}


@pytest.mark.parametrize("block", [block for block in CODE if block.language == "python"], ids=str)
def test_python_is_python(block: Block) -> None:
    ast.parse(block.code, filename=str(block))


@pytest.mark.parametrize(("block", "line"), CONSOLES, ids=lambda value: str(value))
def test_a_command_shown_exists_with_its_options(block: Block, line: str) -> None:
    for shown in alternatives(line):
        first, *rest = shlex.split(shown, comments=True)
        if first == "penstock":
            parse(rest)
        elif first == "make":
            assert {word for word in rest if "=" not in word} <= TARGETS
        elif first.endswith("python"):
            hold_python(rest)
        elif first.startswith("scripts/"):
            assert (ROOT / first).is_file()
        else:
            assert first in NOT_OURS, f"{block}: say in tests/docs/examples.py why {first} is not held to anything"


@pytest.mark.parametrize(
    "line",
    ["penstock frobnicate", "penstock get ID --nope", "penstock topics nope", "penstock run", "make nothing"],
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises((AssertionError, UsageError)):
        test_a_command_shown_exists_with_its_options(CODE[0], line)


def alternatives(line: str) -> list[str]:
    """Without what is in brackets, and with each of it: `get ID [--json]` are two commands."""
    options = re.findall(r"\[(-[^\]]*)\]", line)
    bare = re.sub(r"\[-[^\]]*\]", "", line)
    command = bare.partition(" #")[0]
    return [command, *(f"{command} {option.partition('|')[0]}" for option in options)]


@cache
def root() -> Any:
    """The whole command line, with every package's commands."""
    return typer.main.get_command(build(["--help"]))


def parse(arguments: list[str]) -> None:
    """As the command line reads them, without doing anything.

    Raises:
        UsageError: there is no such command or option, or an argument is missing.
    """
    command = root()
    context = command.make_context("penstock", list(arguments))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        if not rest and command.invoke_without_command:
            return
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def hold_python(arguments: list[str]) -> None:
    """`python -m MODULE …` or `python FILE …`: it is there, and so are the tests it is told."""
    if arguments[0] != "-m":
        assert (ROOT / arguments[0]).is_file()
        return
    assert find_spec(arguments[1]) is not None
    for path in (word for word in arguments[2:] if word.startswith("tests/")):
        assert (ROOT / path).exists(), path
