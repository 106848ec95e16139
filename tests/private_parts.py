"""What tests of torch's private parts say when torch has changed one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch


@contextlib.contextmanager
def provided(name: str, used_by: ModuleType) -> Iterator[None]:
    """Turns whatever goes wrong into a sentence that says what torch changed and where to mend it."""
    try:
        yield
    except Exception as error:
        pytest.fail(
            f"torch {torch.__version__} changed {name}: see {used_by.__file__} ({type(error).__name__}: {error})"
        )
