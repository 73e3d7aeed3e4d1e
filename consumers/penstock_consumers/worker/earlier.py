"""What the earlier stages of a pipeline answered, fetched from wherever it is."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from penstock.artifacts import ArtifactStore
from penstock.carried import CarriedText, read_text
from penstock.errors import InvalidInput
from penstock_schemas.records import ExecutionDispatched, PreviousOutput

_outputs = TypeAdapter(list[PreviousOutput])


async def earlier_outputs(
    dispatch: ExecutionDispatched, store: ArtifactStore | None
) -> tuple[tuple[str, str], ...]:
    """Name and output of each earlier stage, in their order.

    Raises:
        InvalidInput: the document they are in is not what pipelines writes.
        InvalidInput, NotFound, ArtifactStoreUnreachable, PayloadTooLarge: as `read_text`.
    """
    outputs = dispatch.previous_outputs
    if (ref := dispatch.previous_outputs_ref) is not None:
        try:
            outputs = _outputs.validate_json(await read_text(CarriedText(None, ref), store))
        except ValidationError as exc:
            raise InvalidInput(f"{ref.uri} is no list of earlier outputs: {exc}") from exc
    return tuple([(one.stage, await read_text(CarriedText(one.output, one.output_ref), store)) for one in outputs])
