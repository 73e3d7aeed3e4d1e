"""Accounts as a stage: its topics, its rows, and the one thing that needs I/O before a decision."""

from __future__ import annotations

from penstock.artifacts import ArtifactStore
from penstock_schemas import topics
from penstock_schemas.records import Record, RequestExecution
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.model import ROW_TYPES
from penstock_streams.accounts.policy import Policy
from penstock_streams.kit import Stage


def accounts_stage(policy: Policy, artifacts: ArtifactStore) -> Stage:
    """The accounts stage under `policy`; large inline inputs go to `artifacts`."""

    async def move_large_input(record: Record) -> Record:
        """Put an inline input above 32 KiB into the artifact store, under its own hash: a replay rewrites it.

        One above the request limit is left alone: accounts rejects it.
        """
        if not isinstance(record, RequestExecution) or record.input is None:
            return record
        raw = record.input.encode()
        if not topics.MAX_INLINE_BYTES < len(raw) <= topics.MAX_REQUEST_INPUT_BYTES or record.input_ref:
            return record
        ref = await artifacts.put(raw)
        return record.model_copy(update={"input": None, "input_ref": ref})

    return Stage(
        name="accounts",
        inputs=(topics.ACCOUNTS_REQUESTS, topics.ACCOUNTS_COMMANDS),
        outputs=(
            topics.ACCOUNTS_EVENTS,
            topics.EXECUTIONS_EVENTS,
            topics.EXECUTIONS_COMMANDS,
            topics.CONVERSATIONS_COMMANDS,
            topics.PIPELINES_COMMANDS,
        ),
        row_types=ROW_TYPES,
        decide=Accounts(policy),
        prepare={RequestExecution: move_large_input},
    )
