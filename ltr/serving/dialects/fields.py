"""Fields of a body, checked one by one: what comes out can be scored, and no sentence repeats a document."""

from __future__ import annotations

import math
from collections.abc import Collection

from ltr.serving.dialects.base import Asked, Body, Json
from ltr.serving.problems import Problem
from ltr.serving.request import Request

#: what all dialects of reranking understand, whichever of them brought it
RERANKING = frozenset(
    [
        "model",
        "query",
        "documents",
        "top_n",
        "return_documents",
        "rank_fields",
        "max_tokens_per_doc",
        "priority",
        "raw_scores",
        "use_activation",
        "truncate_prompt_tokens",
        "first_scores",
        "interpolate",
    ]
)
#: most unknown fields that a warning names, and characters of each
NAMED, CHARACTERS = 8, 40


def reranking(body: Body, known: Collection[str] = RERANKING, documents: str = "documents") -> Asked:
    """A body with one query and its documents; a field that the dialect does not know is not there.

    Args:
        body: as it came.
        known: fields of the dialect.
        documents: the field that holds the documents.
    """
    own = {name: value for name, value in body.items() if name in known and value is not None}
    query = text(own, "query")
    if not query.strip():
        raise Problem("invalid", "query must not be empty; write what is looked for", "query")
    texts = documents_of(own, documents)
    first_scores, interpolate = _mixing(own, len(texts))
    return Asked(
        Request(
            (query,),
            (texts,),
            model_of(own),
            max_tokens=whole_number(own, "max_tokens_per_doc", 0) or None,
            max_length=length(own),
            priority=whole_number(own, "priority", -(10**9)) or 0,
        ),
        top_n=whole_number(own, "top_n", 0) or None,
        raw=switch(own, "raw_scores", False) or not switch(own, "use_activation", True),
        show=switch(own, "return_documents", False),
        first_scores=first_scores,
        interpolate=interpolate,
        warnings=unknown(body, known),
    )


def unknown(body: Body, known: Collection[str]) -> tuple[str, ...]:
    """The warning that names fields that are not known; none where there are none."""
    names = [_named(name[:CHARACTERS]) for name in body if name not in known]
    if not names:
        return ()
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (f"ignored, since this dialect does not know it: {', '.join(names[:NAMED])}{more}",)


def _named(name: str) -> str:
    """A client's name for a field as ASCII, that breaks no line; in quotes where its ends could not stand in a header."""
    quoted = ascii(name)
    return quoted[1:-1] if name and name == name.strip() else quoted


def text(body: Body, name: str) -> str:
    """A text that can be scored."""
    if name not in body:
        raise Problem("invalid", f"{name} is missing; give it as a string", name)
    return checked(body[name], name)


def checked(value: Json, name: str) -> str:
    """A value that is a text, whole; ``name`` in the sentence that says that it is not."""
    if not isinstance(value, str):
        raise Problem("invalid", f"{name} must be a string, got {kind(value)}", name.partition("[")[0])
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Problem(
            "invalid",
            f"{name} holds half of a surrogate pair at character {error.start}: it was cut inside a character, or read in "
            "another encoding; cut it before, or put U+FFFD in its place",
            name.partition("[")[0],
        ) from None
    return value


def documents_of(body: Body, name: str) -> tuple[str, ...]:
    """Documents: one text, or a list of texts or of objects, whose ``rank_fields`` (``text``) are joined in order."""
    if name not in body:
        raise Problem("invalid", f"{name} is missing; give it as a list of strings", name)
    given = body[name]
    if isinstance(given, (str, dict)):
        given = [given]
    if not isinstance(given, list):
        raise Problem("invalid", f"{name} must be a list of strings, got {kind(given)}", name)
    fields = rank_fields(body)
    return tuple(_document(one, f"{name}[{i}]", fields) for i, one in enumerate(given))


def _document(given: Json, name: str, fields: tuple[str, ...]) -> str:
    if not isinstance(given, dict):
        return checked(given, name)
    found = [field for field in fields if given.get(field) is not None]
    if not found:
        raise Problem(
            "invalid",
            f"{name} has none of the fields that are ranked ({', '.join(fields)[:200]}); give it a field text, or name "
            "others in rank_fields",
            name.partition("[")[0],
        )
    return " ".join(checked(given[field], f"{name}.{field}") for field in found)


def rank_fields(body: Body) -> tuple[str, ...]:
    """The fields of documents that are read, in order."""
    given = body.get("rank_fields", ["text"])
    if not isinstance(given, list) or not given or not all(isinstance(one, str) and one.isprintable() for one in given):
        raise Problem(
            "invalid", "rank_fields must be a list of names of fields, such as ['title', 'text']", "rank_fields"
        )
    return tuple(given)


def model_of(body: Body) -> str | None:
    """The name of a model; None for none."""
    given = body.get("model")
    if given is None:
        return None
    if not isinstance(given, str):
        raise Problem("invalid", f"model must be a string, got {kind(given)}", "model")
    return given or None


def whole_number(body: Body, name: str, least: int) -> int | None:
    """A whole number; None where it is not there."""
    given = body.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int):
        raise Problem("invalid", f"{name} must be a whole number, got {kind(given)}", name)
    if not least <= given <= 2**31:
        raise Problem("invalid", f"{name} must be from {least} to {2**31}, got {_shown(given)}", name)
    return given


def switch(body: Body, name: str, default: bool) -> bool:
    """True or false."""
    given = body.get(name)
    if given is None:
        return default
    if not isinstance(given, bool):
        raise Problem("invalid", f"{name} must be true or false, got {kind(given)}", name)
    return given


def kind(value: Json) -> str:
    """What a value is, without what is in it."""
    names = {
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "null")


def length(body: Body) -> int | None:
    """Tokens of query and document together; None as the model was trained, which -1 means, too."""
    given = whole_number(body, "truncate_prompt_tokens", -1)
    return None if given in (None, -1, 0) else given


def _mixing(body: Body, n_docs: int) -> tuple[tuple[float, ...] | None, bool | float | None]:
    """(the first stage's scores, its weight) as far as they are asked for."""
    weight = body.get("interpolate")
    if weight is False:
        weight = None
    if weight is not None and weight is not True and not (isinstance(weight, (int, float)) and 0 <= weight <= 1):
        raise Problem("invalid", "interpolate must be true, or the first stage's weight from 0 to 1", "interpolate")
    scores = body.get("first_scores")
    if weight is not None and scores is None:
        raise Problem(
            "invalid", "interpolate needs first_scores, the first stage's score of each document", "first_scores"
        )
    if scores is None:
        return None, None
    if not isinstance(scores, list) or not all(_is_score(score) for score in scores):
        raise Problem("invalid", "first_scores must be a list of finite numbers, one for each document", "first_scores")
    if len(scores) != n_docs:
        raise Problem(
            "invalid",
            f"first_scores must have one number for each of the {n_docs} documents, got {len(scores)}",
            "first_scores",
        )
    return tuple(map(float, scores)), weight


def _is_score(value: Json) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _shown(number: int) -> str:
    return str(number) if abs(number) < 10**12 else "a number of more than 12 digits"
