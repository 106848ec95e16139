"""From prompts and responses as plain texts to the batches that a reward model or a policy was trained on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ltr.batch import TextLists
from ltr.data.lists.ragged import offsets_of
from ltr.data.preferences.rendering import PreferenceEncoder, form_of
from ltr.data.preferences.table import Preferences
from ltr.data.tokens.pairs import backend_of
from ltr.data.tokens.reader import TextEncoder, Texts, together
from ltr.errors import ConfigError
from ltr.settings.texts import ModelSettings

log = logging.getLogger(__name__)


class PromptReader:
    """Encodes prompts (as queries) and responses (as documents) as ``PreferenceData`` does: one way for training and use.

    The chat template is applied once, and what does not fit is cut from the beginning of the prompt.

    Args:
        tokenizer: a fast transformers tokenizer.
        settings: with the ``form`` that the model was trained on.

    Raises:
        ConfigError: a form that the tokenizer has not, or documents that are to be read in passages.
    """

    def __init__(self, tokenizer: Any, settings: ModelSettings):
        self.tokenizer, self.settings, self.form = tokenizer, settings, form_of(tokenizer, settings.form)
        if settings.passages != "first":
            raise ConfigError(
                f"PromptReader: the model scores responses to prompts, which are read whole, and passages is "
                f"{settings.passages!r}; leave passages out"
            )
        self._backend = backend_of(tokenizer)
        self._told = False  # whether it was said that texts are cut; all that ever changes

    def batches(self, lists: Iterable[Texts]) -> Iterator[TextLists]:
        """Encoded lists, some at a time."""
        return map(self.batch, together(lists))

    def batch(self, lists: Sequence[Texts]) -> TextLists:
        """The lists as one batch.

        Raises:
            DataError: a prompt that holds the marks of the chat template already.
        """
        encoder = self.encoder(lists, self.settings.max_length)
        if not self._told and any((cut := encoder.cut()).values()):
            self._told = True
            log.warning(
                "at %d tokens %d prompts lose their beginning and %d responses their end: raise max_length to read them "
                "whole",
                *(self.settings.max_length, cut["prompts"], cut["responses"]),
            )
        return replace(encoder[encoder.drawn()], labels=None)

    def encoder(self, lists: Sequence[Texts], max_length: int) -> PreferenceEncoder:
        """What encodes these lists, of so many tokens at most."""
        nothing = np.zeros(sum(len(one.docs) for one in lists))
        table = Preferences(
            "texts",
            [one.query_id for one in lists],
            [one.query for one in lists],
            [text for one in lists for text in one.docs],
            [name for one in lists for name in one.doc_ids],
            nothing,
            nothing,
            offsets_of(np.array([len(one.docs) for one in lists], np.int64)),
        )
        return PreferenceEncoder.of(table, self.tokenizer, self.form, max_length, self._backend)


def reader_of(tokenizer: Any, settings: ModelSettings) -> TextEncoder | PromptReader:
    """What reads texts as a model was trained: queries with documents, or prompts with responses.

    Raises:
        ConfigError: settings that cannot work; see ``TextEncoder`` and ``PromptReader``.
    """
    return PromptReader(tokenizer, settings) if settings.form else TextEncoder(tokenizer, settings)
