"""How processes share the suite: a file stays in one, and so does all that asks the one whole stack."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

WHOLE_STACK = "tests/e2e"


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Files with many tests are given out first, each as a whole.

    Not `--dist loadgroup`: xdist 3.8 writes its groups where pytest 9.2 does not look, and splits files silently.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return WHOLE_STACK if file.startswith(f"{WHOLE_STACK}/") else file
