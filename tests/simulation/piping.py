"""Pipelines, in worlds that are given some: who starts, cancels and resumes them, and what must hold of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from penstock.artifacts import ArtifactStore
from penstock.errors import NotFound
from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas import topics as t
from penstock_streams.kit import Stage
from penstock_streams.pipelines.decide import Pipelines
from penstock_streams.pipelines.model import ROW_TYPES
from penstock_streams.pipelines.payloads import preparations, preparations_with_rows
from penstock_streams.pipelines.policy import PipelinePolicy
from tests.simulation.violations import Violation

if TYPE_CHECKING:
    from tests.simulation.outside import Outside
    from tests.simulation.world import World

LARGE = "a large input. " * 400
"""Above 4 KiB, so that it lies in the artifact store."""


VISIBLE_WITHIN_US = 5_000_000
"""After its commit a transaction is visible to every reader."""


class MemoryArtifacts(ArtifactStore):
    """A store that never waits and outlives every process."""

    def __init__(self) -> None:
        self.url = "memory://"
        self._blobs: dict[str, bytes] = {}

    async def put(self, data: bytes, scope: str | None = None) -> r.PayloadRef:
        digest = sha256(data).hexdigest()
        self._blobs[digest] = data
        return r.PayloadRef(sha256=digest, size=len(data), uri=f"memory://{digest}")

    async def get(self, ref: r.PayloadRef) -> bytes:
        if ref.sha256 not in self._blobs:
            raise NotFound(f"no blob {ref.sha256}")
        return self._blobs[ref.sha256]


def pipelines() -> Stage:
    """The stage, with a store in memory."""
    artifacts = MemoryArtifacts()
    return Stage(
        name="pipelines",
        inputs=(t.PIPELINES_REQUESTS, t.PIPELINES_COMMANDS),
        outputs=(t.PIPELINES_EVENTS, t.PIPELINES_COMMANDS, t.ACCOUNTS_REQUESTS, t.ACCOUNTS_COMMANDS),
        row_types=ROW_TYPES,
        decide=Pipelines(PipelinePolicy()),
        prepare=preparations(artifacts),
        prepare_with_rows=preparations_with_rows(artifacts),
    )


def start_pipelines(world: World, outside: Outside) -> None:
    """Schedule pipelines of random shapes: duplicated, misrouted, some cancelled, most resumed where they fail."""
    rng, shape = world.scheduler.rng, world.shape
    for number in range(shape.pipelines):
        tenant, request_id = rng.choice(list(shape.limits)), f"pipeline{number}"
        pipeline_id = ids.pipeline_id(tenant, request_id)
        steps = [rng.choice((1, 1, 2, 3)) for _ in range(rng.randint(1, 3))]
        stages = [
            r.StageSpec(
                name=f"{step}.{branch}",
                agent_type="echo",
                step=step,
                prompt_template=rng.choice((None, "> {initial_input}")),
                timeout_s=60,
                max_attempts=rng.choice((1, 2, 3)),
            )
            for step, branches in enumerate(steps)
            for branch in range(branches)
        ]
        start = r.StartPipeline(
            tenant_id=tenant,
            pipeline_id=pipeline_id,
            request_id=request_id,
            initial_input=rng.choice(("small", LARGE)),
            stages=stages,
        )
        at = rng.uniform(0.1, shape.faults_s * 0.4)
        outside.send(at, t.PIPELINES_REQUESTS, start)
        while rng.random() < shape.duplicates:
            outside.send(at + rng.uniform(0, 40), t.PIPELINES_REQUESTS, start)
        about = {"tenant_id": tenant, "pipeline_id": pipeline_id}
        if rng.random() < shape.cancelled:
            outside.send(rng.uniform(at, shape.faults_s), t.PIPELINES_REQUESTS, r.CancelPipeline(**about))
        for _ in range(rng.randint(0, 3)):
            outside.send(rng.uniform(at, shape.faults_s), t.PIPELINES_REQUESTS, r.ResumePipeline(**about))


class PipelineMonitor:
    """Told what becomes visible about pipelines."""

    def __init__(self) -> None:
        self._visible_at = 0
        self._asked: dict[str, list[r.StageSpec]] = {}
        """Stages by pipeline that Kafka has."""
        self.unread: Counter[str] = Counter()
        """How often each request, by event_id, is yet to be consumed: one may resume what has ended."""
        self._outputs: dict[str, str | None] = {}
        self._epoch: dict[str, int] = {}
        self._over: dict[str, str] = {}
        self._running: dict[str, dict[int, str]] = defaultdict(dict)
        self._completed: dict[str, set[int]] = defaultdict(set)
        self._started: set[tuple[str, int, int]] = set()

    def asked(self, start: r.StartPipeline) -> None:
        self._asked[start.pipeline_id] = start.stages

    def finishes(self, finish: r.FinishStage) -> None:
        """The end of an execution, as pipelines is told; an operator may write it again."""
        self._outputs.setdefault(finish.execution_id, finish.output)

    def sees(self, event: Any) -> None:
        """An event of pipelines."""
        if isinstance(event, r.PipelineRequestRefused):
            if event.reason == "unknown_tenant":  # it came before its tenant was configured, and never starts
                self._over[event.pipeline_id] = "refused"
            return
        pipeline = event.pipeline_id
        match event:
            case r.PipelineStarted():
                self._begins(event, 1)
            case r.PipelineResumed():
                if self._over.pop(pipeline, None) != "failed":
                    raise Violation("only a failed pipeline is resumed", pipeline)
                self._begins(event, self._epoch[pipeline] + 1)
            case r.StageStarted():
                self._stage_starts(event)
            case r.StageCompleted():
                self._stage_ends(event)
                if event.output != self._outputs.get(event.execution_id):
                    raise Violation("a stage's output is the accepted one", f"{pipeline} {event.stage_name}")
                self._completed[pipeline].add(event.stage_index)
            case r.StageFailed():
                self._stage_ends(event)
            case r.PipelineCompleted() | r.PipelineFailed() | r.PipelineCancelled():
                self._ends(event)

    def _begins(self, event: Any, least: int) -> None:
        pipeline = event.pipeline_id
        if pipeline in self._over or event.epoch < least or (pipeline in self._epoch and least == 1):
            raise Violation("a pipeline starts once", f"{pipeline} {event.epoch}")
        self._epoch[pipeline] = event.epoch

    def _stage_starts(self, event: r.StageStarted) -> None:
        pipeline, key = event.pipeline_id, (event.pipeline_id, event.stage_index, event.epoch)
        named = f"{pipeline} {event.stage_name}"
        if key in self._started or event.stage_index in self._completed[pipeline]:
            raise Violation("a stage is started once, and not after its result", named)
        if pipeline in self._over or event.epoch != self._epoch.get(pipeline):
            raise Violation("nothing of a pipeline starts after its end", named)
        before = {index for index, spec in enumerate(self._asked[pipeline]) if spec.step < event.step}
        if missing := before - self._completed[pipeline]:
            raise Violation("a step starts once the one before is joined", f"{named} before {missing}")
        self._started.add(key)
        self._running[pipeline][event.stage_index] = event.execution_id

    def _stage_ends(self, event: Any) -> None:
        if self._running[event.pipeline_id].pop(event.stage_index, None) != event.execution_id:
            raise Violation("only what runs ends, once", f"{event.pipeline_id} {event.stage_name}")

    def _ends(self, event: Any) -> None:
        pipeline, how = event.pipeline_id, type(event).__name__.removeprefix("Pipeline").lower()
        if pipeline in self._over:
            raise Violation("a pipeline ends once", f"{pipeline}: {how} after {self._over[pipeline]}")
        if self._running[pipeline]:
            raise Violation("a pipeline ends when nothing of it runs", f"{pipeline}: {self._running[pipeline]}")
        if how == "completed" and len(self._completed[pipeline]) != len(self._asked[pipeline]):
            raise Violation("every stage of a completed pipeline has completed", pipeline)
        self._over[pipeline] = how

    def consumes(self, request: r.Record, now: int) -> None:
        """A request was decided; the rows that say so become visible within a moment."""
        self.unread[request.event_id] -= 1
        self._visible_at = now + VISIBLE_WITHIN_US

    def open_ends(self, now: int) -> str | None:
        """A pipeline that Kafka has and that has no end."""
        if unread := self.unread.total():
            return f"{unread} requests about pipelines are not read"
        if now < self._visible_at:
            return "a request about pipelines was read just now"
        for pipeline in sorted(self._asked):
            if pipeline not in self._over:
                return f"pipeline {pipeline} has no end"
        return None
