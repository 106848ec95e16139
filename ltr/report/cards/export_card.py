"""The card of an export: what was made of which model, how near it is to it, and that model's own card below."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ltr.report.cards.model_card import head, is_hub_id
from ltr.report.cards.sealed import CARD, own_card, sealed, without_seal

#: a card's head, and what stands behind it
_HEAD = re.compile(r"(?s)---\n(.*?)\n---\n(.*)")
#: what an export has no more: the picture stands beside the other card, and examples open the other folder
_PICTURE = re.compile(r"(?s)!\[[^\]]*\]\([^)]*\)\n\n\*.*?\*\n\n")
_USE = re.compile(r"(?s)\n## Use\n.*?(?=\n## |\Z)")


def export_card(
    model: str, output: str | Path, kind: str, facts: Mapping[str, Any], figures: str, usage: Sequence[str]
) -> bytes:
    """A card to be written beside an export; somebody's own, where one stands there already.

    Args:
        model: folder or hub id of the model that it was made from.
        output: the export's folder.
        kind: what was made, in words.
        facts: for the head; they stand above what the model's own card says.
        figures: the check, as it was printed.
        usage: how it is opened, as Markdown.
    """
    own = own_card(Path(output))
    if own is not None:
        return own
    place = Path(model, CARD)
    known, body = _taken_apart(place.read_text(encoding="utf-8")) if place.is_file() else ({}, "")
    base = {"base_model": model} if is_hub_id(model) else {}
    tags = list(dict.fromkeys([*known.get("tags", []), *facts.get("tags", [])]))
    from_what = f"`{model}`" if base else f"a folder named `{Path(model).name}`"
    parts = [
        head({**known, **base, **facts, "tags": tags}),
        f"# {Path(output).resolve().name}",
        f"{kind}, made by `ltr export` from {from_what}.",
        f"```text\n{figures}\n```",
        *usage,
    ]
    if body:
        parts += ["# The model that it was made from", re.sub(r"(?m)^# .*\n+", "", body, count=1).strip()]
    return sealed("\n\n".join(parts)).encode()


def _taken_apart(text: str) -> tuple[dict[str, Any], str]:
    """What the head of a card says, and the text behind it without seal, picture and examples."""
    found = _HEAD.fullmatch(without_seal(text))
    if found is None:
        return {}, without_seal(text)
    try:
        known = yaml.safe_load(found[1])
    except yaml.YAMLError:  # somebody's own: it is theirs to mend, and nothing here depends on it
        known = {}
    return known if isinstance(known, dict) else {}, _USE.sub("", _PICTURE.sub("", found[2]))
