"""Which requests are let in: those that can be computed in time, by what computing has taken so far."""

from __future__ import annotations

import math

from ltr.serving.problems import Problem

#: how much of the pace an earlier step still counts after the next
MEMORY = 0.95


class Pace:
    """Seconds that a worker takes for a token, as the last steps had it.

    >>> pace = Pace()
    >>> pace.add(tokens=1000, seconds=0.2)
    >>> round(pace.seconds_per_token, 6)
    0.0002
    """

    def __init__(self) -> None:
        self._tokens = self._seconds = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        """Note a step."""
        self._tokens = MEMORY * self._tokens + tokens
        self._seconds = MEMORY * self._seconds + seconds

    def forget(self) -> None:
        """Begin anew."""
        self._tokens = self._seconds = 0.0

    @property
    def known(self) -> bool:
        """Whether there was a step."""
        return self._tokens > 0

    @property
    def seconds_per_token(self) -> float:
        """0 before the first step."""
        return self._seconds / self._tokens if self._tokens else 0.0


class Admission:
    """Refuses requests that would wait too long.

    Args:
        max_wait: seconds that a request may have to wait for those before it.
        pace: of a worker.
        workers: how many there are.
    """

    def __init__(self, max_wait: float, pace: Pace, workers: int):
        self.max_wait, self.pace, self.workers = max_wait, pace, workers

    def wait(self, queued: int) -> float:
        """Seconds that so many queued tokens take."""
        return queued * self.pace.seconds_per_token / self.workers

    def check(self, queued: int, seconds_left: float | None = None) -> None:
        """Raise Problem where a request would wait too long behind so many queued tokens.

        Args:
            queued: tokens that wait or are computed. With none of them any request is let in.
            seconds_left: until the deadline of the request; None for none.
        """
        wait = self.wait(queued)
        if wait > self.max_wait:
            # until half of what may wait is done, so that those who come again find room
            after = max(1, math.ceil(wait - self.max_wait / 2))
            raise Problem(
                "overloaded",
                f"the server is busy for {wait:.1f} s, and lets nobody wait longer than {self.max_wait:g} s; try again after "
                f"{after} s",
                retry_after=after,
            )
        if seconds_left is not None and wait > seconds_left:
            after = max(1, math.ceil(wait - seconds_left))
            raise Problem(
                "overloaded",
                f"the server is busy for {wait:.1f} s, and the request gave {max(0.0, seconds_left):.1f} s; give more time, "
                f"or try again after {after} s",
                retry_after=after,
            )
