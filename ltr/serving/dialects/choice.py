"""Which dialect a body is in: by its address, and by fields that one dialect alone has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ltr.serving.dialects.base import Body, Dialect
from ltr.serving.dialects.cohere_v1 import CohereV1
from ltr.serving.dialects.cohere_v2 import CohereV2
from ltr.serving.dialects.infinity import Infinity, InfinityAlone
from ltr.serving.dialects.tei import Tei
from ltr.serving.dialects.vllm_rerank import OWN, VllmRerank
from ltr.serving.dialects.vllm_score import PAIRS, VllmScore
from ltr.serving.dialects.weaviate import Weaviate

COHERE_V1, COHERE_V2, INFINITY, INFINITY_ALONE = CohereV1(), CohereV2(), Infinity(), InfinityAlone()
TEI, VLLM_RERANK, VLLM_SCORE, WEAVIATE = Tei(), VllmRerank(), VllmScore(), Weaviate()


@dataclass(frozen=True)
class Choice:
    """The dialects of an address.

    Attributes:
        usual: where no field says otherwise, and where the body cannot be read.
        telling: fields -> the dialect of a body that has one of them, in this order.
    """

    usual: Dialect
    telling: Mapping[frozenset[str], Dialect]

    def of(self, body: Body) -> Dialect:
        """The dialect of a body."""
        return next((dialect for fields, dialect in self.telling.items() if fields & body.keys()), self.usual)

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """All of them."""
        return (self.usual, *self.telling.values())


_TEXTS, _PROPERTY = frozenset({"texts"}), frozenset({"property"})
_PAIRS = frozenset({first for first, _ in PAIRS})
_BARE = {_TEXTS: TEI, _PROPERTY: WEAVIATE, _PAIRS: VLLM_SCORE, OWN: VLLM_RERANK}

#: address -> its dialects
ADDRESSES: dict[str, Choice] = {
    "/v1/rerank": Choice(COHERE_V1, {OWN: VLLM_RERANK}),
    "/v2/rerank": Choice(COHERE_V2, {OWN: VLLM_RERANK}),
    "/rerank": Choice(INFINITY, {_TEXTS: TEI, _PROPERTY: WEAVIATE, OWN: VLLM_RERANK}),
    "/infinity/rerank": Choice(INFINITY_ALONE, {}),
    "/score": Choice(VLLM_SCORE, {}),
    "/v1/score": Choice(VLLM_SCORE, {}),
    "/invocations": Choice(INFINITY, _BARE),
    "/": Choice(TEI, _BARE),
}


def told_by(path: str) -> Dialect:
    """The dialect in which an address tells of problems before its body is read."""
    choice = ADDRESSES.get(path)
    if choice is not None:
        return choice.usual
    return COHERE_V1 if path.startswith(("/v1/", "/v2/")) else INFINITY
