"""Keys: hexadecimal digits that name settings or texts, and change whenever these do. Large files have ``digests``.

Names of files need not be UTF-8: Python tells their bytes by lone surrogates.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def key_of(text: str, digits: int = 16) -> str:
    """Digits of SHA-256 that stand for a text, such as settings written out.

    >>> key_of("abc")
    'ba7816bf8f01cfea'
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def key_of_facts(facts: Any, digits: int = 16) -> str:
    """``key_of`` for what JSON can write, whatever the order of its mappings.

    >>> key_of_facts({"a": 1, "b": [2]}) == key_of_facts({"b": [2], "a": 1})
    True
    """
    return key_of(json.dumps(facts, sort_keys=True), digits)


def key_of_parts(*parts: str, size: int = 8) -> str:
    """Digits of BLAKE2b, two for each byte of ``size``, that stand for texts in their order and where each of them ends.

    >>> key_of_parts("ab", "c") == key_of_parts("a", "bc")
    False
    """
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
