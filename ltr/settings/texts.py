"""``ltr.json`` of a scorer of texts: how they were prepared."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from ltr.batch import Lists, TextLists, check_passages
from ltr.errors import ConfigError
from ltr.settings.base import FILE, Settings


@dataclass(frozen=True)
class ModelSettings(Settings):
    """How texts were prepared when a model was trained, so that it scores them the same way later.

    Args:
        max_length: tokens of query and document together, special tokens included.
        max_query_length: tokens that the query may take of them.
        interpolation: the first stage's weight, 0 to 1, when its scores are mixed with the model's; None when no
            weight was chosen.
        trained_on: names of the collections.
        passages: how a document is scored that does not fit into ``max_length``: ``first`` reads its beginning and no
            more; ``max`` and ``mean`` read all of it in overlapping passages and take the largest or the mean score.
        stride: tokens from the start of a passage to the start of the next, at most; None for three quarters of a
            passage. (Some tools call the overlap so.)
        max_passages: passages of a document that are read, from its beginning; None for all.
        form: how prompts and responses were put together (``pair``, ``chat`` or ``plain``) where those were trained on: then
            queries are prompts that lose their beginning, and documents are responses that are read whole; empty for
            queries and documents.
        calibration: the kind and the numbers of the map from scores to probabilities (``ltr.inference.probability``);
            empty where none was fitted.
        interpolated_with: the name of the first stage of which ``interpolation`` is the weight; another's scores are spread
            otherwise, and want another weight. Empty where it is not known.

    Raises:
        ConfigError: a length below 1, a query as long as the whole, a weight outside [0, 1], an unknown way to score
            long documents, or a stride or number of passages that is below 1 or of no use.
    """

    max_length: int = 256
    max_query_length: int = 64
    interpolation: float | None = None
    passages: str = "first"
    stride: int | None = None
    max_passages: int | None = None
    form: str = field(default="", kw_only=True)
    calibration: Mapping[str, object] = field(default_factory=dict, kw_only=True)
    interpolated_with: str = field(default="", kw_only=True)

    batch: ClassVar[type[Lists]] = TextLists
    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers")

    def __post_init__(self):
        super().__post_init__()
        self.check_lengths()
        if self.interpolation is not None and not 0 <= self.interpolation <= 1:
            raise ConfigError(f"ModelSettings: interpolation must be a weight from 0 to 1, got {self.interpolation}")
        check_passages("ModelSettings", self.passages, self.stride, self.max_passages)
        if not isinstance(self.calibration, Mapping):
            raise ConfigError(f"ModelSettings: calibration must be a mapping, got {self.calibration!r:.80}")

    def check_lengths(self) -> None:
        """Raise ConfigError for lengths that leave no room."""
        if not 1 <= self.max_query_length < self.max_length:
            raise ConfigError(
                "ModelSettings: lengths must satisfy 1 <= max_query_length < max_length, "
                f"got {self.max_query_length} and {self.max_length}"
            )

    def query_share(self, max_length: int) -> int:
        """Tokens that a query may have where texts are read of so many."""
        return min(self.max_query_length, max(1, max_length // 2))

    def reading(
        self, passages: str | None = None, stride: int | None = None, max_passages: int | None = None
    ) -> ModelSettings:
        """The same with another way to score long documents; None keeps what is set.

        >>> ModelSettings(passages="max", stride=100).reading("mean").stride
        100
        """
        how = self.passages if passages is None else passages
        own = (None, None) if how == "first" else (self.stride, self.max_passages)
        given = (stride, max_passages)
        stride, max_passages = (mine if new is None else new for mine, new in zip(own, given, strict=True))
        return replace(self, passages=how, stride=stride, max_passages=max_passages)

    @classmethod
    def read(cls, folder: str | os.PathLike) -> ModelSettings:
        """The settings beside a model, or the defaults for a model from elsewhere.

        Raises:
            DataError: naming the file, when it is there and cannot be understood.
        """
        path = Path(folder) / FILE
        return cls.parse(path) if path.is_file() else cls()

    @classmethod
    def find(cls, model: str) -> ModelSettings | None:
        """The settings that come with a folder or a hub id, or None for a model that ltr did not save."""
        if Path(model).is_dir():
            path = Path(model) / FILE
            return cls.parse(path) if path.is_file() else None
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        try:
            return cls.parse(Path(hf_hub_download(model, FILE)))
        except (EntryNotFoundError, OSError):  # not there, or not fetched while there was a network
            return None
