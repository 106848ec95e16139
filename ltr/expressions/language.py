"""From one form of a value to another: text, mapping, object."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import yaml

from ltr.errors import ConfigError
from ltr.expressions.calls import Call
from ltr.expressions.reading import Reader
from ltr.expressions.settling import Labels, settled, waits
from ltr.expressions.syntax import is_expression
from ltr.expressions.writing import as_call, as_mapping, as_text, built, completed
from ltr.io.lines import plain


def value_of(
    source: str | Mapping[str, Any], packages: Collection[str] | None = (), labels: Labels | None = None
) -> Any:
    """The object that an expression or a mapping describes.

    Args:
        source: such as ``"Sigmoid(center=2) + 0.1 * Identity()"``, ``"Matching(Exp.focus(range=(1, 3)))"`` or
            ``{"class_path": "ListNet"}``; values inside a mapping may be expressions.
        packages: from which a dotted name (``mypkg.Mine(alpha=2)``) may be imported; None for any, which is for text
            that the user wrote. What a file says that came from elsewhere may not choose imports.
        labels: gives the training labels, where a link may take its range from them: ``"Matching(Exp.focus(top=0.2))"``.

    Raises:
        ConfigError: another expression, an unknown name (with the nearest known one), or arguments that do not fit.
    """
    call = Reader(packages).read(source)
    return built(call if labels is None else settled(call, labels))


def sample_of(source: str | Mapping[str, Any], packages: Collection[str] | None = ()) -> Any:
    """``value_of`` where nobody has the training labels yet, for checks: links that wait for them have a range of 0 to 1.

    Raises:
        ConfigError: as ``value_of``; also where no labels could give a link its range.
    """
    return built(settled(Reader(packages).read(source), None))


def mapping_of(source: str | Mapping[str, Any], packages: Collection[str] | None = ()) -> Any:
    """``class_path`` and ``init_args`` as configurations write them; nothing is built.

    Args:
        source: an expression, or a mapping whose values may be expressions.
        packages: see ``value_of``.

    Raises:
        ConfigError: see ``value_of``.

    >>> mapping_of("LabelSoftmax(0.5)")
    {'class_path': 'ltr.losses.LabelSoftmax', 'init_args': {'temperature': 0.5}}
    """
    return as_mapping(Reader(packages).read(source))


def settled_mapping(source: Mapping[str, Any], labels: Labels) -> Any:
    """A configuration's mapping with links of known centre and width where some wait for the training labels.

    Args:
        source: ``class_path`` and ``init_args``, which the user wrote.
        labels: gives the training labels; called only where a link waits for them.

    Raises:
        ConfigError: see ``settled``.
    """
    call = Reader(None).read(source)
    return as_mapping(completed(settled(call, labels))) if waits(call) else source


def text_of(value: Any, packages: Collection[str] | None = (), explicit: bool = False) -> str:
    """The expression of an object or a mapping, which ``value_of`` reads back.

    Required arguments stand first and without their names, defaults are left out, classes from outside have their
    modules before them.

    Args:
        value: a link, loss, target or whatever else keeps its arguments under their names; or a mapping.
        packages: see ``value_of``.
        explicit: of an object, what its ``repr`` shows: all arguments of losses and targets by their names; for records,
            which outlive defaults.

    Raises:
        ConfigError: an object that does not keep an argument under its name, or a value that no expression can say.

    >>> text_of({"class_path": "Matching", "init_args": {"link": "2 * Exp(width=1.5)"}})
    'Matching(2 * Exp(width=1.5))'
    """
    call = Reader(packages).read(value) if isinstance(value, Mapping) else as_call(value, explicit)
    return as_text(call, named=explicit)


def expanded(value: Any, failed: list[tuple[str, ConfigError]], packages: Collection[str] | None = None) -> Any:
    """A copy of a configuration with mappings in place of the expressions in it, for parsers that know mappings alone.

    Defaults are written out: such parsers merge a mapping with what stood there before, so that ``ListNet()`` would keep
    the targets of the loss that it replaces.

    A text that has the form of an expression and is none stays: it may be the name of a file. Where the parser then
    stumbles over it, the reason stands in ``failed``.

    Args:
        value: plain values: mappings, lists, texts, numbers.
        failed: gets each such text and what is wrong with it.
        packages: see ``value_of``.
    """
    if isinstance(value, Mapping):
        return {key: expanded(one, failed, packages) for key, one in value.items()}
    if isinstance(value, list):
        return [expanded(one, failed, packages) for one in value]
    if not isinstance(value, str) or not is_expression(value):
        return value
    try:
        return as_mapping(completed(Reader(packages).read(value)))
    except ConfigError as error:
        failed.append((value, error))
        return value


def defaults_of(made: type) -> dict[str, Any]:
    """What a class takes for the arguments that need not be given, as configurations write it.

    >>> from ltr.losses import LabelSoftmax
    >>> defaults_of(LabelSoftmax)
    {'temperature': 1.0}
    """
    return as_mapping(completed(Call(made, {}))).get("init_args", {})


def read(text: str) -> str | Mapping[str, Any]:
    """What a command line says for ``value_of``: an expression, or a mapping as YAML writes it on one line.

    >>> read("{class_path: Exp}"), read("Exp()")
    ({'class_path': 'Exp'}, 'Exp()')
    """
    try:
        value = plain(text) if text.lstrip().startswith("{") else text
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{text!r} starts as a mapping and is none in YAML: {' '.join(str(error).split())}"
        ) from error
    return value if isinstance(value, Mapping) else text
