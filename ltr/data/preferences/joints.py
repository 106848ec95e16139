"""Tokens of responses as they follow their prompts, from tokenizers that begin each text with a space of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ltr.data.lists.ragged import Ragged
from ltr.data.readable import readable
from ltr.data.tokens.pairs import tokens_of

#: characters of a prompt's end behind which a response is tokenised
NEAR = 64
#: what stands in their place where a token would go over the joint
APART = ("\n", "0", "|")
#: how pieces of words show a space before them
SPACES = ("▁", "Ġ")


def following(backend: Any, before: Sequence[str], texts: Sequence[str]) -> Ragged:
    """Token ids of texts that go on from others, which are tokenised by themselves.

    Tokenizers of the makes of Llama 2 and Mistral read a text as if a space stood before it. Behind a prompt there is none,
    and a model that has written up to there would not write it: its log-probability would be of another text.

    Args:
        backend: of ``ltr.data.tokens.pairs.backend_of``.
        before: what each text follows.
        texts: what is tokenised.
    """
    if not begins_with_space(backend):
        return tokens_of(backend, texts, None)
    marks = [token.content for token in backend.get_added_tokens_decoder().values()]
    return Ragged.of(
        _behind(backend, _end(one, marks), readable(text)) for one, text in zip(before, texts, strict=True)
    )


def begins_with_space(backend: Any) -> bool:
    """Whether a tokenizer puts a space before a text that has none."""
    return backend.encode("a", add_special_tokens=False).tokens[0].startswith(SPACES)


def _end(text: str, marks: Sequence[str]) -> str:
    """The end of a text from its last mark on, if one is near: what stands on its two sides does not touch."""
    near = text[-NEAR:]
    return near[max((near.rfind(mark) for mark in marks), default=0) :] if any(mark in near for mark in marks) else near


def _behind(backend: Any, end: str, text: str) -> list[int]:
    for begun in (readable(end), *APART):
        alone, both = (backend.encode(one, add_special_tokens=False).ids for one in (begun, begun + text))
        if both[: len(alone)] == alone:
            return both[len(alone) :]
    return backend.encode(text, add_special_tokens=False).ids
