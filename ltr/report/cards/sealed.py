"""Telling a card that ltr wrote from one that somebody edited: the text's digest stands in its last line."""

from __future__ import annotations

import re
from pathlib import Path

from ltr.io.caching.keys import key_of
from ltr.io.files import replacing

CARD = "README.md"
_SEAL = "<!-- written by ltr; it writes this card anew as long as nobody edits it. Seal: {} -->"
_SEALED = re.compile(rf"(?s)(.*?)\n?{re.escape(_SEAL).replace(re.escape('{}'), '([0-9a-f]{16})')}\s*")


def sealed(text: str) -> str:
    """A card's text with the line behind it by which ``is_own`` knows it again."""
    text = text.rstrip("\n") + "\n"
    return f"{text}\n{_SEAL.format(key_of(text))}\n"


def without_seal(text: str) -> str:
    """A card's text without the line by which ``is_own`` knows it."""
    found = _SEALED.fullmatch(text)
    return text if found is None else found[1]


def is_own(text: str) -> bool:
    """Whether somebody wrote or edited a card: it lacks the seal, or is not the text that was sealed.

    >>> is_own(sealed("# a model")), is_own(sealed("# a model").replace("model", "dream")), is_own("# mine")
    (False, True, True)
    """
    found = _SEALED.fullmatch(text)
    return found is None or key_of(found[1]) != found[2]


def own_card(folder: Path) -> bytes | None:
    """The card in a model's folder that somebody wrote or edited, byte by byte; None where there is none, or only ltr's."""
    path = folder / CARD
    if not path.is_file():
        return None
    content = path.read_bytes()
    try:
        return content if is_own(content.decode("utf-8")) else None
    except UnicodeDecodeError:
        return content


def write_card(folder: Path, text: str) -> bool:
    """Write a card, sealed, into a model's folder; False, and nothing is done, where somebody's own stands there."""
    if own_card(folder) is not None:
        return False
    with replacing(folder / CARD) as file:
        file.write(sealed(text))
    return True
