"""What scorers share that read queries and documents apart."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ltr.batch import Lists, TokenRows, TwinLists
from ltr.data.tokens.twins import TwinReader
from ltr.errors import ConfigError
from ltr.scorers.base import TextScorer
from ltr.scorers.text.loading import check_length, max_positions, open_cutting
from ltr.settings import ModelSettings, Prompts, Settings, TwinSettings

#: products computed at once where lists share few documents
AT_ONCE = 2**16


class Products(NamedTuple):
    """Vectors whose products are scores.

    Attributes:
        queries: [lists, dim].
        docs: [docs, dim].
        shift: [] what is added to products; None for nothing.
    """

    queries: Tensor
    docs: Tensor
    shift: Tensor | None = None


class Retriever(TextScorer):
    """A scorer that reads queries and documents apart: documents can be encoded once, kept, and searched.

    One of your own defines ``encode_queries``, ``encode_docs`` and ``similarities``, and keeps ``source``, ``revision``,
    ``prompts`` and ``config``.
    """

    takes: ClassVar[type[Lists]] = TwinLists
    settings_type: ClassVar[type[ModelSettings]] = TwinSettings
    saves_arguments = False
    revision: str | None = None
    prompts: Prompts = Prompts()
    #: tokens of a query as the model it was opened from says; None where that does not say, or they are those of a document
    usual_query_length: int | None = None

    @property
    def config(self) -> Any:
        """transformers' configuration of the encoder."""
        raise NotImplementedError(f"{type(self).__name__} must define config")

    @property
    def apart(self) -> Prompts:
        return self.prompts

    @cached_property
    def tokenizer(self) -> Any:
        """The fast tokenizer that belongs to the model."""
        return open_cutting(self.source, self.revision, type(self).__name__)

    @property
    def max_positions(self) -> int | None:
        """How many tokens a text may have; None where there is no bound."""
        return max_positions(self.config)

    def check_length(self, max_length: int) -> None:
        """Raise ConfigError unless the model has positions for ``max_length`` tokens."""
        check_length(self.config, self.source, max_length, type(self).__name__)

    def usual_settings(self, max_length: int | None = None) -> TwinSettings:
        """Lengths as the model says that it was opened from: one for both, or one for queries and one for documents.

        Args:
            max_length: tokens of a document where the user says so, and at most so many of a query.
        """
        length = self.usual_tokens(self.usual_length) if max_length is None else max_length
        if self.usual_query_length is None:
            return TwinSettings(length, length)
        queries = self.usual_tokens(self.usual_query_length)
        return TwinSettings(length, queries if max_length is None else min(queries, max_length))

    def fit_to(self, settings: Settings) -> None:
        super().fit_to(settings)
        if isinstance(settings, ModelSettings):
            self.check_length(settings.max_query_length)

    def reader(self, settings: Settings) -> TwinReader:
        if not isinstance(settings, TwinSettings):
            raise ConfigError(
                f"{type(self).__name__}: reads queries and documents apart, so that its settings are TwinSettings, got "
                f"{type(settings).__name__}"
            )
        return TwinReader(self.tokenizer, settings, self.prompts)

    # ------------------------------------------------------------------ scoring

    def encode_queries(self, rows: TokenRows, tokens: int | None = None) -> Any:
        """What is searched with; ``tokens``: most tokens computed at once this time, None for the scorer's own."""
        raise NotImplementedError(f"{type(self).__name__} must define encode_queries")

    def encode_docs(self, rows: TokenRows, tokens: int | None = None) -> Any:
        """What is searched, likewise."""
        raise NotImplementedError(f"{type(self).__name__} must define encode_docs")

    def scores_of(self, queries: Any, docs: Any, owners: Tensor, rows: Tensor) -> Tensor:
        """[places] scores of queries ``owners`` with documents ``rows``."""
        raise NotImplementedError(f"{type(self).__name__} must define scores_of")

    # ------------------------------------------------------------------ training with the documents of a whole batch

    def products(self, queries: Any, docs: Any) -> list[Products] | None:
        """Vectors whose products are scores; the cost of a batch is the mean over several such.

        None (the default) where scores are no products: then all of them are computed, as a matrix [queries, documents].
        """
        return None

    #: whether ``penalty`` gives something
    penalised: ClassVar[bool] = False

    def penalty(self, queries: Any, docs: Any, progress: float) -> Tensor | None:
        """What is added to the mean cost of a batch; None for nothing. ``progress``: share of the training done."""
        return None

    def forward(self, batch: TwinLists, tokens: int | None = None) -> Tensor:
        queries, docs = self.encode_queries(batch.queries, tokens), self.encode_docs(batch.docs, tokens)
        owners, rows = places_of(batch)
        return batch.pad(batch.pooled(self.scores_of(queries, docs, owners, rows)))


def places_of(batch: TwinLists) -> tuple[Tensor, Tensor]:
    """([places] the list that each place belongs to, [places] its row)."""
    device = batch.list_offsets.device
    ends = batch.list_offsets if batch.row_offsets is None else batch.row_offsets[batch.list_offsets]
    owners = torch.arange(len(batch), device=device).repeat_interleave(ends.diff())
    return owners, torch.arange(len(owners), device=device) if batch.rows is None else batch.rows


def chosen_products(queries: Tensor, docs: Tensor, owners: Tensor, rows: Tensor) -> Tensor:
    """[places] inner products of ``queries[owners]`` with ``docs[rows]``.

    Where most queries meet most documents all products are computed at once, else those that are asked for.
    """
    if len(queries) * len(docs) <= max(8 * len(rows), AT_ONCE):
        return (queries @ docs.T)[owners, rows]
    pieces = zip(owners.split(AT_ONCE), rows.split(AT_ONCE), strict=True)
    return torch.cat([(queries[mine] * docs[theirs]).sum(-1) for mine, theirs in pieces])
