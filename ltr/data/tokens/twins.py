"""Queries and documents as rows of tokens of their own: what bi-encoders read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import torch

from ltr.batch import TokenRows, TwinLists
from ltr.data.lists.ragged import Ragged, offsets_of, spans
from ltr.data.tokens.pairs import backend_of, tokens_of
from ltr.data.tokens.reader import Texts, together
from ltr.errors import ConfigError
from ltr.settings import Prompts, TwinSettings

log = logging.getLogger(__name__)


def behind(prompt: str, texts: Callable[[Sequence[str]], Sequence[str]]) -> Callable[[Sequence[str]], Sequence[str]]:
    """What looks texts up, with a prompt before each."""
    return (lambda ids: prompted(prompt, texts(ids))) if prompt else texts


def prompted(prompt: str, texts: Sequence[str]) -> Sequence[str]:
    """Texts with a prompt before each. Where most of them begin with it already this is told: they would have it twice."""
    if not prompt:
        return texts
    starts = (prompt, prompt.strip()) if prompt.strip().endswith(":") else (prompt,)
    if 2 * sum(text.startswith(starts) for text in texts) > len(texts):
        _tell_of_doubled(prompt)
    return [prompt + text for text in texts]


@lru_cache(32)
def _tell_of_doubled(prompt: str) -> None:
    """Warn, once of each prompt."""
    log.warning(
        "most texts begin with %r already, which the model's prompt puts before them: they have it twice; take it out of the texts, or "
        "set the model's query_prompt (doc_prompt) to an empty text",
        prompt,
    )


@dataclass(frozen=True)
class RowTemplate:
    """What a tokenizer puts around a text that is read alone, found by encoding a probe.

    Attributes:
        before: special token ids before the text.
        after: those after it.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def overhead(self) -> int:
        """Special tokens of a row."""
        return len(self.before) + len(self.after)

    @classmethod
    def of(cls, tokenizer: Any) -> RowTemplate:
        """The template of a fast tokenizer. Raises ConfigError where special tokens stand inside a text."""
        backend = backend_of(tokenizer)
        probe = "an apple pie"
        ids, alone = (backend.encode(probe, add_special_tokens=special).ids for special in (True, False))
        start = next((at for at in range(len(ids)) if ids[at : at + len(alone)] == alone), None)
        if start is None or not alone:
            raise ConfigError(
                "RowTemplate: the tokenizer must put special tokens before and behind a text and none inside, got "
                f"{tokenizer.convert_ids_to_tokens(ids)}"
            )
        return cls(tuple(ids[:start]), tuple(ids[start + len(alone) :]))

    def check(self, name: str, max_length: int) -> None:
        """Raise ConfigError unless a row of ``max_length`` tokens has room for a text."""
        if max_length <= self.overhead:
            raise ConfigError(
                f"{name} must be at least {self.overhead + 1}, since {self.overhead} special tokens stand around a text, "
                f"got {max_length}"
            )

    def rows(self, texts: Ragged, max_length: int) -> TokenRows:
        """Texts with their special tokens, at most ``max_length`` tokens each; what is longer loses its end."""
        own = np.minimum(texts.lengths, max_length - self.overhead)
        offsets = offsets_of(own + self.overhead)
        ids = np.empty(int(offsets[-1]), np.int64)
        starts, ends = offsets[:-1], offsets[1:]
        ids[starts[:, None] + np.arange(len(self.before))] = np.array(self.before, np.int64)
        ids[spans(starts + len(self.before), own)] = texts.values[spans(texts.offsets[:-1], own)]
        ids[ends[:, None] - np.arange(len(self.after), 0, -1)] = np.array(self.after, np.int64)
        return TokenRows.of(ids, np.zeros_like(ids), offsets)


def template_of(tokenizer: Any, max_length: int, max_query_length: int, prompts: Prompts) -> RowTemplate:
    """What a tokenizer puts around queries and documents.

    Raises:
        ConfigError: a length of documents or queries that special tokens and a prompt fill, so that of no text anything would
            be read, and all vectors would be one.
    """
    template = RowTemplate.of(tokenizer)
    for name, length, prompt in (
        ("max_length", max_length, prompts.doc),
        ("max_query_length", max_query_length, prompts.query),
    ):
        template.check(name, length)
        taken = len(backend_of(tokenizer).encode(prompt, add_special_tokens=False).ids) if prompt else 0
        if length <= template.overhead + taken:
            raise ConfigError(
                f"{name} must be above {template.overhead + taken}: the prompt {prompt[:80]!r} takes {taken} tokens, and "
                f"{template.overhead} special tokens stand around a text, so that nothing of it would be read; got {length}"
            )
    return template


class TwinReader:
    """Tokenises queries and documents, each with its prompt, as rows of their own.

    Args:
        tokenizer: a fast transformers tokenizer.
        settings: lengths.
        prompts: what stands before a text.

    Raises:
        ConfigError: lengths that leave no room for a text.
    """

    def __init__(self, tokenizer: Any, settings: TwinSettings, prompts: Prompts = Prompts()):  # noqa: B008 (frozen)
        self.settings, self.prompts = settings, prompts
        self.template = template_of(tokenizer, settings.max_length, settings.max_query_length, prompts)
        self._backend = backend_of(tokenizer)
        self._told = False  # whether it was said that queries are cut; all that ever changes

    def queries(self, texts: Sequence[str]) -> TokenRows:
        """Rows of queries."""
        most = self.settings.max_query_length
        tokens = self._tokens(self.prompts.query, texts, most + 1)
        cut = np.flatnonzero(tokens.lengths > most - self.template.overhead)
        if len(cut) and not self._told:
            self._told = True
            log.warning(
                "queries of more than %d tokens are cut there, such as %r: raise max_query_length to read them whole",
                *(most, texts[cut[0]][:80]),
            )
        return self.template.rows(tokens, most)

    def docs(self, texts: Sequence[str]) -> TokenRows:
        """Rows of documents."""
        most = self.settings.max_length
        return self.template.rows(self._tokens(self.prompts.doc, texts, most), most)

    def batches(self, lists: Iterable[Texts]) -> Iterator[TwinLists]:
        """Encoded lists, some at a time; a document that several of them hold is encoded once."""
        return map(self.batch, together(lists))

    def batch(self, lists: Sequence[Texts]) -> TwinLists:
        """The lists as one batch."""
        docs = list(chain.from_iterable(one.docs for one in lists))
        places: dict[str, int] = {}
        rows = [places.setdefault(text, len(places)) for text in docs]
        return TwinLists(
            torch.from_numpy(offsets_of(np.array([len(one.docs) for one in lists], np.int64))),
            query_ids=[one.query_id for one in lists],
            doc_ids=list(chain.from_iterable(one.doc_ids for one in lists)),
            rows=torch.tensor(rows, dtype=torch.int64),
            queries=self.queries([one.query for one in lists]),
            docs=self.docs(list(places)),
        )

    def _tokens(self, prompt: str, texts: Sequence[str], most: int) -> Ragged:
        return tokens_of(self._backend, prompted(prompt, texts), most)
