"""Progress of long work: reporting it, requests to stop, and the time left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise

# progress(done, total, what): `done` of `total` units (images, steps) of the phase named `what`.
# A callback may raise `labeler.core.errors.Stopped`: the work keeps what is finished and lets it
# pass.
Progress = Callable[[int, int, str], None]

ENOUGH = 3.0  # seconds of progress before anything is foretold
SPACING = 0.5  # seconds between the marks that are remembered
REMEMBERED = 120  # marks: a minute of quick work, or so many batches of slow work


def silent(done: int, total: int, what: str) -> None:
    """Ignore the progress."""


class Pace:
    """Rate of the current phase of some work, from its recent progress.

    Only what is done while somebody looks counts: not what was there when the work went on from
    half-way, and not the time until the first units come, in which models are read and threads
    started. Each phase is judged by itself. Times are in seconds, of any clock that only rises.
    """

    def __init__(self) -> None:
        self._phase: str | None = None
        self._at_first = 0  # units that were done when the phase was first seen
        self._marks: deque[tuple[float, int]] = deque(maxlen=REMEMBERED)
        self._now = 0.0

    def seen(self, done: int, phase: str, now: float) -> None:
        """Note that `done` units of `phase` are done at the time `now`, in seconds."""
        last = self._marks[-1][1] if self._marks else self._at_first
        if phase != self._phase or done < last:
            self._phase, self._at_first = phase, done
            self._marks.clear()
        elif done > last:
            if len(self._marks) > 1 and now - self._marks[-2][0] < SPACING:
                self._marks.pop()
            self._marks.append((now, done))
        self._now = now

    @property
    def rate(self) -> float | None:
        """Return units per second; None until there is enough progress."""
        if len(self._marks) < 2:
            return None
        (began, before), (_, done) = self._marks[0], self._marks[-1]
        elapsed = self._counted_until() - began
        return (done - before) / elapsed if elapsed >= ENOUGH else None

    def left(self, total: int) -> float | None:
        """Return the seconds until `total` units are done at this rate; None without a rate."""
        if (rate := self.rate) is None:
            return None
        at, done = self._marks[-1]
        since = max(0.0, self._counted_until() - at)
        waited = 0.0 if since else self._now - at
        return max(0.0, (total - done) / rate - waited)

    def _counted_until(self) -> float:
        """The last progress; now, if none has come for longer than it ever took."""
        times = [at for at, _ in self._marks]
        longest = max(later - earlier for earlier, later in pairwise(times))
        return self._now if self._now - times[-1] > longest + SPACING else times[-1]
