"""``POST /score``, ``/v1/score``: vLLM's scores of pairs, in the order of the input."""

from __future__ import annotations

from ltr.serving.dialects import fields
from ltr.serving.dialects.base import Answer, Asked, Body, Dialect, Json
from ltr.serving.dialects.openai_errors import openai_refusal
from ltr.serving.dialects.parts import usage
from ltr.serving.problems import Problem
from ltr.serving.request import Request

#: the fields of queries and of documents, in the words of several versions
PAIRS = (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2"))
_ALL = {name for pair in PAIRS for name in pair}


class VllmScore(Dialect):
    """``text_1, text_2`` → ``id, object, created, model, data[index, object, score], usage``.

    One query and any number of documents, or as many queries as documents.
    """

    name = "vllm_score"
    known = frozenset(
        [
            *_ALL,
            "model",
            "max_tokens_per_doc",
            "priority",
            "raw_scores",
            "use_activation",
            "truncate_prompt_tokens",
        ]
    )

    def read(self, body: Body) -> Asked:
        own = {name: value for name, value in body.items() if name in self.known and value is not None}
        first, second = next((pair for pair in PAIRS if set(pair) <= set(own)), PAIRS[0])
        queries, documents = fields.documents_of(own, first), fields.documents_of(own, second)
        for i, query in enumerate(queries):
            if not query.strip():
                raise Problem("invalid", f"{first}[{i}] must not be empty; write what is looked for", first)
        if len(queries) not in (1, len(documents)):
            raise Problem(
                "invalid",
                f"{first} must have one text, or as many as {second} ({len(documents)}), got {len(queries)}",
                first,
            )
        groups = (documents,) if len(queries) == 1 else tuple((text,) for text in documents)
        return Asked(
            Request(
                queries,
                groups,
                fields.model_of(own),
                max_tokens=fields.whole_number(own, "max_tokens_per_doc", 0) or None,
                max_length=fields.length(own),
                priority=fields.whole_number(own, "priority", -(10**9)) or 0,
            ),
            raw=fields.switch(own, "raw_scores", False) or not fields.switch(own, "use_activation", True),
            warnings=fields.unknown(body, self.known - (_ALL - {first, second})),
        )

    def write(self, answer: Answer) -> Json:
        return {
            "id": f"score-{answer.id}",
            "object": "list",
            "created": answer.created,
            "model": answer.result.model,
            "data": [{"index": i, "object": "score", "score": score} for i, score in enumerate(answer.shown)],
            "usage": usage(answer),
        }

    def refusal(self, problem: Problem) -> Json:
        return openai_refusal(problem)
