"""What the configuration parser and Lightning complain of, said so that one can act on it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable

from lightning_fabric.utilities.exceptions import MisconfigurationException

from ltr.expressions import known_names
from ltr.io.names import suggestion

#: what the parser says of types that a value was not meant for
_OTHER_TYPES = re.compile(r"Expected a |Import path \S+ does not correspond")
#: packages whose code refuses settings of the trainer
_LIGHTNING = ("pytorch_lightning.", "lightning_fabric.")
#: what Lightning says -> what to do about it
_REMEDIES = {
    "No supported gpu backend found": " Leave trainer.accelerator at auto, or take cpu",
    "that has no logger": "; give one, such as trainer.logger=CSVLogger",
    "`enable_checkpointing=False`": "; run keeps the best and the last model itself, so leave the callback out",
}


def explain(message: str) -> str:
    """A parser's message as one sentence: the setting, what is wrong with it, and the nearest known name."""
    key = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    where = f"{key}: " if key else ""
    unknown = re.search(r"(?:given class_path|import path string:) '?([\w.]+)'?:?\s*(.*)", message)
    if unknown:
        name, reason = unknown[1], unknown[2].strip()
        home, _, last = name.rpartition(".")
        known = _names(key)
        if reason.startswith("No module named"):  # then no name in it can be meant
            return f"{where}{reason}: there is no {name!r}; is it in the current folder, or installed?"
        if last not in known:
            return (
                f"{where}unknown class {name!r}{f' ({reason})' if home and reason else ''}; {suggestion(last, known)}"
            )
    wrong = re.findall(r"Import path (\S+) does not correspond to a subclass of (\w+)", message)
    if wrong and not _meant(message):
        bases = " and no ".join(dict.fromkeys(base for _, base in wrong))
        return f"{where}{wrong[0][0].rpartition('.')[2]} is no {bases}"
    given = re.search(r"Given value: (.*)", message)
    if given and "Union subtypes" in message and not _meant(message):
        return f"{where}must be {_types(message)}, got {given[1]!r}"
    return _to_the_point(message, where)


def refused_by_lightning(error: Exception) -> str | None:
    """What Lightning says of a setting that it refuses, as one line; None for errors that do not come from its code."""
    if not isinstance(error, (MisconfigurationException, ValueError, TypeError)):
        return None
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not modules or not modules[-1].startswith(_LIGHTNING):
        return None
    said = " ".join(str(error).split())
    remedy = next((remedy for text, remedy in _REMEDIES.items() if text in said), "")
    return said.rstrip(".") + remedy


def _names(key: str) -> list[str]:
    """What a setting may name: classes of Lightning for its trainer, else those of ltr."""
    if not key.startswith("trainer"):
        return list(known_names())
    from pytorch_lightning import callbacks, loggers, strategies

    return [*callbacks.__all__, *loggers.__all__, *strategies.__all__]


def _meant(message: str) -> list[str]:
    """What the type that was meant says, out of the parser's report on all types that a value may have."""
    said = re.findall(r"^ *- (.*)$", message, re.MULTILINE)
    return [s for s in said if not _OTHER_TYPES.match(s) and "Parser key" not in s and "Does not validate" not in s]


def _types(message: str) -> str:
    """The types that a value may have, as one would say them."""
    subtypes = re.findall(r"Expected a (typing\.Literal\[.*?\]|<class '\w+'>|\S+)", message)
    words: list[str] = []
    for kind in subtypes:
        if kind.startswith("typing.Literal"):
            words += [word.strip("' ") for word in kind[len("typing.Literal[") : -1].split(",")]
        elif kind.startswith("<class"):
            words.append(
                {"NoneType": "null", "int": "a whole number", "float": "a number"}.get(name := kind[8:-2], name)
            )
    # typing hands out Union[float, int] for Union[int, float] once the former was made: the report's order is chance
    place = {"a whole number": 1, "a number": 2, "null": 3}
    return _either(sorted(dict.fromkeys(words), key=lambda word: place.get(word, 0)))


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _to_the_point(message: str, where: str) -> str:
    said = _meant(message)
    if "Union subtypes" in message and said:
        return where + "; ".join(dict.fromkeys(said))
    plain = [line.strip().removeprefix("- ") for line in message.splitlines()]
    # of a class that is known, what is behind the colon counts
    kept = [
        line
        for line in plain
        if line and not re.match(r'Parser key "|Expected a path but|Problem with given.*:$', line)
    ]
    point = "; ".join(kept) or message
    # a part was explained already, by its own name: model.loss: transform: ... becomes model.loss.transform: ...
    return (f"{where[:-2]}." if where and re.match(r"[a-z_]+(\.[a-z_]+)*: ", point) else where) + point
