"""The description of all addresses in OpenAPI's form: schemas of bodies, and an example of each."""

from __future__ import annotations

from ltr.serving.dialects.base import Dialect, Json
from ltr.serving.dialects.choice import ADDRESSES

_STRING, _SWITCH = {"type": "string"}, {"type": "boolean"}
_COUNT = {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31}
_TEXTS = {"type": "array", "items": _STRING}
_DOCUMENTS = {
    "description": "Texts, or objects with a field text (or those that rank_fields names).",
    "type": "array",
    "items": {"anyOf": [_STRING, {"type": "object", "additionalProperties": _STRING, "required": ["text"]}]},
}

#: field of a body -> its schema
FIELDS: dict[str, Json] = {
    "query": {**_STRING, "minLength": 1, "pattern": r"\S", "description": "What is looked for."},
    "documents": _DOCUMENTS,
    "texts": {**_TEXTS, "minItems": 1},
    "items": _TEXTS,
    "text_1": {"anyOf": [_STRING, _TEXTS], "description": "One query, or one for each text of text_2."},
    "text_2": {"anyOf": [_STRING, _TEXTS]},
    "queries": {"anyOf": [_STRING, _TEXTS]},
    "data_1": {"anyOf": [_STRING, _TEXTS]},
    "data_2": {"anyOf": [_STRING, _TEXTS]},
    "property": _STRING,
    "model": {"type": ["string", "null"], "description": "Needed where several models are served."},
    "top_n": {**_COUNT, "description": "So many results; null, 0 and numbers above that of the documents mean all."},
    "return_documents": {**_SWITCH, "description": "The texts come back as document: {text}."},
    "return_text": {**_SWITCH, "description": "The texts come back."},
    "rank_fields": {"type": "array", "items": _STRING, "description": "Fields of documents, joined in this order."},
    "max_tokens_per_doc": {**_COUNT, "description": "So many tokens of a document are read; null and 0 mean as the model was trained."},
    "priority": {"type": "integer", "minimum": -(10**9), "maximum": 2**31, "description": "Smaller is earlier."},
    "raw_scores": {**_SWITCH, "description": "The model's scores as they are, not in [0, 1]."},
    "use_activation": {**_SWITCH, "description": "false: the same as raw_scores true."},
    "truncate_prompt_tokens": {"type": ["integer", "null"], "minimum": -1, "maximum": 2**31, "description": "Tokens of query and document together; -1 means as the model was trained."},
    "truncate": {**_SWITCH, "description": "false: refuse documents that would be cut."},
    "truncation_direction": {"enum": ["Right", "right", "Left", "left"], "description": "Which side of a document is cut off."},
    "first_scores": {"type": "array", "items": {"type": "number"}, "description": "The first stage's score of each document."},
    "interpolate": {"anyOf": [_SWITCH, {"type": "number", "minimum": 0, "maximum": 1}], "description": "Mix with first_scores: the first stage's weight, or true for the model's own."},
}  # fmt: skip

#: dialect -> what must stand in its body
NEEDED = {
    "tei": ["query", "texts"],
    "vllm_score": ["text_1", "text_2"],
    "weaviate": ["query", "documents", "property"],
    "vllm_rerank": ["query", "documents", "use_activation"],
}
#: status -> what it means; what a dialect tells then is its own
MEANINGS = {
    "200": "The answer; the headers x-total-time, x-queue-time and others tell milliseconds.",
    "400": "No JSON object, or no text at all.",
    "401": "A key is needed.",
    "404": "No such model.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "422": "A field cannot be used as it is; the sentence says which and why.",
    "424": "The model's scores are not finite (TEI).",
    "429": "The server is busy; the header retry-after says when to come again.",
    "500": "The model's scores are not finite, or the server failed.",
    "503": "The models are not loaded yet, or memory is short.",
    "504": "The deadline of the header x-request-timeout has passed.",
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
        "responses": {code: {"description": meaning} for code, meaning in MEANINGS.items()},
    }


def schema(dialect: Dialect) -> Json:
    """The body of a dialect; fields that it does not name are ignored, with a warning."""
    fields = {name: FIELDS[name] for name in sorted(dialect.known)}
    needed = NEEDED.get(dialect.name, ["query", "documents"])
    return {"title": dialect.name, "type": "object", "properties": fields, "required": needed}
