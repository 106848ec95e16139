"""What the configuration parser complains of, said so that one can act on it."""

from __future__ import annotations

import re

from ltr.io.names import suggestion

#: what the parser says of types that a value was not meant for
_OTHER_TYPES = re.compile(r"Expected a |Import path \S+ does not correspond")


def explain(message: str) -> str:
    """A parser's message with the nearest known name, where it stumbled over the name of a loss, link or target."""
    found = re.search(r"(?:given class_path|import path string:) '?([\w.]+)'?", message)
    if not found:
        return _to_the_point(message)
    import ltr.links
    import ltr.losses
    import ltr.scorers

    name = found[1].rpartition(".")[2]
    known = [*ltr.losses.__all__, *ltr.links.__all__, *ltr.scorers.__all__]
    return message if name in known else f"unknown class {found[1]!r}; {suggestion(name, known)}\n{message}"


def _to_the_point(message: str) -> str:
    """What the type that was meant says, out of the parser's report on all types that a value may have."""
    said = [s for s in re.findall(r"^ *- (.*)$", message, re.MULTILINE) if not _OTHER_TYPES.match(s)]
    if "Union subtypes" not in message or not said:
        return message
    key = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    return (f"{key}: " if key else "") + "; ".join(dict.fromkeys(said))
