"""The streams process: all stages in one Faust app."""

from __future__ import annotations

from penstock.artifacts import ArtifactStore
from penstock.settings import ArtifactSettings, RegistrySettings, state_folder
from penstock_schemas import topics
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_streams.accounts.wiring import accounts_stage
from penstock_streams.conversations.wiring import conversations_stage
from penstock_streams.executions.wiring import executions_stage
from penstock_streams.kit import StreamsSettings, run_stages
from penstock_streams.pipelines.wiring import pipelines_stage
from penstock_streams.settings import StageSettings


async def run() -> None:
    """Run the four stages until SIGTERM; see `kit` for what a crash costs (nothing)."""
    settings = StageSettings()
    url = ArtifactSettings().url or (state_folder() / "artifacts").absolute().as_uri()
    artifacts = ArtifactStore(url)
    stages = (
        accounts_stage(settings.policy(), artifacts),
        executions_stage(settings.lease_times(), settings.queues),
        conversations_stage(settings.conversation_policy(), artifacts),
        pipelines_stage(settings.pipeline_policy(), artifacts),
    )
    async with SchemaRegistry(RegistrySettings().url) as registry:
        codec = Codec(registry)
        await codec.prepare_writers(topics.all_topics(tuple(sorted(settings.queues))).values())
        await run_stages(stages, StreamsSettings(), codec)
