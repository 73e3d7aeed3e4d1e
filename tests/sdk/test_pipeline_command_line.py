"""`penstock pipeline` against real servers, as a user runs it."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

import pytest

from tests.sdk.command_line import penstock
from tests.sdk.platform import NOWHERE, Platform, until

pytestmark = pytest.mark.integration
EXAMPLES = Path(__file__).parents[2] / "examples" / "pipelines"
REPORT = str(EXAMPLES / "report.yaml")
TWO = "name: two\nstages:\n  - {agent: echo, name: Research}\n  - {agent: echo, name: Write}\n"


@pytest.fixture
def two_stages(tmp_path: Path) -> str:
    file = tmp_path / "two.yaml"
    file.write_text(TWO)
    return str(file)


async def test_run_prints_the_id_under_which_get_and_list_find_it(platform: Platform, two_stages: str) -> None:
    run = await penstock(platform, "pipeline", "run", two_stages, "--input", "cats", "--tenant", "cli")
    assert (run.code, run.err) == (0, "")
    pipeline_id = run.out.strip()

    async def ended() -> bool:
        got = await penstock(platform, "pipeline", "get", pipeline_id, "--tenant", "cli", "--json")
        return bool(got.code == 0 and got.json["status"] == "completed")

    await until(ended, within_s=40)
    shown = await penstock(platform, "pipeline", "get", pipeline_id, "--tenant", "cli")
    assert "2 of 2 in 2 steps" in shown.out
    assert shown.out.endswith("Write: cats\n")
    stage = await penstock(platform, "pipeline", "get", pipeline_id, "--tenant", "cli", "--output-of", "Research")
    assert stage.out == "Research: cats\n"
    missing = await penstock(platform, "pipeline", "get", pipeline_id, "--tenant", "cli", "--output-of", "No")
    assert (missing.code, missing.out) == (1, "")
    assert "it has: Research, Write" in missing.err

    async def listed() -> str:
        found = await penstock(platform, "pipeline", "list", "--tenant", "cli", "--status", "completed")
        return found.out if pipeline_id in found.out else ""

    assert "2/2" in await until(listed, within_s=40)


async def test_follow_shows_stages_and_keeps_the_output_apart(platform: Platform) -> None:
    run = await penstock(platform, "pipeline", "run", REPORT, "--input", "-", "--follow", stdin="tä".encode())
    assert run.code == 0
    assert run.out == "Review: tä\n"
    said = [
        re.sub(r"after \d+\.\d s", "after a while", line.split(maxsplit=1)[1]) for line in run.err.splitlines()[1:]
    ]
    assert said[:3] == [
        "started     report: 5 stages in 4 steps",
        "running     1/5 Research (assistant)",
        "completed   1/5 Research after a while, 10 tokens",
    ]
    assert said[-1] == "completed   the pipeline after a while, 50 tokens"
    assert "\x1b" not in run.err  # no terminal, no control sequences


async def test_a_failed_pipeline_is_shown_resumed_and_its_exit_codes_say_so(
    platform: Platform, two_stages: str
) -> None:
    of = ("--tenant", "cli")
    run = await penstock(platform, "pipeline", "run", two_stages, "--input", "broken", "--follow", *of)
    assert (run.code, run.out) == (1, "")
    assert re.search(r"failed +2/2 Write after \d+\.\d s, 3 tokens: Boom: it broke", run.err)
    assert "failed at stage 'Write'" in run.err
    pipeline_id = run.err.split()[1]
    assert f"penstock pipeline resume {pipeline_id}" in run.err
    shown = await penstock(platform, "pipeline", "get", pipeline_id, *of)
    assert "Boom: it broke" in shown.out
    resumed = await penstock(platform, "pipeline", "resume", pipeline_id, "--follow", *of)
    assert (resumed.code, resumed.out) == (0, "written after all\n")
    assert "resumed     with step 2; what was completed is kept" in resumed.err
    again = await penstock(platform, "pipeline", "cancel", pipeline_id, "--reason", "too late", *of)
    assert (again.code, again.out) == (1, "")
    assert "it has completed already" in again.err


async def test_cancel_waits_for_the_end(platform: Platform, two_stages: str) -> None:
    whose = ("--tenant", "cli", "--user", "ann")
    run = await penstock(platform, "pipeline", "run", two_stages, "--input", "stuck", *whose)
    done = await penstock(platform, "pipeline", "cancel", run.out.strip(), "--reason", "enough", *whose)
    assert (done.code, done.out) == (0, "cancelled\n")


async def test_what_accounts_refuses_is_exit_code_3(platform: Platform, two_stages: str) -> None:
    run = await penstock(platform, "pipeline", "run", two_stages, "-i", "x", "--follow", "--tenant", "poor")
    assert (run.code, run.out) == (3, "")
    assert "budget_exceeded: 200 tokens are left" in run.err


@pytest.mark.parametrize("name", sorted(file.name for file in EXAMPLES.glob("*.yaml")))
async def test_every_example_is_valid_and_shown(platform: Platform, name: str) -> None:
    done = await penstock(platform, "pipeline", "validate", str(EXAMPLES / name))
    assert (done.code, done.err) == (0, "")
    assert "stage" in done.out


async def test_validate_tells_braces_that_stay(platform: Platform) -> None:
    text = "stages: [{agent: echo}, {agent: echo, prompt: 'see {previous_ouput}'}]"
    done = await penstock(platform, "pipeline", "validate", "-", stdin=text.encode())
    assert done.code == 0
    assert "stage 'Stage 2': {previous_ouput} is no placeholder" in done.err
    plain = await penstock(platform, "pipeline", "validate", "-", "--json", stdin=text.encode())
    assert [(stage["step"], stage["name"]) for stage in plain.json["stages"]] == [(0, "Stage 1"), (1, "Stage 2")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"- agent: echo", "must be an object with name and stages, not list"),
        (b"stages: [{agent: echo, promt: x}]", "stages[0].promt: unknown key; known are agent"),
        (b"stages: [{agent: echo, name: a, prompt: '{outputs.a}'}]", "stage 'a': '{outputs.a}'"),
        (b"name: \xff", "is not UTF-8 text (byte 0xff at position 6)"),
        (b"stages: [", "is not YAML"),
        (b"PK\x03\x04\x00\x00", "is not YAML"),
    ],
)
async def test_a_file_that_cannot_run_is_refused_with_what_is_wrong(
    platform: Platform, tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_bytes(content)
    arguments = ("pipeline", "run", str(file), "--input", "x")
    done = await penstock(platform, *arguments, PENSTOCK_KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    assert (done.code, done.out) == (2, "")
    assert says in " ".join(done.err.split())


async def test_other_bad_arguments_are_usage_errors(platform: Platform, tmp_path: Path, two_stages: str) -> None:
    large, binary = tmp_path / "large.txt", tmp_path / "binary"
    large.write_text("x" * 300 * 1024)
    binary.write_bytes(b"a\xffb")
    for arguments, says in (
        (("run", str(tmp_path / "none.yaml"), "-i", "x"), "cannot be read: No such file"),
        (("run", str(tmp_path), "-i", "x"), "cannot be read: Is a directory"),
        (("run", two_stages, "-i", f"@{large}"), "307200 bytes, above 262144"),
        (("run", two_stages, "-i", f"@{binary}"), "is not UTF-8 text"),
        (("run", two_stages, "-i", "@nowhere"), "cannot be read"),
        (("run", "-", "-i", "-"), "cannot both be standard input"),
        (("run", two_stages, "-i", "x", "--tenant", "no such"), "tenant 'no such'"),
        (("list", "--status", "happy"), "status 'happy'"),
        (("cancel", "some-id", "--reason", "x" * 501), "reason"),
        (("run", two_stages), "Missing option '--input'"),
    ):
        done = await penstock(platform, "pipeline", *arguments)
        assert (done.code, done.out) == (2, ""), arguments
        assert says in " ".join(done.err.split()), arguments


async def test_an_unknown_pipeline_is_not_found(platform: Platform) -> None:
    got = await penstock(platform, "pipeline", "get", str(uuid4()))
    assert (got.code, got.out) == (1, "")
    assert "no pipeline" in got.err
