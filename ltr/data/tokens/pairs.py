"""Texts as integers, and the encoding of query and document as one sequence."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ltr.data.lists.ragged import Ragged
from ltr.data.readable import readable
from ltr.errors import ConfigError, ShapeError
from ltr.io.caching.keys import key_of
from ltr.io.model_names import tokenizer_source
from ltr.io.offsets import offsets_of, spans

log = logging.getLogger(__name__)

#: texts handed to the tokenizer's threads at a time
CHUNK = 4096
#: characters tokenised at a time: the tokenizer's own lists take up to 50 bytes a character
SLICE = 2**22
#: a text is cut to this many characters per wanted token before tokenising (and retried whole when that was too few)
CHARACTERS_PER_TOKEN = 12


@dataclass(frozen=True)
class PairTemplate:
    """What a tokenizer puts around a query and a document, and which segment each part belongs to.

    Found by encoding a probe pair, so that it fits any fast tokenizer: ``[CLS] q [SEP] d [SEP]`` with segments 0 and 1
    (BERT, ELECTRA, DeBERTa), ``<s> q </s></s> d </s>`` without segments (RoBERTa), and others.

    Attributes:
        before, between, after: special token ids before the query, between it and the document, after the document.
        before_segments, between_segments, after_segments: their segment ids.
        query_segment, document_segment: segment ids of the texts themselves.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    before_segments: tuple[int, ...]
    between_segments: tuple[int, ...]
    after_segments: tuple[int, ...]
    query_segment: int
    document_segment: int

    @property
    def overhead(self) -> int:
        """Special tokens of a pair."""
        return len(self.before) + len(self.between) + len(self.after)

    @classmethod
    def of(cls, tokenizer: Any) -> PairTemplate:
        """The template of a fast tokenizer, which stays as it is, since others may use it meanwhile.

        A tokenizer that puts nothing between query and document is taken with a warning, unless it is one of a language
        model, with an end mark and no separator. Then the document is marked 1 whatever the tokenizer says of segments.

        Raises:
            ConfigError: it is not fast, or orders pairs otherwise.
        """
        backend = _rust(tokenizer)
        if backend.truncation or backend.padding:
            backend = backend_of(tokenizer)
        first, second = "what is", "an apple pie"
        encoded = backend.encode(first, second)
        ids, owners = encoded.ids, encoded.sequence_ids
        segments = encoded.type_ids if "token_type_ids" in tokenizer.model_input_names else [0] * len(ids)
        parts: list[list[int]] = [[] for _ in range(5)]  # places: before, query, between, document, after
        part = 0
        for place, owner in enumerate(owners):
            part = {0: 1, 1: 3}[owner] if owner is not None else (0, 2, 2, 4, 4)[part]
            parts[part].append(place)
        alone = [backend.encode(text, add_special_tokens=False).ids for text in (first, second)]
        sides = [[ids[place] for place in parts[1]], [ids[place] for place in parts[3]]]
        if sorted(chain(*parts)) != list(chain(*parts)) or sides != alone or not all(alone):
            raise ConfigError(
                f"PairTemplate: the tokenizer must encode a pair as query, then document, each as it is encoded alone; "
                f"got {tokenizer.convert_ids_to_tokens(ids)}; use the tokenizer of a cross-encoder"
            )
        # language models are asked about both in a prompt, which their scorer puts around what it finds marked here
        generates = tokenizer.eos_token is not None and tokenizer.sep_token is None
        if not parts[2] and not generates:
            log.warning(
                "the tokenizer puts nothing between query and document (%s), so that no model can tell where the document "
                "begins; give its tokenizer.json a post-processor for pairs, with a separator between the two",
                " ".join(tokenizer.convert_ids_to_tokens(ids)),
            )
        before, between, after = (tuple(ids[place] for place in parts[i]) for i in (0, 2, 4))
        marks = [tuple(segments[place] for place in parts[i]) for i in (0, 2, 4)]
        return cls(
            before=before,
            between=between,
            after=after,
            before_segments=marks[0],
            between_segments=marks[1],
            after_segments=marks[2],
            query_segment=segments[parts[1][0]],
            document_segment=1 if generates else segments[parts[3][0]],
        )


def backend_of(tokenizer: Any) -> Any:
    """A copy of the Rust tokenizer inside a transformers tokenizer, without padding and truncation.

    Raises:
        ConfigError: the tokenizer is not a fast one.
    """
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(_rust(tokenizer).to_str())
    copy.no_padding()
    copy.no_truncation()
    return copy


def _rust(tokenizer: Any) -> Any:
    """The Rust tokenizer inside a transformers tokenizer. Raises ConfigError where there is none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(
            f"tokens: a fast tokenizer (one with a tokenizer.json) is needed, got {type(tokenizer).__name__}; "
            "convert it with transformers or choose another model"
        )
    return backend


def load_tokenizer(name: str | os.PathLike) -> Any:
    """The fast tokenizer of a hub id, of a model folder, or of ``package:NAME/PATH``.

    Raises:
        ConfigError: there is none of that name, or it is not a fast one.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_source(os.fspath(name)), trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"tokenizer: cannot load {os.fspath(name)!r} (a hub id or a model folder): {reason}"
        ) from None
    _rust(tokenizer)
    return tokenizer


def tokenizer_identity(tokenizer: Any) -> str:
    """16 hexadecimal digits that tell tokenizers apart by content, whatever their name."""
    return _identity(_rust(tokenizer).to_str())


@lru_cache(8)
def _identity(content: str) -> str:
    """Of a tokenizer's JSON, once: a start asks eight times, and reading the JSON takes 40 ms."""
    from tokenizers import Tokenizer

    plain = Tokenizer.from_str(content)
    plain.no_padding()
    plain.no_truncation()
    return key_of(plain.to_str())


def tokenize(
    tokenizer: Any, texts: Sequence[str], max_tokens: int | None = None, progress: str | None = None
) -> Ragged:
    """Token ids of texts, without special tokens, computed by the tokenizer's own threads.

    Args:
        tokenizer: a fast transformers tokenizer.
        texts: what to tokenise.
        max_tokens: keep the first so many tokens of each text; None keeps all.
        progress: label of a progress bar; None shows none.
    """
    from tqdm import tqdm

    backend = backend_of(tokenizer)
    parts = []
    with tqdm(total=len(texts), desc=progress, unit=" texts", disable=progress is None) as bar:
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            parts.append(tokens_of(backend, chunk, max_tokens))
            bar.update(len(chunk))
    return Ragged.join(parts)


def tokens_of(backend: Any, texts: Sequence[str], max_tokens: int | None, dtype: Any = np.int32) -> Ragged:
    """Token ids of texts from what ``backend_of`` returned; long texts a few at a time, so that memory stays bounded.

    See ``tokenize``.
    """
    parts, start, size = [], 0, 0
    for stop, text in enumerate(texts, 1):
        size += len(text) if max_tokens is None else min(len(text), max_tokens * CHARACTERS_PER_TOKEN)
        if size >= SLICE or stop == len(texts):
            parts.append(Ragged.of(token_ids(backend, texts[start:stop], max_tokens), dtype))
            start, size = stop, 0
    return Ragged.join(parts)


def token_ids(backend: Any, texts: Sequence[str], max_tokens: int | None) -> list[list[int]]:
    """Token ids of texts, all tokenised at once; see ``tokens_of``."""
    if max_tokens is None:
        return _encoded(backend, texts)
    # far longer texts than needed are common (whole web pages): tokenise only their beginning, cut between words
    cut = [_beginning(text, max_tokens * CHARACTERS_PER_TOKEN) for text in texts]
    ids = _encoded(backend, cut)
    short = [i for i, text in enumerate(texts) if len(cut[i]) < len(text) and len(ids[i]) <= max_tokens]
    if short:
        for i, whole in zip(short, _encoded(backend, [texts[i] for i in short]), strict=True):
            ids[i] = whole
    return [sequence[:max_tokens] for sequence in ids]


def _encoded(backend: Any, texts: Sequence[str]) -> list[list[int]]:
    try:
        return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]
    except TypeError:  # so the tokenizer refuses half a surrogate pair, which cutting text in UTF-16 leaves
        mended = [readable(text) if isinstance(text, str) else text for text in texts]
    return [encoding.ids for encoding in backend.encode_batch_fast(mended, add_special_tokens=False)]


def _beginning(text: str, characters: int) -> str:
    if len(text) <= characters:
        return text
    end = text.rfind(" ", 0, characters)
    return text[:end] if end > 0 else text


class Encoded(NamedTuple):
    """Documents encoded with their queries, one after the other, without padding.

    Attributes:
        input_ids: [tokens] int64.
        segment_ids: [tokens] int64.
        doc_offsets: [documents + 1] int64.
        truncated: number of documents that lost tokens.
    """

    input_ids: np.ndarray
    segment_ids: np.ndarray
    doc_offsets: np.ndarray
    truncated: int


def check_lengths(template: PairTemplate, max_length: int, max_query_length: int) -> None:
    """Raise ConfigError unless a query of ``max_query_length`` leaves room for a document."""
    room = max_length - template.overhead
    if not 1 <= max_query_length < room:
        raise ConfigError(
            f"max_query_length must be at least 1 and leave room for the document: below {room} = max_length "
            f"{max_length} - {template.overhead} special tokens, got {max_query_length}"
        )


def encoded_lengths(
    template: PairTemplate, query_lengths: np.ndarray, doc_lengths: np.ndarray, max_query_length: int
) -> np.ndarray:
    """Tokens of each encoded pair if nothing of its document were cut."""
    return np.minimum(query_lengths, max_query_length) + doc_lengths + template.overhead


def encode(
    template: PairTemplate,
    queries: Ragged,
    docs: Ragged,
    max_length: int,
    max_query_length: int = 64,
    query_of: np.ndarray | None = None,
) -> Encoded:
    """Encode each document together with its query; too long pairs lose the end of the document, not of the query.

    Equals ``tokenizer(query, document, truncation="only_second", max_length=max_length)`` for queries of up to
    ``max_query_length`` tokens.

    Args:
        template: what stands around the two.
        queries: token ids of the queries, without special tokens.
        docs: token ids of the documents, likewise.
        max_length: most tokens of an encoded pair, special tokens included.
        max_query_length: most tokens of a query; longer queries lose their end.
        query_of: [documents] which query each document belongs to; None when queries and documents are pairs.

    Raises:
        ConfigError: the lengths leave no room for a document.
        ShapeError: the numbers of queries and documents do not fit.
    """
    check_lengths(template, max_length, max_query_length)
    if query_of is None:
        query_of = np.arange(queries.n)
    if len(query_of) != docs.n:
        raise ShapeError(f"encode: each of the {docs.n} documents needs a query, got {len(query_of)}")
    query_lengths = np.minimum(queries.lengths, max_query_length)[query_of]
    doc_lengths = np.minimum(docs.lengths, max_length - template.overhead - query_lengths)
    doc_offsets = offsets_of(query_lengths + doc_lengths + template.overhead)
    ids = np.empty(int(doc_offsets[-1]), np.int64)
    segments = np.empty_like(ids)

    def put(starts: np.ndarray, special: tuple[int, ...], marks: tuple[int, ...]) -> np.ndarray:
        places = starts[:, None] + np.arange(len(special))
        ids[places] = np.array(special, np.int64)
        segments[places] = np.array(marks, np.int64)
        return starts + len(special)

    def put_texts(starts: np.ndarray, texts: Ragged, rows: Any, lengths: np.ndarray, mark: int) -> np.ndarray:
        places = spans(starts, lengths)
        ids[places] = texts.values[spans(texts.offsets[:-1][rows], lengths)]
        segments[places] = mark
        return starts + lengths

    at = put(doc_offsets[:-1], template.before, template.before_segments)
    at = put_texts(at, queries, query_of, query_lengths, template.query_segment)
    at = put(at, template.between, template.between_segments)
    at = put_texts(at, docs, slice(None), doc_lengths, template.document_segment)
    put(at, template.after, template.after_segments)
    return Encoded(ids, segments, doc_offsets, int((doc_lengths < docs.lengths).sum()))
