"""What two texts have in common that say the same."""

from __future__ import annotations

import re


def same_text(text: str) -> str:
    """What texts have in common that differ in case, spaces and punctuation alone.

    >>> same_text("Join two   paths?")
    'join two paths'
    """
    return " ".join(re.findall(r"\w+", text.lower()))
