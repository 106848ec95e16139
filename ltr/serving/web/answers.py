"""What is answered, in OpenAPI's form: schemas of every dialect's answers and refusals, and of what is read by GET."""

from __future__ import annotations

from collections.abc import Iterable

from ltr.serving.dialects.base import Dialect, Json
from ltr.serving.dialects.cohere import Cohere
from ltr.serving.dialects.cohere_v1 import CohereV1
from ltr.serving.dialects.cohere_v2 import CohereV2
from ltr.serving.dialects.infinity import Infinity, InfinityAlone
from ltr.serving.dialects.tei import TYPES, Tei
from ltr.serving.dialects.vllm_rerank import VllmRerank
from ltr.serving.dialects.vllm_score import VllmScore
from ltr.serving.dialects.weaviate import Weaviate

_STRING, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_SCORE = {"type": "number"}


def _object(required: dict[str, Json], **optional: Json) -> Json:
    """An object of these fields and no others."""
    fields = {"type": "object", "properties": {**required, **optional}, "additionalProperties": False}
    return {**fields, "required": list(required)} if required else fields


def _list(of: Json) -> Json:
    return {"type": "array", "items": of}


def _one_of(values: Iterable[str]) -> Json:
    return {"type": "string", "enum": list(values)}


_USAGE = _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT})
_META = _object(
    {
        "api_version": _object({"version": _one_of("12")}),
        "billed_units": _object({"search_units": _COUNT}),
        "tokens": _object({"input_tokens": _COUNT}),
    },
    truncated=_list(_COUNT),
    warnings=_list(_STRING),
)
_RESULTS = _list(_object({"index": _COUNT, "relevance_score": _SCORE}, document=_object({"text": _STRING})))
_PLAIN_RESULTS = _list(_object({"index": _COUNT, "relevance_score": _SCORE, "document": {"type": ["string", "null"]}}))
_COMMON = {"id": _STRING, "model": _STRING, "usage": _USAGE}
_INFINITY = {**_COMMON, "object": _one_of(["rerank"]), "created": _COUNT, "meta": _META}

#: dialect -> its answer
_ANSWERS: dict[type[Dialect], Json] = {
    CohereV1: _object({**_COMMON, "object": _one_of(["list"]), "results": _RESULTS, "meta": _META}),
    CohereV2: _object({**_COMMON, "results": _RESULTS, "meta": _META}),
    Infinity: _object({**_INFINITY, "results": _RESULTS}),
    InfinityAlone: _object({**_INFINITY, "results": _PLAIN_RESULTS}),
    Tei: _list(_object({"index": _COUNT, "score": _SCORE}, text=_STRING)),
    VllmRerank: _object({**_COMMON, "results": _RESULTS, "meta": _META}),
    VllmScore: _object(
        {
            **_COMMON,
            "object": _one_of(["list"]),
            "created": _COUNT,
            "data": _list(_object({"index": _COUNT, "object": _one_of(["score"]), "score": _SCORE})),
        }
    ),
    Weaviate: _object({"query": _STRING, "scores": _list(_object({"document": _STRING, "score": _SCORE}))}),
}

_COHERE_REFUSAL = _object({"id": _STRING, "message": _STRING})
_OPENAI_REFUSAL = _object(
    {
        "error": _object(
            {"message": _STRING, "type": _STRING, "param": {"type": ["string", "null"]}, "code": {"type": "integer"}}
        )
    }
)


def _refusal(dialect: Dialect) -> Json:
    if isinstance(dialect, Cohere):
        return _COHERE_REFUSAL
    if isinstance(dialect, Tei):
        return _object({"error": _STRING, "error_type": _one_of(dict.fromkeys([*TYPES.values(), "Validation"]))})
    return _object({"error": _STRING}) if isinstance(dialect, Weaviate) else _OPENAI_REFUSAL


#: status -> what it means
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


def answers(dialects: Iterable[Dialect]) -> Json:
    """The responses of an address that speaks these dialects."""
    told, refused = _any(_ANSWERS[type(one)] for one in dialects), _any(map(_refusal, dialects))
    found = {code: _json(meaning, told if code == "200" else refused) for code, meaning in MEANINGS.items()}
    found["429"]["headers"] = {"retry-after": {"required": True, "schema": _COUNT, "description": "Seconds."}}
    return found


def _any(schemas: Iterable[Json]) -> Json:
    different: list[Json] = []
    for schema in schemas:
        if schema not in different:
            different.append(schema)
    return different[0] if len(different) == 1 else {"anyOf": different}


def _json(meaning: str, schema: Json) -> Json:
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}


_STATE = _object({"status": _one_of(["loading", "ready", "draining"])})
_NULL = {"type": "null"}
_MODEL = {"id": _STRING, "object": _one_of(["model"]), "created": _COUNT, "owned_by": _STRING, "max_model_len": _COUNT}
_STATES = {"200": _json("Yes.", _STATE), "503": _json("No, or not yet.", _STATE)}
_WORDLESS = {"204": {"description": "Yes."}, "503": {"description": "No, or not yet."}}
_LABELS = {"id2label": _object({"0": _STRING}), "label2id": _object({"LABEL_0": _COUNT})}
_INFO = {
    **dict.fromkeys(("model_id", "model_dtype", "served_model_name", "version"), _STRING),
    **dict.fromkeys(("model_sha", "max_batch_requests", "sha", "docker_label"), _NULL),
    **{f"max_{name}": _COUNT for name in ("concurrent_requests", "input_length", "batch_tokens", "client_batch_size")},
    "model_type": _object({"reranker": _object(_LABELS)}),
    "auto_truncate": {"type": "boolean"},
    "tokenization_workers": _COUNT,
}


def _described(answer: Json, refusal: Json) -> Json:
    return {
        "200": _json("What is served.", answer),
        **{code: _json(MEANINGS[code], refusal) for code in ("401", "503")},
    }


def _text(kind: str, meaning: str) -> Json:
    return {"200": {"description": meaning, "content": {kind: {"schema": _STRING}}}}


#: address that is read -> its responses
READ: dict[str, Json] = {
    "/health": _STATES,
    "/ping": _STATES,
    "/ready": _STATES,
    "/.well-known/ready": _WORDLESS,
    "/.well-known/live": _WORDLESS,
    "/metrics": _text("text/plain", "Prometheus' text."),
    "/": _text("text/html", "A page to try the models on."),
    "/docs": _text("text/html", "The reference of all addresses."),
    "/info": _described(_object(_INFO), _OPENAI_REFUSAL),
    "/meta": _described(_object({"model": _STRING, "max_length": _COUNT, "precision": _STRING}), _OPENAI_REFUSAL),
    "/v1/models": _described(_object({"object": _one_of(["list"]), "data": _list(_object(_MODEL))}), _COHERE_REFUSAL),
}
