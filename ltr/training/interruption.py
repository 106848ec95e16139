"""Ctrl-C that waits for the end of a training step, so that what is saved can be continued exactly."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

log = logging.getLogger(__name__)


class Interruption:
    """Remembers the first Ctrl-C until a place where stopping is safe; a second one stops at once."""

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def listen(self) -> None:
        """Take over Ctrl-C (in the main thread; elsewhere Python does not allow it)."""
        if self._before is None and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._remember)

    def ignore(self) -> None:
        """Give Ctrl-C back to whoever had it."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        self._before, self._asked = None, False

    def stop_here(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed since ``listen``."""
        if self._asked:
            raise KeyboardInterrupt

    def _remember(self, number: int, frame: Any) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        log.info("\nstopping after this step and saving it; Ctrl-C again stops at once")
