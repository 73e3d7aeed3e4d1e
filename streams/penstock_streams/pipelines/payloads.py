"""Texts of a pipeline that are too large for records and rows. All I/O is before a decision, and may happen again.

Blobs lie under their own hash, so writing the same again changes nothing.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from pydantic import ConfigDict

from penstock.artifacts import ArtifactStore
from penstock.carried import CarriedText, read_text
from penstock.errors import InvalidInput, NotFound, PayloadTooLarge
from penstock.pipelines.templates import placeholders
from penstock_schemas.records import FinishStage, PayloadRef, Record, StartPipeline, WriteInputs
from penstock_schemas.topics import MAX_INLINE_CONTENT_BYTES, MAX_REQUEST_INPUT_BYTES
from penstock_streams.kit import Prepare, PrepareWithRows, Rows
from penstock_streams.pipelines import model as m
from penstock_streams.pipelines import texts
from penstock_streams.pipelines.policy import MAX_TOLD_BYTES
from penstock_streams.work import Ref


class HeldPipeline(StartPipeline):
    """A pipeline whose input has been moved to the artifact store. Never leaves the process."""

    input_ref: PayloadRef


class Unwritable(msgspec.Struct, frozen=True):
    """Why a stage cannot be told what its template says."""

    error_type: str
    error: str


class WrittenInputs(WriteInputs):
    """What the stages `first` to `end` are told, put into the artifact store. Never leaves the process."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    told: tuple[m.Text | Unwritable, ...]
    """One for each stage; where there is none, the pipeline's output."""
    outputs_ref: Ref | None
    """The outputs of all earlier stages, where they are not carried."""


def size_of_input(start: StartPipeline) -> int:
    """Bytes of what the first step is told."""
    return start.input_ref.size if isinstance(start, HeldPipeline) else len(start.initial_input.encode())


def is_awaited(head: m.Pipeline, command: WriteInputs) -> bool:
    """Whether `command` is what the pipeline waits for, and not an earlier one again."""
    return head.writing and (head.epoch, head.cursor) == (command.epoch, command.first)


def preparations(artifacts: ArtifactStore) -> dict[type[Record], Prepare]:
    """What happens to the stage's records before they are decided."""

    async def hold_input(record: Record) -> Record:
        """Move an input above 4 KiB; one above the limit is left alone, to be refused."""
        assert isinstance(record, StartPipeline)
        data = record.initial_input.encode()
        if not MAX_INLINE_CONTENT_BYTES < len(data) <= MAX_REQUEST_INPUT_BYTES:
            return record
        fields = {name: getattr(record, name) for name in StartPipeline.model_fields}
        return HeldPipeline(**fields | {"initial_input": ""}, input_ref=await artifacts.put(data))

    async def hold_output(record: Record) -> Record:
        """Move an output above 4 KiB."""
        assert isinstance(record, FinishStage)
        data = (record.output or "").encode()
        if record.output_ref is not None or len(data) <= MAX_INLINE_CONTENT_BYTES:
            return record
        return record.model_copy(update={"output": None, "output_ref": await artifacts.put(data)})

    return {StartPipeline: hold_input, FinishStage: hold_output}


def preparations_with_rows(artifacts: ArtifactStore) -> dict[type[Record], PrepareWithRows]:
    """The same for what the stage writes to itself."""

    async def write_inputs(record: Record, rows: Rows) -> Record:
        assert isinstance(record, WriteInputs)
        return await _Writing(artifacts, record, rows).written()

    return {WriteInputs: write_inputs}


class _Writing:
    """One WriteInputs. Reads each text once, however many stages are told it."""

    def __init__(self, artifacts: ArtifactStore, command: WriteInputs, rows: Rows) -> None:
        self._artifacts = artifacts
        self._command = command
        self._rows = rows
        self._read: dict[str, str] = {}

    async def written(self) -> Record:
        command, rows, pipeline_id = self._command, self._rows, self._command.pipeline_id
        head = rows.get(m.pipeline_key(pipeline_id), m.Pipeline)
        if head is None or not is_awaited(head, command):
            return command  # it does not count any more
        origin = texts.origin_of(rows, pipeline_id)
        if command.first == command.end:
            sources = texts.sources_of(rows, pipeline_id, origin, command.first)
            return self._with((await self._final(sources),), None)
        step_first = texts.spec_of(rows, pipeline_id, command.first).first
        sources = texts.sources_of(rows, pipeline_id, origin, step_first)
        told = [await self._told(sources, index) for index in range(command.first, command.end)]
        return self._with(tuple(told), None if texts.few_outputs(head) else await self._outputs(step_first))

    def _with(self, told: tuple[m.Text | Unwritable, ...], outputs_ref: Ref | None) -> WrittenInputs:
        fields = {name: getattr(self._command, name) for name in WriteInputs.model_fields}
        return WrittenInputs(**fields, told=told, outputs_ref=outputs_ref)

    async def _told(self, sources: texts.Sources, index: int) -> m.Text | Unwritable:
        spec = texts.spec_of(self._rows, self._command.pipeline_id, index)
        if (whole := texts.passed_on(sources, spec)) is not None:
            return whole
        if (size := texts.told_bytes(sources, spec)) > MAX_TOLD_BYTES:
            return Unwritable("input_too_large", f"it would be told {size} bytes, above {MAX_TOLD_BYTES}")
        try:
            for name in placeholders(texts.template_of(spec)):
                for _, text in sources.parts(spec, name):
                    await self._fetch(text)
        except (InvalidInput, NotFound, PayloadTooLarge) as exc:
            return Unwritable("input_unreadable", str(exc)[:2_000])
        return await self._kept(texts.fill_in(sources, spec, self._at_hand))

    async def _final(self, sources: texts.Sources) -> m.Text | Unwritable:
        """The pipeline's own output: that of the last step."""
        size = sum(text.size for _, text in sources.previous)
        if size > MAX_TOLD_BYTES:
            many = f"the {len(sources.previous)} outputs of the last step are {size} bytes together"
            note = f"{many}, too many for one text; read them from its stages"
            return m.Text(len(note.encode()), note)
        try:
            for _, text in sources.previous:
                await self._fetch(text)
        except (InvalidInput, NotFound, PayloadTooLarge) as exc:
            return Unwritable("output_unreadable", str(exc)[:2_000])
        return await self._kept(texts.joined([(label, self._at_hand(text)) for label, text in sources.previous]))

    async def _outputs(self, end: int) -> Ref:
        outputs: list[Any] = [
            each.previous().model_dump()
            for each in texts.earlier_outputs(self._rows, self._command.pipeline_id, end)
        ]
        return Ref.of(await self._artifacts.put(json.dumps(outputs, ensure_ascii=False).encode()))

    async def _fetch(self, text: m.Text) -> None:
        if text.ref is not None and text.ref.sha256 not in self._read:
            self._read[text.ref.sha256] = await read_text(CarriedText(None, text.ref.payload()), self._artifacts)

    def _at_hand(self, text: m.Text) -> str:
        return texts.inline(text) if text.ref is None else self._read[text.ref.sha256]

    async def _kept(self, text: str) -> m.Text:
        data = text.encode()
        if len(data) <= MAX_INLINE_CONTENT_BYTES:
            return m.Text(len(data), text)
        return m.Text(len(data), None, Ref.of(await self._artifacts.put(data)))
