"""docs/pipelines.md says what is true: its definitions can be run, its tables are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.pipelines.checking import REASONS
from penstock.pipelines.definition import GroupDefinition, PipelineDefinition, StageDefinition
from penstock.pipelines.files import parsed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pipelines.md").read_text()
DEFINITIONS = {
    **{f"block {n}": text for n, text in enumerate(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL), 1)},
    **{file.name: file.read_text() for file in sorted((ROOT / "examples" / "pipelines").glob("*.yaml"))},
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_definition_shown_can_be_run(name: str) -> None:
    assert parsed(DEFINITIONS[name]).flat()


def test_the_page_and_both_examples_are_looked_at() -> None:
    assert set(DEFINITIONS) == {"block 1", "block 2", "fan_out.yaml", "report.yaml"}


def test_every_reason_is_on_the_page_with_the_same_words() -> None:
    said = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.partition("## Errors")[2], re.MULTILINE))
    assert {reason: said.get(reason) for reason in REASONS} == REASONS | {
        "prompt_too_large": "a prompt above 32,768 bytes"
    }


def test_every_key_is_on_the_page() -> None:
    table = PAGE.partition("## Definition")[2].partition("## Prompts")[0]
    known = {name for part in (PipelineDefinition, GroupDefinition, StageDefinition) for name in part.model_fields}
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))) == known | {
        "prompt_template",
        "retries",
    }
