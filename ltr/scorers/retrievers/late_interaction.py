"""Late interaction: a vector for each token, and for each token of the query the best of the document's."""

from __future__ import annotations

import logging
import math
import os
import string
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from ltr.batch import TokenRows
from ltr.errors import ConfigError, DataError
from ltr.io.files import building
from ltr.scorers import layout
from ltr.scorers.base import WEIGHTS
from ltr.scorers.filing import Filing
from ltr.scorers.retrievers.encoder import EncodingRetriever
from ltr.settings import Settings, TwinSettings

log = logging.getLogger(__name__)

#: similarities of tokens computed at once
AT_ONCE = 2**22
#: folder of the projection in a saved model
DENSE = "1_Dense"
MASK = "MultiVectorMask"
#: modules of a bi-encoder, whose encoder is one to start from
BACKBONE = {"Transformer", "Pooling", "Normalize"}
#: modules that a model may have
KINDS = ("Transformer", "Dense", MASK, "Normalize")
#: the architecture of models that the first implementation saved
STANFORD = "HF_ColBERT"
#: how sentence-transformers fills short queries; longer ones are cut by the first, and stay as they are by the second
FILLING = ("fixed", "min")


class LateInteraction(EncodingRetriever):
    """Scores a document by ``Σ over the query's tokens of max over the document's tokens of their cosine`` (MaxSim).

    Tokens are projected to ``dim`` numbers and brought to length 1. Punctuation in documents is left out of the maximum.

    Args:
        model: folder, hub id or ``package:NAME/PATH``, of transformers or of sentence-transformers (a MultiVectorEncoder, or
            a bi-encoder to start from); safetensors only, no code from the hub is run.
        dim: numbers of a token's vector; None as the model says, 128 for one that says nothing, whose projection is then
            drawn from torch's global generator.
        query_length: queries are filled up to so many tokens with mask tokens, whose vectors count as the query's own
            (*query augmentation*); 0 fills nothing; None as the model says, else 32.
        skip_punctuation: whether punctuation in documents is left out; None as the model says, else yes.
        query_prompt, doc_prompt, attention_dropout, dropout, layers, freeze_layers, checkpointing, batch_tokens, batch_docs, revision: as of
            ``BiEncoder``.

    Raises:
        ConfigError: a model that cannot be opened safely, or a setting outside its range.

    Source: Khattab and Zaharia, "ColBERT", SIGIR 2020.
    """

    filing = Filing(
        "Late-interaction encoder", "sentence-similarity", "sentence-transformers", ("late-interaction", "colbert")
    )

    def __init__(
        self,
        model: str,
        dim: int | None = None,
        query_length: int | None = None,
        skip_punctuation: bool | None = None,
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
        from transformers import AutoModel

        super().__init__(
            model, AutoModel, query_prompt, doc_prompt, attention_dropout, dropout, layers, freeze_layers,
            checkpointing, batch_tokens, batch_docs, revision,
        )  # fmt: skip
        if self.layout is None and STANFORD in (self.config.architectures or ()):
            raise ConfigError(
                f"LateInteraction: {self.source} was saved by Stanford's ColBERT, whose projection and marks of queries and documents "
                "ltr does not read: the projection would be random; let sentence-transformers' MultiVectorEncoder open the "
                "folder and save it, and take that"
            )
        said, skips = self._said(query_length)
        self.query_length = said if query_length is None else query_length
        self.skip_punctuation = skips if skip_punctuation is None else skip_punctuation
        weight = self._kept_projection()
        if weight is not None and dim not in (None, len(weight)):
            raise ConfigError(f"LateInteraction: {self.source} has vectors of {len(weight)} numbers, got dim {dim}")
        width = len(weight) if weight is not None else 128 if dim is None else dim
        if width < 1 or self.query_length < 0:
            raise ConfigError(
                f"LateInteraction: dim must be at least 1 and query_length at least 0, got {width} and {self.query_length}"
            )
        self.projection = nn.Linear(self.config.hidden_size, width, bias=False)
        if weight is not None:
            self.projection.weight.data.copy_(weight)

    @property
    def dim(self) -> int:
        """Numbers of a token's vector."""
        return self.projection.out_features

    @property
    def similarity(self) -> str:
        """How queries and documents are compared."""
        return "maxsim"

    def fit_to(self, settings: Settings) -> None:
        super().fit_to(settings)
        if isinstance(settings, TwinSettings) and settings.max_query_length < self.query_length:
            log.warning(
                "LateInteraction: queries are cut at max_query_length %d and filled up to query_length %d: sentence-transformers, whose "
                "folders cannot say so, would read them up to the latter; let max_query_length be %d or more, or query_length less",
                *(settings.max_query_length, self.query_length, self.query_length),
            )

    @cached_property
    def _skipped(self) -> Tensor:
        """Token ids of punctuation."""
        ids = self.tokenizer.convert_tokens_to_ids(list(string.punctuation))
        known = [one for one in ids if one is not None and one != self.tokenizer.unk_token_id]
        return torch.tensor(known if self.skip_punctuation else [], dtype=torch.int64)

    def encode_queries(self, rows: TokenRows, tokens: int | None = None) -> Tensor:
        """[rows, longest, dim] float32 vectors of length 1, and 0 behind the last token of a query.

        Args:
            rows: queries, as ``reader`` makes them.
            tokens: most tokens computed at once this time; None for the scorer's own.
        """
        return self._vectors(self._filled(rows), tokens, lambda ids: torch.ones_like(ids, dtype=torch.bool))

    def encode_docs(self, rows: TokenRows, tokens: int | None = None) -> Tensor:
        """[rows, longest, dim] likewise, without what is skipped."""
        skipped = self._skipped.to(rows.ids.device)
        return self._vectors(rows, tokens, lambda ids: ~torch.isin(ids, skipped))

    def scores_of(self, queries: Any, docs: Any, owners: Tensor, rows: Tensor) -> Tensor:
        run = partial(checkpoint, maxsim, use_reentrant=False) if torch.is_grad_enabled() else maxsim
        step = max(1, AT_ONCE // max(1, queries.shape[1] * docs.shape[1]))
        pieces = zip(owners.split(step), rows.split(step), strict=True)
        with torch.autocast(queries.device.type, enabled=False):
            found = [run(queries[mine], docs[theirs]) for mine, theirs in pieces]
        return torch.cat([*found, queries.new_zeros(0)])

    def _vectors(self, rows: TokenRows, tokens: int | None, kept: Callable[[Tensor], Tensor]) -> Tensor:
        if not len(rows):
            return self.projection.weight.new_zeros(0, 1, self.dim)
        self.check_length(int(rows.lengths.max()))
        there = rows.lengths > 0
        if not bool(there.all()):  # a tokenizer without marks of its own leaves nothing of an empty text
            own = self._vectors(rows.without_empty(), tokens, kept)
            every = own.new_zeros(len(rows), *own.shape[1:])
            every[there] = own
            return every

        def computed() -> Tensor:
            pieces = self.in_pieces(partial(self._projected, rows), rows, tokens)
            order = torch.cat([piece for piece, _ in pieces])
            flat = torch.cat([values for _, values in pieces]).split(rows.lengths[order].tolist())
            starts, ends = rows.offsets[:-1][order].tolist(), rows.offsets[1:][order].tolist()
            masks = [kept(rows.ids[start:end]) for start, end in zip(starts, ends, strict=True)]
            own = [values[mask] for values, mask in zip(flat, masks, strict=True)]
            return pad_sequence(own, batch_first=True)[order.argsort()]

        return self.sparing(computed)

    def _projected(self, rows: TokenRows, piece: Tensor) -> Tensor:
        states, _ = self.states(rows, piece)
        with torch.autocast(states.device.type, enabled=False):
            return normalize(self.projection(states.to(self.projection.weight.dtype)).float(), dim=-1)

    def _filled(self, rows: TokenRows) -> TokenRows:
        """Queries with mask tokens behind them."""
        missing = (self.query_length - rows.lengths).clamp(min=0)
        if not bool(missing.any()):
            return rows
        mask_id = self.tokenizer.mask_token_id
        if mask_id is None:
            raise ConfigError(
                f"LateInteraction: the tokenizer of {self.source} has no mask token to fill queries with; set query_length 0"
            )
        offsets = torch.cat([rows.offsets[:1], (rows.lengths + missing).cumsum(0)])
        ids = rows.ids.new_full((int(offsets[-1]),), mask_id)
        starts = (offsets[:-1] - rows.offsets[:-1]).repeat_interleave(rows.lengths)
        ids[starts + torch.arange(len(rows.ids), device=ids.device)] = rows.ids
        return TokenRows(ids, torch.zeros_like(ids), offsets)

    # ------------------------------------------------------------------ saving and opening

    def save(self, folder: str | os.PathLike, settings: Settings | None = None) -> None:
        """Save as a folder that sentence-transformers' MultiVectorEncoder opens, with the same vectors, and ``ltr.json``."""
        known = settings if isinstance(settings, TwinSettings) else self.usual_settings()
        self.check_length(max(known.max_length, known.max_query_length))
        names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
        dense = {
            "in_features": self.projection.in_features, "out_features": self.dim, "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity", **names,
        }  # fmt: skip
        words = list(string.punctuation) if self.skip_punctuation else []
        # fixed cuts longer queries at its length, min leaves them as long as query_length says
        strategy = "fixed" if known.max_query_length <= self.query_length else "min"
        filled = {"strategy": strategy, "attend": True, "length": self.query_length} if self.query_length else None
        lengths = {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings", "query_expansion": filled,
            "query_length": max(known.max_query_length, self.query_length), "document_length": known.max_length,
        }  # fmt: skip
        home = "sentence_transformers.base.modules"
        modules: dict[str, tuple[str, dict[str, Any]]] = {
            f"{home}.transformer.Transformer": ("", lengths),
            f"{home}.dense.Dense": (DENSE, dense),
            "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask": (
                f"2_{MASK}", {"skiplist_words": words, "skiplist_tasks": ["document"], "keep_only_token_ids": None},
            ),
            f"{home}.normalize.Normalize": ("3_Normalize", names),
        }  # fmt: skip
        with building(Path(folder)) as beside:
            self.write_encoder(beside, known.max_length)
            layout.write_layout(beside, modules, self.prompts, "maxsim", known.max_length, "MultiVectorEncoder")
            save_file({"linear.weight": self.projection.weight.detach().cpu().contiguous()}, beside / DENSE / WEIGHTS)
            replace(known, scorer="LateInteraction", arguments={}).write(beside)

    def _said(self, asked: int | None) -> tuple[int, bool]:
        """(tokens that queries are filled up to, whether punctuation is skipped) as the model says; ``asked`` is what the user
        says of the first."""
        if self.layout is None or set(self.layout.kinds) <= BACKBONE:
            return 32, True
        self._check_modules(self.layout)
        filled = self.layout.lengths.get("query_expansion") or {}
        if filled and asked != 0:
            token, mask_token = filled.get("token"), self.tokenizer.mask_token
            if filled.get("strategy") not in FILLING or not filled.get("attend") or token not in (None, mask_token):
                raise ConfigError(
                    f"LateInteraction: {self.source} fills queries by {filled}; ltr fills them to a fixed length with {mask_token} "
                    "and lets all tokens see the mask tokens (attend); set query_length 0, or take another model"
                )
        if filled.get("strategy") == "fixed":
            self.usual_query_length = int(filled["length"])
        mask = self.layout.config(MASK, self.revision) if MASK in self.layout.kinds else {}
        words = set(mask.get("skiplist_words") or ())
        if mask.get("skiplist_tasks", ["document"]) not in ("document", ["document"]) or mask.get(
            "keep_only_token_ids"
        ):
            raise ConfigError(
                f"LateInteraction: {self.layout.root} leaves tokens out by {mask}; ltr leaves words out in documents alone, and "
                "keeps no others"
            )
        if words not in (set(), set(string.punctuation)):
            raise ConfigError(
                f"LateInteraction: {self.source} skips {len(words)} words in documents; ltr skips all punctuation, or nothing"
            )
        return int(filled.get("length", 0)), bool(words)

    def _check_modules(self, said: layout.Layout) -> None:
        """Raise ConfigError for a model that does something else to its states than this class."""
        order = [kind for kind in said.kinds if kind in ("Dense", "Normalize")]
        wrong = [kind for kind in said.kinds if kind not in KINDS]
        if wrong or order != ["Dense", "Normalize"]:
            what = f"a module {wrong[0]}" if wrong else f"the modules {', '.join(said.kinds)}"
            raise ConfigError(
                f"LateInteraction: {said.root} has {what}; a model of token vectors is Transformer, Dense, {MASK}, Normalize"
            )
        dense = said.config("Dense", self.revision)
        function = str(dense.get("activation_function", "torch.nn.modules.activation.Tanh"))
        if dense.get("use_residual") or dense.get("bias", True) or function.rpartition(".")[2] != "Identity":
            raise ConfigError(
                f"LateInteraction: {said.root} projects its states by {dense}; ltr projects them without a bias, an activation "
                "function or what comes in (activation_function Identity, bias and use_residual false)"
            )

    def take_weights(self, folder: str | os.PathLike, device: torch.device | str = "cpu") -> None:
        super().take_weights(folder, device)
        path = Path(folder) / DENSE / WEIGHTS
        if path.is_file():
            self.projection.weight.data.copy_(_projection_in(path))

    def _kept_projection(self) -> Tensor | None:
        """The projection of the model; None for a backbone, which has none."""
        if self.layout is None or "Dense" not in self.layout.kinds:
            return None
        path = self.layout.file("Dense", WEIGHTS, self.revision)
        if path is None:
            raise DataError(
                f"{self.layout.root}: there is no {self.layout.folders['Dense']}/{WEIGHTS}, the projection of its token vectors, "
                "without which they would be random; save the model anew with sentence-transformers"
            )
        return _projection_in(path)


def _projection_in(path: Path) -> Tensor:
    kept = load_file(path)
    if list(kept) != ["linear.weight"]:
        raise DataError(f"{path}: a projection has linear.weight alone, got {', '.join(kept)}")
    return kept["linear.weight"]


def maxsim(queries: Tensor, docs: Tensor) -> Tensor:
    """[pairs] the sum over a query's tokens of their best cosine with a document's.

    Shape:
        queries [pairs, query tokens, dim], docs [pairs, document tokens, dim], 0 where there is no token.

    >>> maxsim(torch.eye(2)[None], torch.tensor([[[-1.0, 0.0], [0.0, 0.0]]]))  # -1 + 0, not 0 + 0
    tensor([-1.])
    """
    there = docs.detach().abs().sum(-1) > 0
    found = torch.bmm(queries, docs.transpose(1, 2)).masked_fill(~there[:, None], -math.inf).amax(-1)
    return torch.where(there.any(-1, keepdim=True), found, 0).sum(-1)
