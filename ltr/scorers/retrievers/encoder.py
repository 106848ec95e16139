"""Running a transformer over texts that are read alone: packed, a few at a time, with or without kept activations."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ltr.batch import TokenRows
from ltr.errors import ConfigError
from ltr.io.model_names import located
from ltr.scorers import architectures
from ltr.scorers.layout import Layout, layout_of, refuse_lowering
from ltr.scorers.recomputing import computed
from ltr.scorers.retrievers.base import Retriever
from ltr.scorers.text import loading, packed
from ltr.scorers.text.heads import encoder_of
from ltr.scorers.text.microbatches import Row, filled, plan, row
from ltr.scorers.text.saving import cutting, write_tokenizer
from ltr.scorers.text.transformer import TransformerScorer
from ltr.settings import Prompts

log = logging.getLogger(__name__)

Own = TypeVar("Own", bound="EncodingRetriever")


class EncodingRetriever(TransformerScorer, Retriever):
    """A retriever around a transformer, which trains.

    With ``checkpointing`` nothing but its results is kept of each micro-batch before the last; the backward pass computes
    them again one by one, with the random numbers of the first time (*gradient caching*). Gradients are those without it; batches may be
    as large as their vectors fit into memory.

    Constructors of retrievers write out what they hand on to this one: help, configurations and editors show signatures.

    Args:
        model: folder, hub id or ``package:NAME/PATH``; safetensors only, no code from the hub is run.
        kind: transformers' class that opens it.
        query_prompt: stands before each query, such as ``"query: "``; None as the model says.
        doc_prompt: stands before each document, likewise.
        attention_dropout, dropout, layers, freeze_layers, checkpointing, batch_tokens, batch_docs, revision: as of
            ``CrossEncoder``.
    """

    def __init__(
        self,
        model: str,
        kind: Any,
        query_prompt: str | None,
        doc_prompt: str | None,
        attention_dropout: float,
        dropout: float | None,
        layers: int | None,
        freeze_layers: int,
        checkpointing: bool,
        batch_tokens: int | None,
        batch_docs: int | None,
        revision: str | None,
    ):
        super().__init__()
        name = type(self).__name__
        if any(bound is not None and bound < 1 for bound in (batch_tokens, batch_docs)):
            raise ConfigError(
                f"{name}: batch_tokens and batch_docs must be at least 1, got {batch_tokens}, {batch_docs}"
            )
        self.checkpointing, self.batch_tokens, self.batch_docs = checkpointing, batch_tokens, batch_docs
        self.revision, place = revision, located(model)
        #: what the folder says of itself where it is one of sentence-transformers
        self.layout: Layout | None = layout_of(place, revision, name)
        self.source = place if self.layout is None else self.layout.source
        if self.layout is not None:
            self.usual_length, self.usual_query_length = self.layout.max_length, self.layout.max_query_length
            refuse_lowering(self.layout.lengths, lambda: self.tokenizer, self.layout.root, name)
        said = Prompts() if self.layout is None else self.layout.prompts
        given = zip(said, (query_prompt, doc_prompt), strict=True)
        self.prompts = Prompts(*(old if new is None else new for old, new in given))
        if self.layout is not None and self.layout.doc_prompt_passed_over and doc_prompt is None:
            log.warning(
                "%s: %s names what stands before documents %s, and nothing 'document', for which sentence-transformers then puts "
                "nothing: documents are read behind %r here, as its author meant; say doc_prompt",
                *(name, model, self.layout.doc_prompt_passed_over, said.doc),
            )
        others = () if self.layout is None else self.layout.other_prompts
        if others and query_prompt is None and doc_prompt is None and not any(said):
            log.warning(
                "%s: %s names its prompts %s, none of them for queries (query) or documents (document, passage, corpus): texts "
                "are read without any; say with query_prompt and doc_prompt what stands before them, empty for nothing",
                *(name, model, ", ".join(others)),
            )
        self._hold(
            loading.load_encoder(kind, name, self.source, attention_dropout, dropout, layers, revision), freeze_layers
        )

    @property
    def config(self) -> Any:
        return self.network.config

    @classmethod
    def load(cls: type[Own], folder: str | os.PathLike) -> Own:
        """Open a saved folder (or a hub id), in evaluation mode."""
        return cls(os.fspath(folder)).eval()  # type: ignore[call-arg]

    def write_encoder(self, folder: Path, max_length: int) -> None:
        """Write the encoder and its tokenizer, which cuts texts to ``max_length`` tokens, as transformers opens them."""
        with loading.quiet():
            self.network.save_pretrained(folder)
        write_tokenizer(cutting(self.tokenizer, max_length), folder)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        own = {id(p) for p in self.network.parameters()}
        trained = [p for p in self.parameters() if p.requires_grad]
        return {
            "encoder": [p for p in trained if id(p) in own],
            "head": [p for p in trained if id(p) not in own],
        }

    def in_pieces(self, compute: Callable[[Tensor], Tensor], rows: TokenRows, tokens: int | None) -> list[Any]:
        """[(rows, what ``compute`` gives for them)] for micro-batches of alike lengths; see ``checkpointing``."""
        lengths = rows.lengths
        most = tokens or self.budget(lengths.device)
        if self._packs:
            pieces = filled(lengths, most, self.batch_docs)
        else:
            pieces = plan(lengths, most, self.batch_docs, architectures.apart(self.config, rows))
        if torch.is_grad_enabled():
            pieces.reverse()  # the last one need not be computed again: the longest
        return list(zip(pieces, computed(compute, pieces, self.checkpointing), strict=True))

    def by_row(self, compute: Callable[[Tensor], Tensor], rows: TokenRows, tokens: int | None) -> Tensor:
        """[rows, ...] what ``compute`` gives for micro-batches of rows, in their order."""

        def all_rows() -> Tensor:
            pieces = self.in_pieces(compute, rows, tokens)
            order = torch.cat([piece for piece, _ in pieces]).argsort()
            return torch.cat([values for _, values in pieces])[order]

        return self.sparing(all_rows)

    def states(self, rows: TokenRows, piece: Tensor) -> tuple[Tensor, Row]:
        """The last states [tokens, hidden] of some rows, one after the other, and where they stand."""
        line = row(rows, piece)
        if self._packs:
            return packed.states_of(self.network, line, self._takes_segments), line
        inputs, mask = self.padded_inputs(rows, piece)
        return encoder_of(self.network)(**inputs).last_hidden_state[mask], line
