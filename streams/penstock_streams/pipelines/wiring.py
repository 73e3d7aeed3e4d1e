"""Pipelines as a stage: its topics, its rows, and what happens to its records before they are decided."""

from __future__ import annotations

from penstock.artifacts import ArtifactStore
from penstock_schemas import topics
from penstock_streams.kit import Stage
from penstock_streams.pipelines.decide import Pipelines
from penstock_streams.pipelines.model import ROW_TYPES
from penstock_streams.pipelines.payloads import preparations, preparations_with_rows
from penstock_streams.pipelines.policy import PipelinePolicy


def pipelines_stage(policy: PipelinePolicy, artifacts: ArtifactStore) -> Stage:
    """The pipelines stage under `policy`; large inputs and outputs go to `artifacts`."""
    return Stage(
        name="pipelines",
        inputs=(topics.PIPELINES_REQUESTS, topics.PIPELINES_COMMANDS),
        outputs=(
            topics.PIPELINES_EVENTS,
            topics.PIPELINES_COMMANDS,
            topics.ACCOUNTS_REQUESTS,
            topics.ACCOUNTS_COMMANDS,
        ),
        row_types=ROW_TYPES,
        decide=Pipelines(policy),
        prepare=preparations(artifacts),
        prepare_with_rows=preparations_with_rows(artifacts),
    )
