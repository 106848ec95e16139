"""Errors that tell a user who complains, what must hold, what came instead, and what to do."""

from __future__ import annotations


class LtrError(Exception):
    """Base of all errors that ltr raises on purpose; the command line prints its text without a traceback."""


class ShapeError(LtrError, ValueError):
    """Tensors or arrays whose shapes do not fit together."""


class ConfigError(LtrError, ValueError):
    """A setting that cannot work: a width of 0, an unknown name, a link that does not increase."""


class DataError(LtrError, ValueError):
    """Input data that cannot be used as they are: a malformed line, an unknown id, a NaN label."""


class ServerError(LtrError):
    """A server that cannot be reached, refuses, or answers what it should not."""


class MissingExtra(LtrError, ImportError):
    """An optional package is needed; the text names the extra that brings it.

    Args:
        package: the package that could not be imported.
        extra: the extra of ltr that brings it.
        purpose: what it is needed for, as the end of "... is needed ...".
    """

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(f"{package} is needed {purpose}, and is not installed: pip install 'ltr[{extra}]'")


class Interrupted(KeyboardInterrupt):
    """A signal asked for the end.

    Args:
        number: of the signal.

    Attributes:
        status: what the process exits with, as shells say it: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, number: int):
        super().__init__(f"signal {number}")
        self.number, self.status = number, 128 + number
