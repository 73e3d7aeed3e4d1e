"""Changing a tenant, and waiting until the change is in force."""

from __future__ import annotations

import time

from penstock.arguments import TenantArguments
from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import NotConfirmed, UndecodableRecord
from penstock.models import Tenant
from penstock.submitting import Submitting
from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_EVENTS

CONFIRMED_WITHIN_S = 15.0
"""Longer than it takes a new owner of a partition to take over."""


class Tenants:
    """Operator's commands about tenants."""

    def __init__(self, kafka: KafkaConnection, encoding: Encoding, submitting: Submitting) -> None:
        self._kafka = kafka
        self._encoding = encoding
        self._submitting = submitting

    async def configure(self, wanted: TenantArguments) -> Tenant:
        """Create or change a tenant; returns its limits in force.

        1. The end of the tenant's event partition is captured. A crash after this leaves nothing.
        2. The command is sent. A crash after this leaves the tenant configured and nobody told.
        3. The first TenantConfigured of this tenant after 1 is the answer.

        Raises:
            NotConfirmed: no answer in time.
        """
        answers = await self._kafka.partition_of(ACCOUNTS_EVENTS, wanted.tenant)
        ends = await self._kafka.end_offsets([answers])
        await self._submitting.configure_tenant(wanted)
        give_up_at_s = time.monotonic() + CONFIRMED_WITHIN_S
        async with self._kafka.consumer_at(ends) as consumer:
            while (left_s := give_up_at_s - time.monotonic()) > 0:
                batches = await consumer.getmany(timeout_ms=int(left_s * 1000))
                for message in batches.get(answers, []):
                    if tenant := await self._configured(message.value, wanted.tenant):
                        return tenant
        raise NotConfirmed(
            f"the command for tenant {wanted.tenant!r} is on Kafka, and accounts has not confirmed it within "
            f"{CONFIRMED_WITHIN_S:g} s; it takes effect when the streams process runs (`penstock status`)"
        )

    async def _configured(self, value: bytes, tenant_id: str) -> Tenant | None:
        try:
            record = await self._encoding.decode(ACCOUNTS_EVENTS.name, value)
        except UndecodableRecord:
            return None  # the loader dead-letters it
        if not isinstance(record, r.TenantConfigured) or record.tenant_id != tenant_id:
            return None
        return Tenant(
            tenant_id=record.tenant_id,
            tier=record.tier,
            concurrency=record.concurrency,
            queue_limit=record.queue_limit,
            suspended=record.suspended,
        )
