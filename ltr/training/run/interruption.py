"""Signals that wait for the end of a training step, so that what is saved can be continued exactly."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

from ltr.errors import Interrupted

log = logging.getLogger(__name__)

#: Ctrl-C; the end that SLURM, Kubernetes and spot machines ask for; SLURM's warning before it
SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGUSR1") if (number := getattr(signal, name, None)) is not None]


class Interruption:
    """Remembers a signal until a place where stopping is safe; Ctrl-C once more stops at once.

    Attributes:
        number: of the signal that came; None as long as none did.
        safe: whether it was raised where the training may be saved.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.safe = False
        self._waits = False
        self._before: dict[int, Any] = {}

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take over the signals; until ``wait`` they stop at once."""
        self.number, self.safe, self._waits = None, False, False
        self.listen()
        try:
            yield
        finally:
            self.ignore()

    def listen(self) -> None:
        """Take the signals (back) from whoever has them, in the main thread; elsewhere Python does not allow it."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.signal(number, self._remember)
                self._before.setdefault(number, before)

    def ignore(self) -> None:
        """Give the signals back to those who had them."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def wait(self, waits: bool) -> None:
        """Whether signals are remembered from now on, until ``stop_here``."""
        self._waits = waits

    def stop_here(self) -> None:
        """Raise Interrupted if a signal came; what calls this says that the training may be saved here."""
        if self.number is not None:
            self.safe = True
            raise Interrupted(self.number)

    def _remember(self, number: int, frame: Any) -> None:
        again = self.number is not None
        if again and number != signal.SIGINT:
            return  # those who end a job often say it several times
        self.number = self.number or number
        if again or not self._waits:
            raise Interrupted(self.number)
        log.info("\nstopping after this step and saving it; Ctrl-C again stops at once")
