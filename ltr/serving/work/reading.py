"""From the texts of a request to rows of tokens, with a note of everything that is not read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltr.batch import TextLists
from ltr.data.lists.ragged import Ragged, offsets_of, spans
from ltr.data.preferences.reader import PromptReader
from ltr.data.tokens.pairs import encode
from ltr.data.tokens.passages import encode_passages
from ltr.data.tokens.reader import TextEncoder, Texts
from ltr.errors import ConfigError, DataError
from ltr.serving.problems import Problem
from ltr.serving.request import Request


@dataclass(frozen=True, eq=False)
class Encoded:
    """A request in tokens.

    Attributes:
        batch: its documents, in order; all of them in one list, since documents of different queries do not meet here.
        costs: [documents] tokens of each, query and special tokens included, over all of its passages.
        cut: [documents] bool, which of them are not read to their end.
        cut_queries: how many queries are not read to their end.
    """

    batch: TextLists
    costs: np.ndarray
    cut: np.ndarray
    cut_queries: int


class Reading:
    """Encodes requests as the model was trained, and notes what is cut; any number of threads may do so at once.

    Args:
        encoder: of the model.
    """

    def __init__(self, encoder: TextEncoder):
        self.encoder = encoder

    def __call__(self, request: Request) -> Encoded:
        """Raises Problem where no room is left for documents, or where they would be cut and must not be."""
        encoder, settings = self.encoder, self.encoder.settings
        queries = encoder.tokens(request.queries, settings.max_query_length + 1)
        cut_queries = int((queries.lengths > settings.max_query_length).sum())
        query_lengths = np.minimum(queries.lengths, settings.max_query_length)
        longest = max(1, int(query_lengths.max(initial=1)))
        length = self._length(request, longest)
        owners = np.repeat(np.arange(len(request.queries)), [len(own) for own in request.documents])
        rooms = length - encoder.template.overhead - query_lengths[owners]
        docs, cut = self._documents(request, rooms, length)
        if request.whole and cut.any():
            raise Problem(
                "invalid",
                f"document {int(np.flatnonzero(cut)[0])} is longer than the {length} tokens that the model reads of query and "
                f"document ({int(cut.sum())} such documents); shorten it, or allow truncation",
            )
        try:
            batch = self._batch(queries, docs, length, longest, owners)
        except ConfigError as error:  # a stride that does not fit into fewer tokens
            raise Problem("invalid", f"{error}", "truncate_prompt_tokens") from error
        return Encoded(batch, _costs(batch), cut, cut_queries)

    def _length(self, request: Request, longest: int) -> int:
        """Tokens of query and document together."""
        length = self.encoder.settings.max_length
        if request.max_length is not None:
            length = min(length, request.max_length)
        least = self.encoder.template.overhead + longest + 1
        if length < least:
            raise Problem(
                "invalid",
                f"truncate_prompt_tokens {request.max_length} leaves no room for a document beside the query; give at least "
                f"{least}",
                "truncate_prompt_tokens",
            )
        return length

    def _documents(self, request: Request, rooms: np.ndarray, length: int) -> tuple[Ragged, np.ndarray]:
        """(what is read of the documents, [documents] whether that is not all)."""
        whole_documents = self.encoder.settings.passages != "first"
        reach = self.encoder.cutting.reach(length) if whole_documents else length
        wanted = None if request.from_end else _least(reach, request.max_tokens and request.max_tokens + 1)
        docs = self.encoder.tokens([text for own in request.documents for text in own], wanted)
        read = self.encoder.cutting.read(docs.lengths, rooms) if whole_documents else np.minimum(docs.lengths, rooms)
        if request.max_tokens is not None:
            read = np.minimum(read, request.max_tokens)
        starts = docs.offsets[1:] - read if request.from_end else docs.offsets[:-1]
        return Ragged(docs.values[spans(starts, read)], offsets_of(read)), read < docs.lengths

    def _batch(self, queries: Ragged, docs: Ragged, length: int, longest: int, owners: np.ndarray) -> TextLists:
        template, settings = self.encoder.template, self.encoder.settings
        whole = np.array([0, docs.n])
        if settings.passages == "first":
            return TextLists.of(*encode(template, queries, docs, length, longest, owners)[:3], whole)
        encoded, passages = encode_passages(template, queries, docs, self.encoder.cutting, length, longest, owners)
        return TextLists.of(*encoded[:3], whole, passage_offsets=passages, pooling=settings.passages)


class PromptReading:
    """Encodes requests to a model that scores responses (documents) to prompts (queries), as it was trained.

    Prompts lose their beginning where the two do not fit, and responses are read whole.

    Args:
        reader: of the model.
    """

    def __init__(self, reader: PromptReader):
        self.reader = reader

    def __call__(self, request: Request) -> Encoded:
        """Raises Problem for responses that shall be cut, texts that cannot be read so, or room for none."""
        if request.max_tokens is not None or request.from_end:
            raise Problem(
                "invalid",
                "this model scores responses to prompts, and a response is read whole: of a part of it the score would mean "
                "nothing; leave the limit and the side of documents out",
            )
        length = _least(self.reader.settings.max_length, request.max_length)
        assert length is not None
        texts = [
            Texts(f"query {i}", query, [f"{i}.{j}" for j in range(len(own))], own)
            for i, (query, own) in enumerate(zip(request.queries, request.documents, strict=True))
        ]
        try:
            encoder = self.reader.encoder(texts, length)
        except (ConfigError, DataError) as error:
            raise Problem("invalid", f"{error}") from error
        cut = encoder.lengths[0] < encoder.responses.lengths
        if request.whole and cut.any():
            raise Problem(
                "invalid",
                f"document {int(np.flatnonzero(cut)[0])} is a response of more than the {length} tokens that the model reads "
                f"of prompt and response ({int(cut.sum())} such documents); shorten it, or allow truncation",
            )
        tokens = encoder[encoder.drawn()].tokens
        batch = TextLists.of(
            tokens.ids.numpy(), tokens.marks.numpy(), tokens.offsets.numpy(), np.array([0, len(tokens)])
        )
        return Encoded(batch, _costs(batch), cut, encoder.cut()["prompts"])


def _least(*numbers: int | None) -> int | None:
    given = [n for n in numbers if n is not None]
    return min(given) if given else None


def _costs(batch: TextLists) -> np.ndarray:
    lengths = batch.lengths.numpy()
    if batch.row_offsets is None:
        return lengths
    return np.diff(np.concatenate([[0], lengths.cumsum()])[batch.row_offsets.numpy()])
