"""The forms in which preferences are written: lists of responses, pairs, votes, chat messages; one record at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ltr.errors import DataError
from ltr.io.ids import fault, query_fault, shown

#: a text, or messages of a chat
Said = str | tuple[dict[str, str], ...]
#: names of a prompt, of an id, of the text of a response
PROMPTS = ("prompt", "question", "instruction")
IDS = ("prompt_id", "pair_id", "id")
TEXTS = ("text", "response", "completion", "content")
#: what a response's label may be called where no name is asked for, in this order
LABELS = ("score", "rating", "label", "votes")
#: float32's largest number: labels are trained on in it
LARGEST = 3.4028234663852886e38
#: labels that usually are smaller for better responses
RANKS = ("rank", "ranking", "position")
#: what the labels of both responses of a pair may be called, in this order
PAIR_LABELS = tuple(
    names
    for what in ("score", "rating", "reward")
    for names in ((f"{what}_chosen", f"{what}_rejected"), (f"chosen_{what}", f"rejected_{what}"),
                  (f"chosen-{what}", f"rejected-{what}"))
)  # fmt: skip
#: what a system message beside a prompt may be called; other things beside it, or in a message or a response, say what the
#: model shall read too: they are refused rather than left out
SYSTEMS = ("system", "system_prompt")
BESIDE = (
    *SYSTEMS,
    "input",
    "context",
    "history",
    "conversations",
    "tools",
    "documents",
    "image",
    "images",
    "chat_template_kwargs",
)
WITHIN = ("tool_calls", "function_call", "tool_call_id", "reasoning_content", "thinking", "image", "images")
FORMS = (
    'a record needs "prompt" and "responses" (a list of {"text", "score"}), or "chosen" and "rejected", or "a", "b" and '
    '"strength", or "completion" and "label"'
)


@dataclass(frozen=True)
class Judged:
    """A prompt and its responses with labels, as a record says it.

    Attributes:
        id: of the prompt, one word; empty where the record gives none.
        prompt: a text, or the messages before the response.
        responses: texts, or messages of the assistant.
        names: of the responses, unique words.
        labels: larger is better.
        gains: what best-of-n measures report; None for the labels.
        same: the record prefers a response to one of the same text; they are a tie here.
        unit: what its labels are called in the record; empty where it only says which response is preferred.
    """

    id: str
    prompt: Said
    responses: tuple[Said, ...]
    names: tuple[str, ...]
    labels: tuple[float, ...]
    gains: tuple[float, ...] | None = None
    same: bool = False
    unit: str = ""


def judged(record: Any, where: str, label: str | None = None, gain: str | None = None) -> Judged:
    """What a record says.

    Args:
        record: of a JSON line, or a row of a table.
        where: file and line, for errors.
        label: the name of the responses' labels; None for the first of ``LABELS`` that they have.
        gain: likewise of what best-of-n measures report; None for the labels.

    Raises:
        DataError: a record that is none of the forms, a response without text, scores that are no numbers, votes that do not add
            up, messages whose roles are out of order.
    """
    if not isinstance(record, Mapping):
        raise DataError(f"{where}: a preference is a JSON object, got {type(record).__name__}; {FORMS}")
    _check_asked_once(_held(record), where)
    held = _asked(_held(record), where)
    _check_read(held, BESIDE, where, "the record")
    if "responses" in held:
        return _list(held, where, label, gain)
    if gain is not None and gain != label:
        raise DataError(
            f"{where}: no response of this record has {gain}, which was asked for as the gain; it is read from responses that are "
            '{"text", "score"} each'
        )
    if "chosen" in held and "rejected" in held:
        several = any(_texts(held[name]) for name in ("chosen", "rejected"))
        return _several(held, where, label) if several else _pair(held, where, label)
    if label not in (None, "label" if "completion" in held else "strength"):
        raise _no_label(label, where)
    if "a" in held and "b" in held:
        return _strength(held, where)
    if "completion" in held and "label" in held:
        return _one(held, where)
    raise DataError(f"{where}: no form of a preference is known with the names {', '.join(map(str, held))}; {FORMS}")


def _check_asked_once(held: Mapping[str, Any], where: str) -> None:
    """Raise DataError where a record names two prompts that are not the same: only one of them would be read."""
    named = [name for name in PROMPTS if name in held]
    if any(held[name] != held[named[0]] for name in named[1:]):
        raise DataError(
            f"{where}: the record has {' and '.join(named)}, which are not the same, and one prompt is read; write both into one, or "
            "take one of them out of the file"
        )


def _held(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says: tables have a field for each of their columns."""
    return {key: value for key, value in record.items() if value is not None}


def _asked(held: dict[str, Any], where: str) -> dict[str, Any]:
    """A record whose question stands under ``input``, or whose system message stands beside it, in the usual form.

    So it is in Orca's pairs (``system`` and ``question``, or ``system`` and ``input``). Beside an instruction an ``input`` is
    something else: how the two are one text is not said.
    """
    made = {k: v for k, v in held.items() if not (k in SYSTEMS and isinstance(v, str) and not v.strip())}
    if isinstance(made.get("input"), str) and not any(name in made for name in PROMPTS):
        made["prompt"] = made.pop("input")
    named = [name for name in SYSTEMS if isinstance(made.get(name), str)]
    prompt = next((made[name] for name in PROMPTS if name in made), None)
    if len(named) != 1 or prompt is None or (messages := _user(prompt)) is None:
        return made
    if messages[:1] and isinstance(messages[0], Mapping) and messages[0].get("role") == "system":
        raise DataError(
            f"{where}: the record has {named[0]}, and its prompt begins with a message of the system, too; take one of the two out"
        )
    system = {"role": "system", "content": made.pop(named[0])}
    return {**{k: v for k, v in made.items() if k not in PROMPTS}, "prompt": [system, *messages]}


def _user(prompt: Any) -> list[Any] | None:
    """A prompt as messages; None for what is neither text nor messages."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return list(prompt) if isinstance(prompt, Sequence) and not isinstance(prompt, bytes) else None


def _check_read(held: Mapping[str, Any], names: Sequence[str], where: str, what: str) -> None:
    """Raise DataError where something stands beside the texts that belongs to them, and would not be read."""
    left = next((name for name in names if held.get(name)), None)
    if left is not None:
        raise DataError(
            f"{where}: {what} has {left} ({str(held[left])!r:.60}), which belongs to what is asked or answered, and ltr does not "
            "read it; write it into the text, or as a message of the prompt (a system message may stand first), or take it out "
            "of the file"
        )


def _list(held: Mapping[str, Any], where: str, label: str | None, gain: str | None) -> Judged:
    responses = held["responses"]
    if not isinstance(responses, Sequence) or isinstance(responses, str) or not responses:
        raise DataError(f"{where}: responses must be a list of objects with a text and a score, got {responses!r:.60}")
    for one in responses:
        if not isinstance(one, Mapping):
            raise DataError(f"{where}: each response is an object with a text and a score, got {one!r:.60}")
        _check_read(one, WITHIN, where, "a response")
    responses = [_held(one) for one in responses]
    name = label or next((n for n in LABELS if n in responses[0]), None)
    if name is None:
        raise DataError(
            f"{where}: a response has no label; it needs one of {', '.join(LABELS)}, got {list(responses[0])}"
        )
    if name in RANKS:
        raise DataError(
            f"{where}: labels are larger for better responses, and {name} 1 is usually the best; give scores, such as minus the rank, "
            "under another name"
        )
    labels = tuple(_number(one.get(name), f"{name} of response {i}", where) for i, one in enumerate(responses))
    if name == "votes":
        if min(labels) < 0 or not sum(labels):
            raise DataError(f"{where}: votes must be counts that are not all 0, got {list(labels)}")
        labels = tuple(v / sum(labels) for v in labels)
    gains = gain and tuple(_number(one.get(gain), f"{gain} of response {i}", where) for i, one in enumerate(responses))
    names = tuple(_word(one.get("id", i), "a response", where) for i, one in enumerate(responses))
    if len(set(names)) < len(names):
        raise DataError(f"{where}: ids of responses must differ, got {sorted(names)!s:.80}")
    said = tuple(_response(next((one[n] for n in TEXTS if n in one), None), where) for one in responses)
    return Judged(_id(held, where), _prompt(held, where), said, names, labels, gains or None, unit=name)


def _no_label(label: str | None, where: str) -> DataError:
    return DataError(
        f"{where}: the record has no {label} of its responses, which was asked for as their label; leave label out to read which is "
        "preferred, or name what the record has"
    )


def _texts(found: Any) -> bool:
    """Whether something is several responses: a list of texts."""
    return isinstance(found, list) and bool(found) and all(isinstance(one, str) for one in found)


def _several(held: Mapping[str, Any], where: str, label: str | None) -> Judged:
    """Several chosen or rejected responses of a prompt, as in RewardBench 2: each chosen one is better than each rejected one."""
    said: list[Said] = []
    names: list[str] = []
    labels: list[float] = []
    for kind, value in (("chosen", 1.0), ("rejected", 0.0)):
        own = held[kind] if _texts(held[kind]) else [held[kind]]
        said += [_response(one, where) for one in own]
        names += [kind if len(own) == 1 else f"{kind}{i + 1}" for i in range(len(own))]
        labels += [value] * len(own)
    if label is not None:
        raise _no_label(label, where)
    if "margin" in held or _labels_of_pair(held, where, None):
        raise DataError(
            f"{where}: labels of a pair stand beside several responses, and nobody can tell which they are of; give responses with a "
            "score each"
        )
    return Judged(_id(held, where), _prompt(held, where), tuple(said), tuple(names), tuple(labels))


def _pair(held: Mapping[str, Any], where: str, label: str | None) -> Judged:
    chosen, rejected = held["chosen"], held["rejected"]
    for one in (chosen, rejected):
        if not isinstance(one, (str, Sequence)) or isinstance(one, bytes):
            _response(one, where)  # which says what it is not
    if not any(name in held for name in PROMPTS):
        prompt, chosen, rejected = _split(chosen, rejected, where)
    else:
        prompt = _prompt(held, where)
        if isinstance(prompt, str) and _holds_prompt(chosen) and _holds_prompt(rejected):
            inside, chosen, rejected = _split(chosen, rejected, where)
            if not (isinstance(inside, tuple) and any(one["content"].strip() == prompt.strip() for one in inside)):
                raise DataError(
                    f"{where}: the messages of chosen and rejected begin with another prompt than prompt says; take one of the "
                    "two out"
                )
            prompt = inside
        chosen, rejected = (_without(prompt, one) for one in (chosen, rejected))
    said = (_response(chosen, where), _response(rejected, where))
    labels, unit = (1.0, 0.0), ""
    if names := _labels_of_pair(held, where, label):
        unit = names[0]
        labels = tuple(_number(held[n], n, where) for n in names)  # type: ignore[assignment]
    elif label not in (None, "margin") or (label and "margin" not in held):
        raise _no_label(label, where)
    elif "margin" in held:
        labels, unit = (_number(held["margin"], "margin", where), 0.0), "margin"
    if labels[0] < labels[1]:
        raise DataError(
            f"{where}: the chosen response must not be worse than the rejected one, got {labels[0]:g} and {labels[1]:g}; mend "
            "the record, or take the labels out of the file"
        )
    same = said[0] == said[1] and labels[0] > labels[1]
    labels = (labels[1],) * 2 if same else labels
    return Judged(_id(held, where), prompt, said, ("chosen", "rejected"), labels, None, same, unit)


def _labels_of_pair(held: Mapping[str, Any], where: str, label: str | None) -> tuple[str, str] | None:
    """The names of the labels of a pair, of the kind that was asked for; None where it has none."""
    for names in PAIR_LABELS:
        if label not in (None, *names) and label != _kind(names):
            continue
        there = [name for name in names if name in held]
        if len(there) == 1:
            missing = names[1 - names.index(there[0])]
            raise DataError(f"{where}: {there[0]} stands without {missing}; give both, or neither")
        if there:
            return names
    return None


def _kind(names: tuple[str, str]) -> str:
    """What both labels of a pair are called alike.

    >>> _kind(("chosen_score", "rejected_score"))
    'score'
    """
    return names[0].replace("chosen", "").strip("_-")


def unused(record: Any, label: str | None = None) -> list[str]:
    """Numbers of a pair whose names speak of its responses, and which are no labels that ``judged`` reads.

    >>> unused({"prompt": "p", "chosen": "x", "rejected": "y", "score_chosen": 2, "score_rejected": 1, "chosen_logp": -3.5})
    ['chosen_logp']
    """
    held = _held(record) if isinstance(record, Mapping) else {}
    if not {"chosen", "rejected"} <= held.keys() or "responses" in held:
        return []
    read = next((n for n in PAIR_LABELS if n[0] in held and label in (None, *n, _kind(n))), ())
    lists = [
        name
        for name in ("rating", "ratings", "scores")
        if isinstance(held.get(name), Sequence) and not isinstance(held[name], str)
    ]
    return lists + [
        name
        for name, value in held.items()
        if isinstance(name, str) and name not in read and isinstance(value, (int, float)) and not isinstance(value, bool)
        and any(word in name.lower() for word in ("chosen", "rejected", "margin", "strength", "difference", "delta"))
        and not (name == "margin" and not read)
    ]  # fmt: skip


def _strength(held: Mapping[str, Any], where: str) -> Judged:
    votes, strength = held.get("votes"), held.get("strength")
    if votes is not None:
        if not isinstance(votes, Sequence) or not votes or any(v not in (0, 1, 2) for v in votes):
            raise DataError(f"{where}: votes must be a list of 1 (a), 2 (b) or 0 (tie), got {votes!r:.60}")
        counted = (list(votes).count(1) - list(votes).count(2)) / len(votes)
        strength = counted if strength is None else strength
        if abs(_number(strength, "strength", where) - counted) > 1e-3:
            raise DataError(
                f"{where}: votes {list(votes)} make a strength of {counted:.4g}, and the record says {strength}"
            )
    found = _number(strength, "strength", where)
    if not -1 <= found <= 1:
        raise DataError(f"{where}: strength must lie in [-1, 1] (1: all prefer a), got {found:g}")
    said = tuple(_response(held[name], where) for name in ("a", "b"))
    same = said[0] == said[1] and found != 0
    found = 0.0 if same else found
    labels = ((1 + found) / 2, (1 - found) / 2)
    return Judged(_id(held, where), _prompt(held, where), said, ("a", "b"), labels, None, same)


def _one(held: Mapping[str, Any], where: str) -> Judged:
    label = held["label"]
    value = float(label) if isinstance(label, bool) else _number(label, "label", where)
    return Judged(_id(held, where), _prompt(held, where), (_response(held["completion"], where),), ("0",), (value,))


def _id(held: Mapping[str, Any], where: str) -> str:
    found = next((str(held[name]) for name in IDS if name in held), "")
    return found and _word(found, "a prompt", where, query_fault)


def _word(found: Any, what: str, where: str, wrong_with: Callable[[str], str] = fault) -> str:
    """An id as runs hold it: names of systems have blanks, which become ``_``."""
    name = "_".join(str(found).split())
    if wrong := wrong_with(name):
        raise DataError(f"{where}: the id of {what} {wrong}, got {shown(str(found))}")
    return name


def _prompt(held: Mapping[str, Any], where: str) -> Said:
    found = next((held[name] for name in PROMPTS if name in held), None)
    if isinstance(found, str):
        return found
    messages = messages_of(found, where, "prompt")
    if messages[-1]["role"] != "user":
        raise DataError(f"{where}: the last message of a prompt must be the user's, got role {messages[-1]['role']!r}")
    return messages


def _response(found: Any, where: str) -> Said:
    if isinstance(found, str):  # an empty one was judged too, and its end mark is a token
        return found
    messages = messages_of(found, where, "response", first="assistant")
    if messages[-1]["role"] != "assistant":
        raise DataError(
            f"{where}: the last message of a response must be the assistant's, got {messages[-1]['role']!r}"
        )
    return messages


def messages_of(found: Any, where: str, what: str, first: str = "user") -> tuple[dict[str, str], ...]:
    """Messages of a chat whose roles take turns: system first if at all, then user and assistant.

    Raises:
        DataError: no list of messages, an empty one, roles out of order.
    """
    if not isinstance(found, Sequence) or isinstance(found, (str, bytes)) or not len(found):
        quoted = "; put numbers, true and false in quotes" if isinstance(found, (bool, int, float)) else ""
        raise DataError(f"{where}: the {what} must be a text or a list of messages, got {found!r:.60}{quoted}")
    for one in found:
        if (
            not isinstance(one, Mapping)
            or not isinstance(one.get("content"), str)
            or not isinstance(one.get("role"), str)
        ):
            raise DataError(f'{where}: a message is {{"role": …, "content": …}} with texts, got {one!r:.60}')
        _check_read(one, WITHIN, where, f"a message of the {what}")
        if not one["content"].strip():
            raise DataError(f"{where}: a message of the {what} is empty (role {one['role']!r})")
    roles = [one["role"] for one in found]
    turns = roles[1:] if roles[0] == "system" and first == "user" else roles
    other = {"user": "assistant", "assistant": "user"}
    expected = [first if i % 2 == 0 else other[first] for i in range(len(turns))]
    if turns != expected or not turns:
        raise DataError(
            f"{where}: roles of the {what} must take turns, {first} first (a system message may stand before a prompt), got "
            f"{', '.join(roles)}"
        )
    return tuple({"role": one["role"], "content": one["content"]} for one in found)


def _holds_prompt(response: Any) -> bool:
    """Whether a response is messages that begin with the prompt's."""
    several = isinstance(response, Sequence) and not isinstance(response, str) and len(response) > 1
    return several and isinstance(response[0], Mapping) and response[0].get("role") in ("system", "user")


def _without(prompt: Said, response: Any) -> Any:
    """A response without the prompt, which some files repeat before it."""
    if isinstance(prompt, tuple) and isinstance(response, Sequence) and not isinstance(response, str):
        n = len(prompt)
        return response[n:] if len(response) > n and [dict(m) for m in response[:n]] == list(prompt) else response
    return response


def _split(chosen: Any, rejected: Any, where: str) -> tuple[Said, Any, Any]:
    """Prompt and both responses of a pair that repeats its prompt in both: messages, or dialogues as texts."""
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise DataError(f"{where}: chosen and rejected must both be texts or both lists of messages")
    n = next(
        (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected))
    )
    if isinstance(chosen, str):
        mark = "\n\nAssistant:"
        at = chosen.rfind(mark, 0, n + len(mark))
        if at < 0 or not rejected.startswith(chosen[: at + len(mark)]):
            raise DataError(
                f'{where}: chosen and rejected share no dialogue up to "Assistant:"; give the prompt by itself'
            )
        at += len(mark)
        return chosen[:at], chosen[at:], rejected[at:]
    n = min(n, len(chosen) - 1, len(rejected) - 1)
    if n < 1:
        raise DataError(
            f"{where}: chosen and rejected share no messages before the responses; give the prompt by itself"
        )
    return _prompt({"prompt": chosen[:n]}, where), chosen[n:], rejected[n:]


def _number(value: Any, what: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DataError(f"{where}: {what} must be a finite number, got {value!r}")
    if abs(value) > LARGEST:
        raise DataError(
            f"{where}: {what} must not be beyond {LARGEST:.2g}, the largest number of float32, got {value:g}"
        )
    return float(value)
