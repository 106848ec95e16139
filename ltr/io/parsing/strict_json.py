"""JSON that somebody else wrote: no key stands twice, whatever is wrong is one kind of error."""

from __future__ import annotations

import json
from typing import Any


def from_json(text: str) -> Any:
    """The value of a JSON text.

    Of a key that stands twice in an object other readers keep one value and drop the other without a word.

    Raises:
        ValueError: it is no JSON, holds a key twice, or what Python does not take: numbers of thousands of digits,
            brackets within brackets within brackets.

    >>> from_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the key 'a' stands there twice
    """
    try:
        return _decode(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return held


# made once: json.loads would make one for each text, which costs more than the hook
_decode = json.JSONDecoder(object_pairs_hook=_once).decode
