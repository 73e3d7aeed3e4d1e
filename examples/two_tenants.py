"""Two tenants submit ten echo runs each at the same time; every result is shown as it arrives.

python examples/two_tenants.py
"""

from __future__ import annotations

import asyncio
import time

import penstock

TENANTS = ("acme", "globex")
RUNS_EACH = 10


async def run_one(client: penstock.Client, tenant: str, number: int) -> str:
    text = f"{tenant} says hello, run {number} of {RUNS_EACH}"
    submission = await client.submit("echo", text, tenant=tenant, model="claude-3-haiku")
    output = await client.result(submission.execution_id, timeout_s=60)
    return f"  {tenant:<8} {submission.execution_id[:8]}  {output}"


async def main() -> None:
    began = time.monotonic()
    async with penstock.Client() as client:
        runs = [run_one(client, tenant, n + 1) for n in range(RUNS_EACH) for tenant in TENANTS]
        for finished in asyncio.as_completed(runs):
            print(await finished, flush=True)
    print(f"  {len(runs)} runs in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
