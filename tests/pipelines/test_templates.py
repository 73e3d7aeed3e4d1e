"""Placeholders are found exactly, filled in once, and everything else is text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidTemplate
from penstock.pipelines.templates import DEFAULT_TEMPLATE, left_alone, placeholders, render

VALUES = {"previous_output": "PREVIOUS", "initial_input": "INPUT", "outputs.Research": "FOUND"}
TEXT_OR_PLACEHOLDER = st.one_of(
    st.text(), st.sampled_from(["{previous_output}", "{initial_input}", "{outputs.Research}", "{", "}", "{}"])
)


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("Sum up: {previous_output}", "Sum up: PREVIOUS"),
        ("{initial_input}{initial_input}", "INPUTINPUT"),
        ("{outputs.Research} and {previous_output}", "FOUND and PREVIOUS"),
        ("no placeholder", "no placeholder"),
        ("", ""),
        ("{", "{"),
        ("} {} {{}}", "} {} {{}}"),
        ('{"initial_input": 1}', '{"initial_input": 1}'),
        ("{name} {output_format} {output} {x.outputs.y}", "{name} {output_format} {output} {x.outputs.y}"),
        ("{{initial_input}}", "{INPUT}"),
        ('fn main() { println!("{}", 1) }', 'fn main() { println!("{}", 1) }'),
        ("{outputs: [1]}", "{outputs: [1]}"),
        (DEFAULT_TEMPLATE, "PREVIOUS"),
    ],
)
def test_only_placeholders_are_replaced(template: str, rendered: str) -> None:
    assert render(template, VALUES) == rendered


@pytest.mark.parametrize(
    ("template", "text", "why"),
    [
        ("see {outputs.", "{outputs.", "closing brace"),
        ("see {outputs.Research and more", "{outputs.Research and more", "closing brace"),
        ("see {outputs.Research\n}", "{outputs.Research", "closing brace"),
        ("{outputs.a{b}}", "{outputs.a", "closing brace"),
        ("{previous_output", "{previous_output", "closing brace"),
        ("{outputs}", "{outputs}", "name a stage"),
        ("{outputs.}", "{outputs.}", "name a stage"),
        ("{ previous_output }", "{ previous_output }", "exactly"),
        ("{previous_outputs}", "{previous_outputs}", "exactly"),
        ("{initial_inputs}", "{initial_inputs}", "exactly"),
        ("{initial_input:>10}", "{initial_input:>10}", "exactly"),
    ],
)
def test_what_begins_like_a_placeholder_must_be_one(template: str, text: str, why: str) -> None:
    for reading in (placeholders, lambda template: render(template, VALUES)):
        with pytest.raises(InvalidTemplate, match=why) as refused:
            reading(template)
        assert refused.value.text == text


def test_placeholders_are_told_in_their_order() -> None:
    template = "{outputs.Stage 2}{initial_input}{foo}{outputs.Stage 2}"
    assert placeholders(template) == ("outputs.Stage 2", "initial_input", "outputs.Stage 2")


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(InvalidTemplate, match="no such output"):
        render("{outputs.Nobody}", VALUES)


def test_words_in_braces_that_stay_are_told() -> None:
    assert left_alone("{previous_ouput} {initial_input} {output.Research} {} {1}") == (
        "{previous_ouput}",
        "{output.Research}",
    )


@given(before=st.text(alphabet=st.characters(exclude_characters="{")), output=TEXT_OR_PLACEHOLDER)
def test_an_output_is_text_whatever_it_contains(before: str, output: str) -> None:
    rendered = render(f"{before}{{previous_output}}|{{initial_input}}", VALUES | {"previous_output": output})
    assert rendered == f"{before}{output}|INPUT"


@given(st.lists(TEXT_OR_PLACEHOLDER).map("".join), TEXT_OR_PLACEHOLDER)
def test_rendering_is_cutting_at_the_placeholders_and_nothing_else(template: str, value: str) -> None:
    names = ("previous_output", "initial_input", "outputs.Research")
    try:
        found = placeholders(template)
    except InvalidTemplate:
        with pytest.raises(InvalidTemplate):
            render(template, dict.fromkeys(names, value))
        return
    if any(name not in names for name in found):
        return
    rest, expected = template, ""
    for name in found:
        text, _, rest = rest.partition(f"{{{name}}}")
        expected += text + value
    assert render(template, dict.fromkeys(names, value)) == expected + rest
