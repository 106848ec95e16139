"""Texts of a collection to vectors on disk, in blocks that survive an interruption."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from scipy.sparse import csr_array, vstack
from tqdm import tqdm

from ltr.batch import TokenRows
from ltr.data.collections.collection import Collection
from ltr.data.readable import readable
from ltr.data.tokens.pairs import tokenizer_identity
from ltr.errors import ConfigError, DataError
from ltr.inference.scoring import prepared
from ltr.io.runs import as_bytes
from ltr.scorers.base import Scorer
from ltr.scorers.opening import load_retriever, load_scorer
from ltr.scorers.retrievers.sparse import Sparse
from ltr.scorers.retrievers.vectors import VectorScorer
from ltr.search.index import SPARSE, Facts, begin
from ltr.search.kinds import part_of
from ltr.settings import FILE, TwinSettings

#: texts that are encoded together and then written; part of the vectors' last digits
BLOCK = 4096
#: texts whose weights are held for all words at a time, before what is 0 is left out
DENSE = 256

#: [texts, width]
Vectors: TypeAlias = np.ndarray | csr_array
What = Literal["docs", "queries"]

log = logging.getLogger(__name__)


class TextEncoding:
    """A bi-encoder, or a sparse encoder, made ready to encode texts.

    Args:
        scorer: the model.
        settings: lengths; as the model says by default.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` …
        precision: ``32``, ``bf16``, or ``auto``: bf16 where the hardware multiplies it.
        width: use the first so many numbers of a vector, for models that were trained so; None for all.

    Raises:
        ConfigError: a scorer that makes no vectors, or a width that it has not.
    """

    def __init__(
        self,
        scorer: Scorer,
        settings: TwinSettings | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        width: int | None = None,
    ):
        if not isinstance(scorer, VectorScorer):
            raise ConfigError(
                f"encode: a bi-encoder is needed, whose texts are vectors, got {type(scorer).__name__}; train one with "
                f"ltr fit --model.scorer=BiEncoder (or Sparse), or let ltr rerank use the {type(scorer).__name__}"
            )
        self.dim = scorer.dim
        self.similarity: str = SPARSE if isinstance(scorer, Sparse) else scorer.similarity
        if width is not None and self.similarity == SPARSE:
            raise ConfigError(
                "encode: width keeps the first numbers of a bi-encoder's vectors; those of Sparse stand for words, and what "
                "is 0 is not kept anyway: leave width out"
            )
        if width is not None and not 1 <= width <= self.dim:
            raise ConfigError(f"encode: width must be from 1 to {self.dim}, all of a vector, got {width}")
        self.width = width or self.dim
        self.settings = settings or scorer.usual_settings()
        scorer.check_length(max(self.settings.max_length, self.settings.max_query_length))
        self.signature = signature_of(scorer, self.settings)
        self.reader = scorer.reader(self.settings)
        ready = prepared(scorer, device, precision).eval()
        assert isinstance(ready, VectorScorer)
        self.scorer, self.device, self.precision = ready, next(ready.parameters()).device, ready.computes_in

    @classmethod
    def load(
        cls,
        model: str | os.PathLike,
        device: str | torch.device = "auto",
        precision: str = "auto",
        width: int | None = None,
        max_length: int | None = None,
        allow: Iterable[str] = (),
    ) -> TextEncoding:
        """Open a folder of ltr or of sentence-transformers, a hub id, or ``package:NAME/PATH``."""
        name = os.fspath(model)
        known = Path(name, FILE).is_file()
        scorer = load_scorer(name, allow) if known else load_retriever(name)
        if not isinstance(scorer, VectorScorer):
            return cls(scorer)  # which says what is wrong
        found = TwinSettings.find(name) if known else None
        settings = found if isinstance(found, TwinSettings) else scorer.usual_settings()
        if max_length is not None:
            settings = TwinSettings(max_length, min(settings.max_query_length, max_length))
        return cls(scorer, settings, device, precision, width)

    def queries(self, texts: Iterable[str], names: Iterable[str] | None = None) -> Vectors:
        """[texts, width] float32 vectors of queries."""
        return self._encoded(list(texts), "queries", names)

    def docs(self, texts: Iterable[str], names: Iterable[str] | None = None) -> Vectors:
        """[texts, width] float32 vectors of documents."""
        return self._encoded(list(texts), "docs", names)

    def _encoded(self, texts: list[str], what: What, names: Iterable[str] | None) -> Vectors:
        texts = list(map(readable, texts))
        known = list(names) if names is not None else [str(i) for i in range(len(texts))]
        if self.similarity != SPARSE:
            return self._checked(self._computed(texts, what)[:, : self.width], what, known)
        parts = [csr_array(self._computed(texts[at : at + DENSE], what)) for at in range(0, len(texts), DENSE)]
        vectors = vstack(parts or [csr_array((0, self.width), dtype=np.float32)], format="csr")
        self._look(np.sqrt(vectors.multiply(vectors).sum(axis=1)), what, known)
        return vectors

    def _computed(self, texts: list[str], what: What) -> np.ndarray:
        """[texts, dim] as the model gives them."""
        rows: TokenRows = (self.reader.queries if what == "queries" else self.reader.docs)(texts)
        rows = rows.map(lambda tensor: tensor.to(self.device))
        with torch.inference_mode():
            encode = self.scorer.encode_queries if what == "queries" else self.scorer.encode_docs
            return encode(rows).float().cpu().numpy()

    def _checked(self, vectors: np.ndarray, what: What, names: list[str]) -> np.ndarray:
        """Vectors of length 1 where that is the similarity; what cannot be searched is told."""
        lengths = np.linalg.norm(vectors, axis=1)
        self._look(lengths, what, names)
        if self.similarity == "cos" and self.width < self.dim:
            vectors = vectors / np.where(lengths > 0, lengths, 1)[:, None]
        return vectors

    def _look(self, lengths: np.ndarray, what: What, names: list[str]) -> None:
        """Refuse vectors that are not finite, and tell of those that find nothing, by their lengths."""
        one = {"docs": "document", "queries": "query"}[what]
        wrong = np.flatnonzero(~np.isfinite(lengths))
        if len(wrong):
            raise DataError(
                f"encode: the vector of {one} {names[wrong[0]]} is not finite ({len(wrong)} such in this block); the model "
                f"overflows in {self.precision}: try --precision 32, or train it anew"
            )
        zero = np.flatnonzero(lengths == 0)
        meaning = {
            "cos": "its cosine with anything counts as 0",
            SPARSE: "no word weighs anything, so it is never found",
        }
        if len(zero) and self.similarity in meaning:
            log.warning(
                "encode: the vector of %s %s is zero (%d such in this block): %s",
                *(one, names[zero[0]], len(zero), meaning[self.similarity]),
            )


def encode(
    encoding: TextEncoding,
    collection: Collection,
    folder: str | os.PathLike,
    shard: tuple[int, int] = (1, 1),
    dtype: str = "float32",
    what: What = "docs",
    progress: bool = False,
) -> int:
    """Encode a collection's documents (or queries) into an index; called again after an interruption, it goes on.

    Args:
        encoding: the model.
        collection: where texts are.
        folder: of the index.
        shard: (which, of how many), from 1: several processes or machines may write one each into one folder.
        dtype: of the numbers on disk, float32 or float16; of sparse vectors, of their weights.
        what: ``docs`` or ``queries``.
        progress: show a progress bar.

    Returns:
        How many texts were encoded now; 0 where the shard was complete.

    Raises:
        ConfigError: a shard that cannot be.
        DataError: the folder holds an index of other weights, documents or settings; a vector that is not finite.
    """
    number, n = shard
    if not 1 <= number <= n:
        raise ConfigError(f"encode: a shard is i/n with i from 1 to n, got {number}/{n}")
    facts = facts_of(encoding, collection, dtype, n, what)
    begin(folder, facts, {"model": str(encoding.scorer.source), "dataset": collection.name, "what": what})
    first, last = facts.bounds(number - 1)
    with part_of(folder, facts, number - 1) as part:
        if part.complete:
            return 0
        at = part.done(BLOCK)
        if at:
            log.info("encode: going on with %s: %d of %d texts are done", part.path, at, part.rows)
        ids: list[np.ndarray] = []
        seen = count = 0
        with tqdm(desc=f"encoding {what}", total=last - first, initial=at, unit=" texts", disable=not progress) as bar:
            for block in _blocks(_texts(collection, what), first, last):
                names = [name for name, _ in block]
                ids.append(as_bytes(names))
                seen += len(block)
                if seen <= at:
                    continue
                make = encoding.docs if what == "docs" else encoding.queries
                part.append(make((text for _, text in block), names))
                count += len(block)
                bar.update(len(block))
        if seen != last - first:
            raise DataError(
                f"encode: {collection.name} gave {seen:,} of {last - first:,} texts of shard {number}/{n}; it changed "
                "meanwhile: encode into a new folder"
            )
        part.finish(ids)
    return count


def facts_of(
    encoding: TextEncoding, collection: Collection, dtype: str = "float32", shards: int = 1, what: What = "docs"
) -> Facts:
    """What the vectors of a collection by a model depend on."""
    return Facts(
        weights=encoding.signature,
        texts=collection.docs_signature if what == "docs" else f"queries-{collection.signature}",
        rows=collection.n_docs if what == "docs" else len(collection.queries),
        width=encoding.width,
        similarity=encoding.similarity,
        dtype=dtype,
        precision=encoding.precision,
        shards=shards,
    )


def signature_of(scorer: VectorScorer, settings: TwinSettings) -> str:
    """16 hexadecimal digits of what decides a vector: weights, architecture, tokenizer, prompts, pooling, lengths.

    Never of a name: a model that was trained on under the same name has others.
    """
    config: Mapping[str, object] = scorer.config.to_dict()
    told = {k: v for k, v in config.items() if not k.startswith("_") and k not in ("transformers_version", "dtype")}
    facts = [
        *(tokenizer_identity(scorer.tokenizer), scorer.pooling, scorer.similarity, list(scorer.prompts)),
        *(settings.max_length, settings.max_query_length, told),
        *([scorer.most_words] if isinstance(scorer, Sparse) and scorer.most_words is not None else []),
    ]
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=8)
    for name, value in sorted(scorer.state_dict().items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _texts(collection: Collection, what: What) -> Iterator[tuple[str, str]]:
    return collection.docs() if what == "docs" else iter(collection.queries.items())


def _blocks(texts: Iterator[tuple[str, str]], first: int, last: int) -> Iterator[list[tuple[str, str]]]:
    own = islice(texts, first, last)
    while block := list(islice(own, BLOCK)):
        yield block
