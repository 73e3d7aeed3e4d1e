"""The guards, each taken away. Under every one of these mutations some seed must violate an invariant.

A mutation patches the code under test where the guard is code of ours, and the model where the guard is the log's
or lies between processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from tests.simulation.mutations.base import Mutation
from tests.simulation.mutations.of_the_kit import KIT
from tests.simulation.mutations.of_the_stages import STAGES
from tests.simulation.mutations.of_the_worker import WORKER

MUTATIONS: dict[str, Mutation] = {**KIT, **STAGES, **WORKER}


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """Run under the mutation `name`; None changes nothing."""
    with ExitStack() as patches:
        for owner, attribute, replacement in MUTATIONS[name].patches if name else ():
            patches.enter_context(patch.object(owner, attribute, replacement))
        yield


__all__ = ["MUTATIONS", "Mutation", "mutated"]
