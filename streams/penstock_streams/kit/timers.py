"""The timers of one task, in memory in the order they fall due; their rows are what survives."""

from __future__ import annotations

from heapq import heappop, heappush

from penstock_streams.kit.rows import TimerRow


class TimerQueue:
    """Timers by name, and by due time. Timers that wait for the grace period have a queue of their own."""

    def __init__(self) -> None:
        self._rows: dict[str, TimerRow] = {}
        self._plain: list[tuple[int, str]] = []
        self._graced: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def set(self, name: str, row: TimerRow | None) -> None:
        """Set, move or (None) cancel one timer."""
        if row is None:
            self._rows.pop(name, None)
            return
        self._rows[name] = row
        heappush(self._graced if row.after_grace else self._plain, (row.due, name))

    def next_due(self, *, grace_over: bool) -> int | None:
        """When the first timer that may fire falls due, in microseconds."""
        heads = [self._head(self._plain, after_grace=False)]
        if grace_over:
            heads.append(self._head(self._graced, after_grace=True))
        return min((head for head in heads if head is not None), default=None)

    def take_due(self, until: int, *, grace_over: bool, at_most: int) -> list[tuple[str, TimerRow]]:
        """Remove and return timers due at or before `until`, earliest first."""
        taken: list[tuple[str, TimerRow]] = []
        while len(taken) < at_most:
            due = self.next_due(grace_over=grace_over)
            if due is None or due > until:
                break
            heap = self._plain
            if not heap or heap[0][0] != due:
                heap = self._graced
            _, name = heappop(heap)
            taken.append((name, self._rows.pop(name)))
        return taken

    def _head(self, heap: list[tuple[int, str]], *, after_grace: bool) -> int | None:
        """Due time of the first entry that is still what its row says; stale entries are dropped."""
        while heap:
            due, name = heap[0]
            if self._rows.get(name) == TimerRow(due, after_grace):
                return due
            heappop(heap)
        return None
