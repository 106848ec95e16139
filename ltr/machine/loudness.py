"""How much a command says beside its result: ``--quiet`` and ``--verbose`` of every command."""

from __future__ import annotations

import logging
import sys

_level = logging.INFO


def set_loudness(level: int) -> None:
    """Let log lines from this level on appear: WARNING for a quiet command, DEBUG for a talkative one."""
    global _level
    _level = level


def loudness() -> int:
    """The least level of what is said."""
    return _level


def shows_bars() -> bool:
    """Whether progress is to be drawn: to a terminal or in a notebook, unless quiet was asked for."""
    return _level <= logging.INFO and (sys.stderr.isatty() or "ipykernel" in sys.modules)
