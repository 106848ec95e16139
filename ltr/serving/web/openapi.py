"""The description of all addresses in OpenAPI's form: schemas of the bodies that are sent."""

from __future__ import annotations

from ltr.serving.dialects.base import Dialect, Json
from ltr.serving.dialects.choice import ADDRESSES
from ltr.serving.dialects.vllm_score import PAIRS, VllmScore
from ltr.serving.web.answers import answers

_STRING, _OBJECT = {"type": "string"}, {"type": "object"}
#: null stands for a field that is not there, wherever it need not be
_SWITCH, _COUNT = {"type": ["boolean", "null"]}, {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31}
_TEXTS = {
    "anyOf": [_STRING, _OBJECT, {"type": "array", "items": {"anyOf": [_STRING, _OBJECT]}}],
    "description": "Texts, or objects with a field text (or those that rank_fields names); one alone, or a list.",
}
_QUERY = {**_STRING, "minLength": 1, "pattern": r"\S", "description": "What is looked for."}
_QUERIES = {
    "anyOf": [_QUERY, _OBJECT, {"type": "array", "items": {"anyOf": [_QUERY, _OBJECT]}}],
    "description": "One query, or one for each document.",
}

#: field of a body -> its schema
FIELDS: dict[str, Json] = {
    "query": _QUERY,
    "documents": _TEXTS,
    "texts": {**_TEXTS, "minItems": 1},
    "property": {"type": ["string", "null"]},
    "model": {"type": ["string", "null"], "description": "Needed where several models are served."},
    "top_n": {**_COUNT, "description": "So many results; null, 0 and numbers above that of the documents mean all."},
    "return_documents": {**_SWITCH, "description": "The texts come back as document: {text}."},
    "return_text": {**_SWITCH, "description": "The texts come back."},
    "rank_fields": {"type": ["array", "null"], "items": _STRING, "minItems": 1, "description": "Fields of documents, joined in this order."},
    "max_tokens_per_doc": {**_COUNT, "description": "So many tokens of a document are read; null and 0 mean as the model was trained."},
    "priority": {"type": ["integer", "null"], "minimum": -(10**9), "maximum": 2**31, "description": "Smaller is earlier."},
    "raw_scores": {**_SWITCH, "description": "The model's scores as they are, not in [0, 1]."},
    "use_activation": {**_SWITCH, "description": "false: the same as raw_scores true."},
    "truncate_prompt_tokens": {"type": ["integer", "null"], "minimum": -1, "maximum": 2**31, "description": "Tokens of query and document together; -1 means as the model was trained."},
    "truncate": {**_SWITCH, "description": "false: refuse documents that would be cut."},
    "truncation_direction": {"enum": ["Right", "right", "Left", "left", None], "description": "Which side of a document is cut off."},
    "first_scores": {"type": ["array", "null"], "items": {"type": "number"}, "description": "The first stage's score of each document."},
    "interpolate": {"anyOf": [_SWITCH, {"type": "number", "minimum": 0, "maximum": 1}], "description": "Mix with first_scores: the first stage's weight, or true for the model's own."},
}  # fmt: skip

#: dialect -> what must stand in its body
NEEDED = {
    "tei": ["query", "texts"],
    "weaviate": ["query", "documents", "property"],
    "vllm_rerank": ["query", "documents", "use_activation"],
}


def operation(path: str) -> Json:
    """What FastAPI puts into the description of an address."""
    dialects = {dialect.name: dialect for dialect in ADDRESSES[path].dialects}
    schemas = [schema(dialect) for dialect in dialects.values()]
    one = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    header = {
        "name": "x-request-timeout",
        "in": "header",
        "required": False,
        "schema": {"type": "number", "exclusiveMinimum": 0},
    }
    return {
        "summary": "Scores of pairs" if "score" in path else "Rank documents",
        "description": f"Dialects: {', '.join(dialects)}.",
        "parameters": [header],
        "requestBody": {"required": True, "content": {"application/json": {"schema": one}}},
        "responses": answers(dialects.values()),
    }


def schema(dialect: Dialect) -> Json:
    """The body of a dialect; fields that it does not name are ignored, with a warning."""
    fields = {name: FIELDS[name] for name in sorted(dialect.known & FIELDS.keys())}
    found: Json = {"title": dialect.name, "type": "object", "properties": fields}
    if isinstance(dialect, VllmScore):  # of several pairs the first counts
        pairs = [{"required": [q, d], "properties": {q: _QUERIES, d: _TEXTS}} for q, d in PAIRS]
        return {**found, "properties": {n: f for n, f in fields.items() if n != "documents"}, "anyOf": pairs}
    return {**found, "required": NEEDED.get(dialect.name, ["query", "documents"])}
