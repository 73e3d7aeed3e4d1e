"""What `penstock pipeline` prints of pipelines and definitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from penstock.cli.live import one_line
from penstock.cli.output import local_time, print_fields, print_table, printable

if TYPE_CHECKING:
    from penstock.pipelines.definition import PipelineDefinition
    from penstock.pipelines.models import Pipeline, PipelineStage


def print_definition(definition: PipelineDefinition) -> None:
    """Its stages as they would run."""
    rows = [
        (
            str(number),
            str(stage.step + 1),
            stage.name,
            stage.definition.agent,
            stage.definition.queue,
            one_line(stage.prompt_template or ("{initial_input}" if stage.step == 0 else "{previous_output}")),
        )
        for number, stage in enumerate(definition.flat(), 1)
    ]
    print_table((">#", ">step", "stage", "agent", "queue", "prompt"), rows, title=printable(definition.name or ""))


def print_pipelines(found: Iterable[Pipeline]) -> None:
    """One line each."""
    rows = [
        (
            each.pipeline_id,
            each.status,
            f"{each.completed_stages:,}/{each.stage_count:,}",
            f"{each.used_tokens:,}",
            local_time(each.started_at),
            _took(each),
            each.name or "",
            f"{each.failed_at_stage}: {each.error}" if each.failed_at_stage else one_line(each.output or ""),
        )
        for each in found
    ]
    columns = ("pipeline", "status", ">stages", ">tokens", "started", ">took", "name", "output or error")
    print_table(columns, rows)


def print_pipeline(found: Pipeline) -> None:
    """One with its stages."""
    print_fields(
        [
            ("pipeline_id", found.pipeline_id),
            ("name", found.name or ""),
            ("user_id", found.user_id or ""),
            ("request_id", found.request_id),
            ("status", found.status + (f" (run {found.epoch})" if found.epoch > 1 else "")),
            ("failed at", found.failed_at_stage or ""),
            ("error", f"{found.error_type}: {found.error}" if found.failed_at_stage else ""),
            ("reason", found.reason or ""),
            ("stages", f"{found.completed_stages:,} of {found.stage_count:,} in {found.step_count:,} steps"),
            ("tokens", f"{found.used_tokens:,}"),
            ("cost", f"{found.cost_usd} USD" if found.cost_nanousd else ""),
            ("started_at", local_time(found.started_at)),
            ("finished_at", local_time(found.finished_at)),
        ]
    )
    rows = [
        (
            str(stage.stage_index + 1),
            str(stage.step + 1),
            stage.name,
            stage.agent_type,
            stage.status,
            _took(stage),
            "" if stage.used_tokens is None else f"{stage.used_tokens:,}",
            stage.cost_usd if stage.cost_nanousd else "",
            stage.execution_id,
            one_line(stage.error_message or stage.output or (stage.output_ref.uri if stage.output_ref else "")),
        )
        for stage in found.stages
    ]
    print()
    columns = (">#", ">step", "stage", "agent", "status", ">took", ">tokens", ">USD", "execution")
    print_table((*columns, "output or error"), rows)


def _took(timed: Pipeline | PipelineStage) -> str:
    if timed.finished_at is None:
        return ""
    return f"{(timed.finished_at - timed.started_at).total_seconds():.1f} s"
