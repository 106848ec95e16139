"""The bi-encoder: a vector for the query, a vector for the document, and their product."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ltr.batch import TokenRows
from ltr.errors import ConfigError
from ltr.io.files import building
from ltr.scorers import layout
from ltr.scorers.cpu.bi_encoder import fused
from ltr.scorers.filing import Filing
from ltr.scorers.retrievers.base import Retriever
from ltr.scorers.retrievers.encoder import EncodingRetriever
from ltr.scorers.retrievers.vectors import POOLINGS, SIMILARITIES, Pooling, Similarity, VectorScorer, pooled
from ltr.scorers.text import packed
from ltr.settings import Settings, TwinSettings

#: the trained scale and shift of a saved model
SCALE = "scale.safetensors"
#: scale of a cosine where scale and shift are trained and the user names none
USUAL_SCALE = 20.0


class BiEncoder(EncodingRetriever, VectorScorer):
    """Scores a document by the product of two vectors: one of the query, one of the document, each read alone.

    Wraps transformers' ``AutoModel``. Documents can be encoded once and searched (``encode_docs``); a batch in which
    lists share documents encodes each once. Nothing in it changes while it encodes, so that any number of threads may.

    Gradients with ``checkpointing`` are those without it, dropout included: micro-batches are computed again one by one,
    so that batches of thousands of documents train in the memory of one micro-batch (*gradient caching*).

    Args:
        model: folder, hub id or ``package:NAME/PATH``, of transformers or of sentence-transformers; safetensors only, no
            code from the hub is run.
        pooling: what of a text's states becomes its vector: their ``mean``, that of the ``first`` token or of the
            ``last``; None as the model says, ``mean`` where it says nothing.
        similarity: ``cos`` brings vectors to length 1, ``dot`` leaves them; None as the model says, else ``cos``.
        query_prompt: stands before each query, such as ``"query: "``; None as the model says.
        doc_prompt: stands before each document, likewise.
        scaled: scores are ``a · product + b`` with trained a and b: for targets in units of their own, such as a
            teacher's scores, which no cosine can reach. True starts at a = 20 for cosines, else 1, and b = 0, which is far
            from standardised targets; ``[a, b]`` starts there: ``[1 / deviation, -mean / deviation]`` of a teacher's cosines
            takes one's own for the teacher's.
        widths: beside all numbers of a vector, also its first so many are trained to do alone (*Matryoshka*): the loss
            is the mean over all widths.
        attention_dropout: in [0, 1). 0 keeps torch's fused attention.
        dropout: of hidden states, in [0, 1); None as the model says.
        layers: keep only the first so many layers; None keeps all.
        freeze_layers: embeddings and the first so many layers are not trained.
        checkpointing: see above; about a third slower.
        batch_tokens: most tokens computed at once; None takes 2048 on a CPU and 32768 elsewhere.
        batch_docs: most texts computed at once; None for any number.
        revision: of a hub model.

    Raises:
        ConfigError: a model that cannot be opened safely or is no bi-encoder, or a setting outside its range.

    Source: Reimers and Gurevych, "Sentence-BERT", EMNLP 2019; gradient caching: Gao, Zhang, Han and Callan, "Scaling Deep
    Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021; widths: Kusupati et al., "Matryoshka
    Representation Learning", NeurIPS 2022.
    """

    filing = Filing(
        "Bi-encoder",
        "sentence-similarity",
        "sentence-transformers",
        ("bi-encoder", "feature-extraction", "dense"),
    )

    def __init__(
        self,
        model: str,
        pooling: Pooling | None = None,
        similarity: Similarity | None = None,
        query_prompt: str | None = None,
        doc_prompt: str | None = None,
        scaled: bool | list[float] = False,
        widths: list[int] | None = None,
        attention_dropout: float = 0.0,
        dropout: float | None = None,
        layers: int | None = None,
        freeze_layers: int = 0,
        checkpointing: bool = False,
        batch_tokens: int | None = None,
        batch_docs: int | None = None,
        revision: str | None = None,
    ):
        from transformers import AutoModel

        for name, value, known in (("pooling", pooling, POOLINGS), ("similarity", similarity, SIMILARITIES)):
            if value not in (None, *known):
                raise ConfigError(f"BiEncoder: {name} must be one of {', '.join(known)}, got {value!r}")
        super().__init__(
            model, AutoModel, query_prompt, doc_prompt, attention_dropout, dropout, layers, freeze_layers,
            checkpointing, batch_tokens, batch_docs, revision,
        )  # fmt: skip
        self.pooling, self.similarity = self._said(pooling, similarity)
        self.truncated = None if self.layout is None else self._truncated(self.layout)
        self.widths = sorted(widths or [])
        if self.widths and not 1 <= self.widths[0] <= self.widths[-1] < self.dim:
            raise ConfigError(f"BiEncoder: widths must lie from 1 to below {self.dim}, all of a vector, got {widths}")
        scale, shift = _scale_in(layout.found(self.source, SCALE, revision))
        self.scaled_scores = scaled is not False or scale is not None
        self.log_scale = self.shift = None
        if self.scaled_scores:
            start, begin = self._start(scaled)
            self.log_scale = nn.Parameter(torch.tensor(math.log(start)) if scale is None else scale)
            self.shift = nn.Parameter(torch.tensor(begin) if shift is None else shift)

    def vectors(self, rows: TokenRows, tokens: int | None) -> Tensor:
        return self.by_row(partial(self._pooled, rows), rows, tokens)

    def _pooled(self, rows: TokenRows, piece: Tensor) -> Tensor:
        if self.pooling == "first" and self._packs:
            return packed.first_states(self.network, rows, piece, self._takes_segments).float()
        return pooled(*self.states(rows, piece), self.pooling)

    def fused(self, dtype: torch.dtype) -> Retriever | None:
        return fused(self, self.network, dtype, self.batch_tokens if isinstance(self.batch_tokens, int) else None)

    def save(self, folder: str | os.PathLike, settings: Settings | None = None) -> None:
        """Save as a folder that transformers and sentence-transformers open, with the same vectors, and ``ltr.json``.

        Written beside and renamed: an interruption leaves what was there.
        """
        known = settings if isinstance(settings, TwinSettings) else self.usual_settings()
        self.check_length(max(known.max_length, known.max_query_length))
        with building(Path(folder)) as beside:
            self.write_encoder(beside, known.max_length)
            if self.log_scale is not None and self.shift is not None:
                kept = {"log_scale": self.log_scale.detach(), "shift": self.shift.detach()}
                save_file({name: value.cpu().contiguous() for name, value in kept.items()}, beside / SCALE)
            self._write_layout(beside, known.max_length)
            replace(known, scorer="BiEncoder", arguments={}).write(beside)

    def _write_layout(self, folder: Path, max_length: int) -> None:
        theirs = layout.POOLINGS[self.pooling]
        flags = {flag: name == theirs for name, flag in layout.FLAGS.items()}
        home = "sentence_transformers.models"
        modules: dict[str, tuple[str, dict[str, Any]]] = {
            f"{home}.Transformer": ("", {}),
            f"{home}.Pooling": (
                "1_Pooling",
                {"word_embedding_dimension": self.config.hidden_size, **flags, "include_prompt": True},
            ),
        }
        if self.similarity == "cos":
            modules[f"{home}.Normalize"] = ("2_Normalize", {})
        names = {ours: theirs for theirs, ours in layout.SIMILARITIES.items()}
        more = {layout.TRUNCATED: self.truncated}
        layout.write_layout(folder, modules, self.prompts, names[self.similarity], max_length, more=more)

    def take_weights(self, folder: str | os.PathLike, device: torch.device | str = "cpu") -> None:
        super().take_weights(folder, device)
        scale, shift = _scale_in(layout.found(os.fspath(folder), SCALE, None))
        if scale is not None and self.log_scale is not None and self.shift is not None:
            self.log_scale.data.copy_(scale)
            self.shift.data.copy_(shift)

    def _said(self, pooling: Pooling | None, similarity: Similarity | None) -> tuple[Pooling, Similarity]:
        """Pooling and similarity as they were given, else as the model says."""
        if self.layout is None:
            return pooling or "mean", similarity or "cos"
        said, normalised = layout.pooling_of(self.layout, self.revision, "BiEncoder")
        found = similarity or self.layout.similarity or "cos"
        # vectors of length 1 stand in one order by cosine, product and Euclidean distance
        if normalised and similarity is None and found in ("dot", "euclidean"):
            found = "cos"
        if found not in SIMILARITIES:
            raise ConfigError(
                f"BiEncoder: {self.layout.source} compares its vectors by {found} (similarity_fn_name), which would put documents "
                f"in another order than {' or '.join(SIMILARITIES)}; say similarity if one of these is meant"
            )
        return pooling or said, found  # type: ignore[return-value]

    def _start(self, scaled: bool | list[float]) -> tuple[float, float]:
        """Where the trained scale and shift begin, unless the model brings its own."""
        if isinstance(scaled, bool):
            return USUAL_SCALE if self.similarity == "cos" else 1.0, 0.0
        if len(scaled) != 2 or not all(map(math.isfinite, scaled)) or scaled[0] <= 0:
            raise ConfigError(
                f"BiEncoder: scaled is true, false, or the scale and the shift to start at, two finite numbers of which the "
                f"first is above 0, got {scaled}"
            )
        return float(scaled[0]), float(scaled[1])

    def _truncated(self, said: layout.Layout) -> int | None:
        """How many numbers of a vector the model uses (``truncate_dim``); None for all."""
        if said.truncated is None or said.truncated >= self.dim:
            return None
        if said.truncated < 1:
            raise ConfigError(f"BiEncoder: {said.source} has a truncate_dim of {said.truncated}; it must be at least 1")
        if said.similarity == "dot" and self.similarity == "cos":
            raise ConfigError(
                f"BiEncoder: {said.source} cuts vectors of length 1 to {said.truncated} numbers (truncate_dim) and multiplies "
                "what is left, which ltr brings to length 1 again; let its similarity_fn_name be cosine"
            )
        return said.truncated


def _scale_in(path: Path | None) -> tuple[Any, Any]:
    """(logarithm of the trained scale, trained shift); None where there is none."""
    if path is None:
        return None, None
    kept = load_file(path)
    return kept["log_scale"], kept["shift"]
