"""A definition is taken as it is written, or refused with the place, the text and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.errors import InvalidPipeline
from penstock.pipelines.checking import REASONS
from penstock.pipelines.definition import PipelineDefinition, StageDefinition, definition_of
from penstock.pipelines.files import parsed
from penstock_schemas.topics import MAX_STAGES, MAX_STEP_STAGES, MAX_TEMPLATE_BYTES

FOUR_STAGES = """
name: report
stages:
  - {agent: assistant, name: Research}
  - parallel:
      - {agent: assistant, name: Facts, prompt: "Facts in {outputs.Research}", retries: 1}
      - {agent: assistant, name: Numbers, prompt_template: "Numbers in {previous_output}", queue: numbers}
    name: Analyze
  - agent: assistant
    prompt: |
      Write about {initial_input}:
      {outputs.Facts}
    max_tokens: 500
    timeout_s: 30
    model: claude-3-haiku
  - {agent: assistant, name: Review, max_attempts: 2}
"""


def stages(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"stages": [{"agent": "echo"} | entry for entry in entries]}


def side_by_side(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"parallel": [{"agent": "echo"} | entry for entry in entries]}


def refused(definition: Any) -> InvalidPipeline:
    with pytest.raises(InvalidPipeline) as caught:
        parsed(definition) if isinstance(definition, str) else definition_of(definition)
    assert caught.value.reason in REASONS
    assert caught.value.exit_code == 2
    return caught.value


def test_stages_are_numbered_by_steps_and_named_by_their_place() -> None:
    flat = parsed(FOUR_STAGES).flat()
    assert [(stage.step, stage.name) for stage in flat] == [
        (0, "Research"),
        (1, "Facts"),
        (1, "Numbers"),
        (2, "Stage 4"),
        (3, "Review"),
    ]
    assert flat[1].definition.max_attempts == 2, "one retry is two attempts"
    assert flat[2].prompt_template == "Numbers in {previous_output}"
    assert flat[3].prompt_template == "Write about {initial_input}:\n{outputs.Facts}\n"


def test_json_says_the_same_as_yaml() -> None:
    text = json.dumps({"name": "x", "stages": [{"agent": "echo", "prompt": "{initial_input}"}]})
    assert parsed(text) == parsed("name: x\nstages: [{agent: echo, prompt: '{initial_input}'}]")


def test_a_definition_made_in_python_is_checked_too() -> None:
    made = PipelineDefinition(stages=(StageDefinition(agent="echo", name="a", prompt="{outputs.a}"),))
    assert refused(made).reason == "refers_to_itself"


@pytest.mark.parametrize(
    ("definition", "reason", "where", "text"),
    [
        (stages(), "no_stages", "stages", ""),
        ({"stages": [{"parallel": []}]}, "no_stages", "stages[0].parallel", ""),
        (stages({"name": "a"}, {"name": "a"}), "duplicate_name", "stage 'a'", ""),
        (stages({"name": "Stage 2"}, {}), "duplicate_name", "stage 'Stage 2'", ""),
        (stages({"prompt": "{outputs.Stage 1}"}), "refers_to_itself", "stage 'Stage 1'", "{outputs.Stage 1}"),
        (stages({"prompt": "{outputs.Stage 2}"}, {}), "refers_to_later", "stage 'Stage 1'", "{outputs.Stage 2}"),
        (stages({}, {"prompt": "{outputs.No}"}), "unknown_stage", "stage 'Stage 2'", "{outputs.No}"),
        (stages({}, {"prompt": "{outputs."}), "invalid_placeholder", "stage 'Stage 2'", "{outputs."),
        (stages({}, {"prompt": "{outputs}"}), "invalid_placeholder", "stage 'Stage 2'", "{outputs}"),
        (stages({"prompt": "{previous_output}"}), "no_previous_output", "stage 'Stage 1'", "{previous_output}"),
        (
            {"stages": [side_by_side({"name": "a", "prompt": "{outputs.b}"}, {"name": "b"})]},
            "refers_to_own_group",
            "stage 'a'",
            "{outputs.b}",
        ),
        (
            stages({"name": "a", "prompt": "{outputs.b}"}, {"name": "b", "prompt": "{outputs.a}"}),
            "cycle",
            "stage 'a'",
            "{outputs.b}",
        ),
        ({"stages": [{"parallel": [side_by_side({})]}]}, "nested_parallel", "stages[0].parallel[0]", ""),
        (stages({"promt": "x"}), "invalid_field", "stages[0].promt", ""),
        ({"stages": [side_by_side({"promt": "x"})]}, "invalid_field", "stages[0].parallel[0].promt", ""),
        ({"stages": [{"parallel": [], "nme": "x"}]}, "invalid_field", "stages[0].nme", ""),
        (stages({}) | {"steps": []}, "invalid_field", "steps", ""),
        (stages({}) | {"name": "n" * 129}, "invalid_field", "name", "n" * 129),
        ({}, "invalid_field", "stages", ""),
        ({"stages": [{"name": "x"}]}, "invalid_field", "stages[0].agent", ""),
        ({"stages": "echo"}, "invalid_field", "stages", "echo"),
        ({"stages": ["echo"]}, "invalid_field", "stages[0]", "echo"),
        ({"stages": [None]}, "invalid_field", "stages[0]", ""),
        (stages({"name": ""}), "invalid_field", "stages[0].name", ""),
        (stages({"name": "a}"}), "invalid_field", "stages[0].name", "a}"),
        (stages({"name": " a"}), "invalid_field", "stages[0].name", " a"),
        (stages({"name": "a\nb"}), "invalid_field", "stages[0].name", "a\nb"),
        (stages({"name": 5}), "invalid_field", "stages[0].name", "5"),
        (stages({"agent": "no such/name"}), "invalid_field", "stages[0].agent", "no such/name"),
        (stages({"queue": ""}), "invalid_field", "stages[0].queue", ""),
        (stages({"timeout_s": 0}), "invalid_field", "stages[0].timeout_s", "0"),
        (stages({"timeout_s": "30"}), "invalid_field", "stages[0].timeout_s", "30"),
        (stages({"max_tokens": 1 << 63}), "invalid_field", "stages[0].max_tokens", str(1 << 63)),
        (stages({"retries": -1}), "invalid_field", "stages[0]", ""),
        (stages({"retries": True}), "invalid_field", "stages[0]", ""),
        (stages({"retries": 1, "max_attempts": 2}), "invalid_field", "stages[0]", ""),
        (stages({"prompt": "x", "prompt_template": "x"}), "invalid_field", "stages[0]", ""),
        (stages({"prompt": "\ud800"}), "invalid_field", "stages[0].prompt", "\ud800"),
        (stages({"artifacts": "yes"}), "invalid_field", "stages[0].artifacts", "yes"),
        (stages({"artifacts": []}), "invalid_field", "stages[0].artifacts", ""),
        (stages({"artifacts": ["a", 1]}), "invalid_field", "stages[0].artifacts", ""),
        (stages({"artifacts": ["out/*", "/etc/*"]}), "invalid_artifacts", "stage 'Stage 1'", ""),
        (stages({"artifacts": ["\ud800"]}), "invalid_artifacts", "stage 'Stage 1'", ""),
        (stages({"artifacts": [f"{n}" for n in range(33)]}), "invalid_artifacts", "stage 'Stage 1'", ""),
        (
            {"stages": [{"parallel": [{"agent": "echo", "name": ".a", "artifacts": True}, {"agent": "echo"}]}]},
            "invalid_artifacts",
            "stage '.a'",
            "",
        ),
    ],
)
def test_what_cannot_run_is_refused_with_place_and_text(
    definition: dict[str, Any], reason: str, where: str, text: str
) -> None:
    error = refused(definition)
    assert (error.reason, error.where, error.text) == (reason, where, text)


def test_a_misspelt_key_is_named_rather_than_the_one_that_is_missing() -> None:
    error = refused({"stages": [{"agnet": "echo"}]})
    assert str(error).startswith("stages[0].agnet: unknown key; known are agent, name, queue")


def test_a_key_that_could_steer_a_terminal_or_fill_it_is_not_printed_as_it_is() -> None:
    error = refused({"stages": [{"agent": "echo", "\x1b[31m": 1}]})
    assert error.where == "stages[0].'\\x1b[31m'"
    assert len(str(refused({"stages": [{"agent": "echo", "k" * 100_000: 1}]}))) < 400


def test_an_unknown_stage_is_answered_with_those_that_could_be_meant() -> None:
    error = refused(stages({"name": "Research"}, {"prompt": "{outputs.Reserch}"}, {"name": "Later"}))
    assert str(error) == "stage 'Stage 2': '{outputs.Reserch}': no stage has that name; before it are: Research"


def test_a_cycle_is_shown_from_stage_to_stage() -> None:
    error = refused(stages({"prompt": "{outputs.Stage 3}"}, {}, {"prompt": "{outputs.Stage 1}"}))
    assert "a cycle: Stage 1 → Stage 3 → Stage 1" in str(error)


def test_limits_are_what_still_runs() -> None:
    definition_of(stages(*[{}] * MAX_STAGES))
    definition_of({"stages": [side_by_side(*[{}] * MAX_STEP_STAGES)]})
    assert refused(stages(*[{}] * (MAX_STAGES + 1))).reason == "too_many_stages"
    assert refused({"stages": [side_by_side(*[{}] * (MAX_STEP_STAGES + 1))]}).reason == "too_many_stages"
    definition_of(stages({"prompt": "x" * MAX_TEMPLATE_BYTES}))
    assert refused(stages({"prompt": "ä" * (MAX_TEMPLATE_BYTES // 2) + "x"})).reason == "prompt_too_large"
    assert "10,000 stages" in str(refused(stages(*[{}] * 10_000)))


@pytest.mark.parametrize(
    ("text", "reason", "says"),
    [
        ("", "syntax", "is empty"),
        ("  \n# only a comment", "syntax", "not NoneType"),
        ("- agent: echo", "syntax", "not list"),
        ("just words", "syntax", "not str"),
        ("stages: [1", "syntax", "line 1, column 11"),
        ('{"stages": [}', "syntax", "neither JSON nor YAML"),
        ("stages: []\nstages: []", "duplicate_key", "line 2"),
        ("stages: [{agent: echo, agent: echo}]", "duplicate_key", "'agent'"),
        ('{"stages": [{"agent": "echo", "agent": "echo"}]}', "duplicate_key", "'agent'"),
        ("stages: [{<<: {agent: echo}}]", "syntax", "merged objects"),
        ("? [a]\n: b", "syntax", "a key must be plain text"),
        ("a: !!python/object/apply:os.getcwd []", "syntax", "python/object"),
        ("stages: *nowhere", "syntax", "undefined alias"),
        ("when: 2026-99-99", "syntax", "cannot be read"),
        ("---\na: 1\n---\nb: 2", "syntax", "another document"),
        ("a: \x07", "syntax", "special characters"),
        ("[" * 5_000, "syntax", "nested too deeply"),
        ('{"a":' * 5_000, "syntax", "nested too deeply"),
        ("stages: &all [*all]", "invalid_field", "not list"),
        ("stages: [&one {parallel: [*one]}]", "nested_parallel", "cannot contain"),
        ("x: '" + "y" * (4 << 20) + "'", "syntax", "at most"),
    ],
)
def test_text_that_is_no_definition_is_refused_with_what_it_is(text: str, reason: str, says: str) -> None:
    error = refused(text)
    assert error.reason == reason
    assert says in str(error)


def test_an_error_about_aliases_of_aliases_stays_short() -> None:
    bomb = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))])
    assert len(str(refused(f"{bomb}\nstages: *a11"))) < 400
