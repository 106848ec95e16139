"""``ltr.json`` of a scorer that reads queries and documents apart, and what stands before either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ltr.batch import Lists, TwinLists
from ltr.errors import ConfigError
from ltr.settings.texts import ModelSettings


class Prompts(NamedTuple):
    """What a scorer that reads queries and documents apart puts before their texts.

    Attributes:
        query: before a query, such as ``"query: "``.
        doc: before a document.
    """

    query: str = ""
    doc: str = ""


@dataclass(frozen=True)
class TwinSettings(ModelSettings):
    """How texts were prepared for a scorer that reads queries and documents apart.

    Args:
        max_length: tokens of a document, special tokens and prompt included.
        max_query_length: tokens of a query, likewise.

    Raises:
        ConfigError: a length below 1, or documents that are read in passages.
    """

    batch: ClassVar[type[Lists]] = TwinLists

    def query_share(self, max_length: int) -> int:
        return self.max_query_length  # queries have rows of their own

    def check_lengths(self) -> None:
        if min(self.max_length, self.max_query_length) < 1:
            raise ConfigError(
                f"TwinSettings: max_length and max_query_length must be at least 1, got {self.max_length} and "
                f"{self.max_query_length}"
            )
        if self.passages != "first":
            raise ConfigError(
                "TwinSettings: a scorer that reads queries and documents apart reads the beginning of a document, so that "
                f"passages must be first, got {self.passages}; cut documents into passages of their own before"
            )
