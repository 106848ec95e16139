"""SPLADE: a weight for each word of the vocabulary, most of them 0, from a masked-language model's head."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltr.batch import TokenRows
from ltr.errors import ConfigError
from ltr.io.files import building
from ltr.scorers import layout
from ltr.scorers.filing import Filing
from ltr.scorers.retrievers.encoder import EncodingRetriever
from ltr.scorers.retrievers.vectors import VectorScorer
from ltr.scorers.text import packed
from ltr.scorers.text.microbatches import row
from ltr.settings import Settings, TwinSettings

#: class names that sentence-transformers gives the encoder, whose configuration says that it has its head
ENCODERS = ("MLMTransformer", "Transformer")


class Sparse(EncodingRetriever, VectorScorer):
    """Scores a document by the product of two sparse vectors over the vocabulary, which an inverted index searches.

    A text's weight of word v is ``max over its tokens of log(1 + max(0, logit of v))``, logits of a masked-LM head. Training
    adds to the mean cost of a batch ``λ · Σ_v (mean over its texts of the weight of v)²``, for queries and for documents
    (FLOPS: what a search multiplies), so that weights become few; λ rises with the square of the steps.

    Args:
        model: folder, hub id or ``package:NAME/PATH`` of a masked-language model or of a SparseEncoder of
            sentence-transformers; safetensors only, no code from the hub is run.
        query_flops: λ of queries, at least 0.
        doc_flops: λ of documents, at least 0.
        flops_warmup: share of the training during which λ rises, in (0, 1].
        query_prompt, doc_prompt, attention_dropout, dropout, layers, freeze_layers, checkpointing, batch_docs, revision: as of
            ``BiEncoder``.
        batch_tokens: most tokens computed at once; None takes 1024 on a CPU and 8192 elsewhere, as each has a logit for each
            word.

    Raises:
        ConfigError: a model that cannot be opened safely, has no masked-LM head, or pools in another way.

    Source: Formal, Lassance, Piwowarski and Clinchant, "SPLADE v2", arXiv 2109.10086, 2021; FLOPS: Paria et al., "Minimizing
    FLOPs to Learn Efficient Sparse Representations", ICLR 2020.
    """

    filing = Filing(
        "Sparse encoder", "feature-extraction", "sentence-transformers", ("sparse-encoder", "sparse", "splade")
    )

    def __init__(
        self,
        model: str,
        query_flops: float = 5e-5,
        doc_flops: float = 3e-5,
        flops_warmup: float = 0.33,
        query_prompt: str | None = None,
        doc_prompt: str | None = None,
        attention_dropout: float = 0.0,
        dropout: float | None = None,
        layers: int | None = None,
        freeze_layers: int = 0,
        checkpointing: bool = False,
        batch_tokens: int | None = None,
        batch_docs: int | None = None,
        revision: str | None = None,
    ):
        from transformers import AutoModelForMaskedLM

        if not (query_flops >= 0 and doc_flops >= 0 and 0 < flops_warmup <= 1):
            raise ConfigError(
                f"Sparse: query_flops and doc_flops must be at least 0, and flops_warmup a share in (0, 1], got {query_flops}, "
                f"{doc_flops} and {flops_warmup}"
            )
        super().__init__(
            model, AutoModelForMaskedLM, query_prompt, doc_prompt, attention_dropout, dropout, layers, freeze_layers,
            checkpointing, batch_tokens, batch_docs, revision,
        )  # fmt: skip
        self.query_flops, self.doc_flops, self.flops_warmup = query_flops, doc_flops, flops_warmup
        self.pooling, self.similarity, self.log_scale, self.shift = "max", "dot", None, None
        #: how many words of a text are kept in use, the heaviest; None for all
        self.most_words: int | None = None
        if self.layout is not None:
            self._check_layout()
            self.most_words = self.layout.most_words

    @property
    def dim(self) -> int:
        """Words of the vocabulary."""
        return int(self.config.vocab_size)

    def budget(self, device: torch.device) -> int:
        own = self.batch_tokens
        return own if isinstance(own, int) else 1024 if device.type == "cpu" else 8192

    def vectors(self, rows: TokenRows, tokens: int | None) -> Tensor:
        return self.by_row(partial(self._weights, rows), rows, tokens)

    def encode(self, rows: TokenRows, tokens: int | None = None) -> Tensor:
        found = super().encode(rows, tokens)
        return found if self.training or self.most_words is None else heaviest(found, self.most_words)

    def _weights(self, rows: TokenRows, piece: Tensor) -> Tensor:
        """[docs, words] of some texts: one pass of max, before what is monotone is done to few numbers."""
        line = row(rows, piece)
        if self._packs:
            logits = packed.logits_of(self.network, line, self._takes_segments)
        else:
            inputs, mask = self.padded_inputs(rows, piece)
            logits = self.model(**inputs).logits[mask]
        at, found = 0, []
        for docs, length in line.runs:
            found.append(logits[at : at + docs * length].unflatten(0, (docs, length)).max(1).values)
            at += docs * length
        return torch.cat(found).float().relu().log1p()

    penalised = True

    def penalty(self, queries: Any, docs: Any, progress: float) -> Tensor | None:
        rising = min(1.0, progress / self.flops_warmup) ** 2
        return rising * (self.query_flops * flops(queries) + self.doc_flops * flops(docs))

    def save(self, folder: str | os.PathLike, settings: Settings | None = None) -> None:
        """Save as a folder that transformers and sentence-transformers' SparseEncoder open, and ``ltr.json``."""
        known = settings if isinstance(settings, TwinSettings) else self.usual_settings()
        self.check_length(max(known.max_length, known.max_query_length))
        home = "sentence_transformers.sparse_encoder.models"
        pooling = {"pooling_strategy": "max", "activation_function": "relu", "word_embedding_dimension": self.dim}
        modules: dict[str, tuple[str, dict[str, Any]]] = {
            f"{home}.MLMTransformer": ("", {}),
            f"{home}.SpladePooling": ("1_SpladePooling", pooling),
        }
        more = {layout.MOST_WORDS: self.most_words}
        with building(Path(folder)) as beside:
            self.write_encoder(beside, known.max_length)
            layout.write_layout(beside, modules, self.prompts, "dot", known.max_length, "SparseEncoder", more)
            replace(known, scorer="Sparse", arguments={}).write(beside)

    def _check_layout(self) -> None:
        assert self.layout is not None
        wrong = [kind for kind in self.layout.kinds if kind not in (*ENCODERS, "SpladePooling")]
        if wrong or "SpladePooling" not in self.layout.kinds:
            what = f"a module {wrong[0]}" if wrong else "no SpladePooling"
            raise ConfigError(f"Sparse: {self.source} has {what}; a sparse encoder is a masked-LM and SpladePooling")
        config = self.layout.config("SpladePooling", self.revision)
        how = config.get("pooling_strategy", "max"), config.get("activation_function", "relu")
        if how != ("max", "relu"):
            raise ConfigError(f"Sparse: {self.source} pools by {' of '.join(how)}; ltr pools by max of relu")
        if self.layout.similarity not in (None, self.similarity):
            raise ConfigError(
                f"Sparse: {self.source} compares its vectors by {self.layout.similarity} (similarity_fn_name), and an inverted "
                "index by their product, which puts documents in another order; set it to dot if that is meant"
            )


def heaviest(vectors: Tensor, n: int) -> Tensor:
    """[texts, words] with all but the ``n`` largest weights of each text 0.

    >>> heaviest(torch.tensor([[1.0, 3.0, 2.0]]), 2)
    tensor([[0., 3., 2.]])
    """
    kept = vectors.topk(min(n, vectors.shape[1]), dim=1)
    return torch.zeros_like(vectors).scatter(1, kept.indices, kept.values)


def flops(vectors: Tensor) -> Tensor:
    """Σ over words of the squared mean weight: about what it costs to multiply two of the vectors.

    >>> flops(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    tensor(4.)
    """
    return vectors.abs().mean(0).square().sum()
