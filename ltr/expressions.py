"""One language for values: expressions such as ``Matching(Sigmoid(center=2))`` and mappings with ``class_path``.

What YAML says as ``class_path`` and ``init_args`` an expression says in one line; each is accepted where the other is.
Expressions are Python as links and losses print it, read without handing the text to Python: calls of classes with
literal arguments, ``focus``, ``+`` and ``*``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, NoReturn

import yaml

from ltr.errors import ConfigError, LtrError
from ltr.io.declarations import exported
from ltr.io.imports import imported
from ltr.io.names import suggestion

#: packages whose public classes go by their short names
PACKAGES = ("ltr.links", "ltr.losses", "ltr.scorers", "ltr.data")
#: their public classes that are bases, or no settings of anything
OTHERS = {
    "Link",
    "ShapedLink",
    "Loss",
    "PairLoss",
    "PairWeights",
    "Targets",
    "Laws",
    "Scorer",
    "FeatureScorer",
    "FeatureSettings",
    "ModelSettings",
    "Collection",
    "TokenStore",
}
#: where a class of the user's own must have a base: whatever else lies in a module is none of our business
BASES = ("ltr", "torch", "pytorch_lightning")


def known_names(*packages: str) -> dict[str, str]:
    """Classes that go by their short names -> the package that exports them; nothing is imported.

    Args:
        packages: of these; default: all of ``PACKAGES``.
    """
    return {name: home for home in packages or PACKAGES for name in exported(home) if name not in OTHERS}


def value_of(source: str | Mapping[str, Any], packages: Collection[str] | None = ()) -> Any:
    """The object that an expression or a mapping describes.

    Args:
        source: such as ``"Sigmoid(center=2) + 0.1 * Identity()"``, ``"Matching(Exp.focus(range=(1, 3)))"`` or
            ``{"class_path": "ListNet"}``; values inside a mapping may be expressions.
        packages: from which a dotted name (``mypkg.Mine(alpha=2)``) may be imported; None for any, which is for text
            that the user wrote. What a file says that came from elsewhere may not choose imports.

    Raises:
        ConfigError: another expression, an unknown name (with the nearest known one), or arguments that do not fit.
    """
    return _built(_Reader(packages).read(source))


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
    return _plain(_Reader(packages).read(source))


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
    call = _Reader(packages).read(value) if isinstance(value, Mapping) else _described(value, explicit)
    return _written(call, named=explicit)


def expanded(value: Any, failed: list[tuple[str, ConfigError]], packages: Collection[str] | None = None) -> Any:
    """A copy of a configuration with mappings in place of the expressions in it, for parsers that know mappings alone.

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
        return mapping_of(value, packages)
    except ConfigError as error:
        failed.append((value, error))
        return value


def read(text: str) -> str | Mapping[str, Any]:
    """What a command line says for ``value_of``: an expression, or a mapping as YAML writes it on one line.

    >>> read("{class_path: Exp}"), read("Exp()")
    ({'class_path': 'Exp'}, 'Exp()')
    """
    try:
        value = yaml.safe_load(text) if text.lstrip().startswith("{") else text
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{text!r} starts as a mapping and is none in YAML: {' '.join(str(error).split())}"
        ) from error
    return value if isinstance(value, Mapping) else text


def is_mapping(value: Any) -> bool:
    """Whether a value describes an object by ``class_path``."""
    return isinstance(value, Mapping) and "class_path" in value


def is_expression(text: str) -> bool:
    """Whether a text has the form of an expression: a call of a class, or a sum or multiple of some.

    >>> is_expression("0.5 * Exp()"), is_expression("mypkg.Mine()"), is_expression("Exp"), is_expression("train (1)")
    (True, True, False, False)
    """
    try:
        terms = list(_terms(_tree(text))) if "(" in text else []
    except ConfigError:
        return False
    names = [_dotted(term.func) or "" for term in terms if isinstance(term, ast.Call)]
    return any("." in name or name[:1].isupper() for name in names)


def called_in(text: str) -> list[str]:
    """The classes that an expression calls, as it names them; nothing is imported.

    >>> called_in("Matching(2 * mypkg.Steep() + Exp.focus(range=(0, 1)))")
    ['Matching', 'mypkg.Steep', 'Exp']
    """
    calls = [node for node in ast.walk(_tree(text)) if isinstance(node, ast.Call)]
    calls.sort(key=lambda node: (node.lineno, node.col_offset))
    return [name.removesuffix(".focus") for node in calls if (name := _dotted(node.func)) is not None]


def packages_in(text: str) -> set[str]:
    """The packages that the dotted names of an expression come from.

    >>> sorted(packages_in("mypkg.losses.Mine(link=Numeric('shapes:steep'))"))
    ['mypkg', 'shapes']
    """
    packages = set()
    for node in ast.walk(_tree(text)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if "." in name:
                packages.add(name.partition(".")[0])
            if name == "Numeric":
                packages |= {
                    _package(c.value)
                    for c in ast.walk(node)
                    if isinstance(c, ast.Constant) and isinstance(c.value, str)
                }
    return packages


@dataclass(frozen=True)
class _Call:
    """A class with arguments, neither imported from text again nor built yet."""

    made: type
    arguments: dict[str, Any]


@dataclass(frozen=True)
class _Hole:
    """``{name}``: where a search puts a value."""

    name: str


class _Reader:
    """From text and mappings to calls."""

    def __init__(self, packages: Collection[str] | None):
        self.packages = packages
        self.text = ""

    def read(self, source: Any) -> Any:
        """Of an expression or a mapping; other values are what they are."""
        if isinstance(source, str):
            before, self.text = self.text, source
            value = self._node(_tree(source))
            self.text = before
            return value
        if is_mapping(source):
            return self._mapping(source)
        raise ConfigError(f"an expression such as ListNet(), or class_path and init_args are needed, got {source!r}")

    # ------------------------------------------------------------------ mappings

    def _mapping(self, source: Mapping[str, Any]) -> _Call:
        for key in source:
            if key not in ("class_path", "init_args"):
                raise ConfigError(f"beside class_path stands init_args, got {key!r}")
        name, arguments = source["class_path"], source.get("init_args") or {}
        if not isinstance(name, str) or not isinstance(arguments, Mapping):
            raise ConfigError(f"class_path is a name and init_args is a mapping, got {name!r} and {arguments!r}")
        made = self._class(name)
        self._check(made, name, (), arguments)
        return self._allowed(_Call(made, {str(key): self._inside(value) for key, value in arguments.items()}))

    def _inside(self, value: Any) -> Any:
        if isinstance(value, str):
            hole = _is_hole(value)
            return hole or (self.read(value) if is_expression(value) else value)
        if is_mapping(value):
            return self._mapping(value)
        if isinstance(value, Mapping):
            # {name} without quotes is a mapping from that name to nothing in YAML
            hole = _is_hole(f"{{{next(iter(value))}}}") if list(value.values()) == [None] else None
            return hole or {key: self._inside(one) for key, one in value.items()}
        return [self._inside(one) for one in value] if isinstance(value, (list, tuple)) else value

    # ------------------------------------------------------------------ expressions

    def fail(self, node: ast.expr, said: str) -> NoReturn:
        where = ""
        if self.text:
            # ast counts bytes
            column = len(_line(self.text).encode()[: node.col_offset].decode()) + 1
            where = f"expression {self.text.strip()!r}, character {column}: "
        raise ConfigError(f"{where}{said}")

    def _node(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, bool, type(None))):
            return node.value
        if isinstance(node, (ast.List, ast.Tuple)):
            return [self._node(item) for item in node.elts]
        if isinstance(node, ast.Dict) and all(_is_text(key) for key in node.keys):
            pairs = zip(node.keys, node.values, strict=True)
            return {key.value: self._node(value) for key, value in pairs}  # type: ignore[union-attr]
        if isinstance(node, ast.Set) and len(node.elts) == 1 and isinstance(node.elts[0], ast.Name):
            return _Hole(node.elts[0].id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return self._signed(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
            return self._joined(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Name) and node.id == "inf":
            return math.inf
        name = _dotted(node)
        if name is not None:
            self._class(name, node)
            self.fail(node, f"write {name}(...), with parentheses")
        self.fail(node, f"only links and losses with literal arguments, + and * are read, got {ast.unparse(node)!r}")

    def _signed(self, node: ast.UnaryOp) -> Any:
        value = self._node(node.operand)
        if not _is_number(value):
            self.fail(node, f"a sign belongs before a number, got {ast.unparse(node)!r}")
        return -value if isinstance(node.op, ast.USub) else value

    def _joined(self, node: ast.BinOp) -> _Call:
        from ltr.links import Link, Scaled, Sum

        sides = self._node(node.left), self._node(node.right)
        links = [v for v in sides if isinstance(v, _Call) and issubclass(v.made, Link)]
        if isinstance(node.op, ast.Add):
            if len(links) < 2:
                self.fail(node, f"+ adds links, got {ast.unparse(node)!r}")
            return _Call(Sum, {"parts": [q for p in links for q in (p.arguments["parts"] if p.made is Sum else [p])]})
        factor = next((v for v in sides if _is_number(v) or isinstance(v, _Hole)), None)
        if len(links) != 1 or factor is None:
            self.fail(node, f"* multiplies a link by a number, got {ast.unparse(node)!r}")
        return _Call(Scaled, {"link": links[0], "factor": factor})

    def _call(self, node: ast.Call) -> _Call:
        name, of = _dotted(node.func), node.func
        focus = isinstance(of, ast.Attribute) and of.attr == "focus"
        name = _dotted(of.value) if isinstance(of, ast.Attribute) and focus else name
        if name is None or any(keyword.arg is None for keyword in node.keywords):
            self.fail(node, f"{ast.unparse(node)!r} is not a known link or loss")
        made = self._class(name, of)
        given = [self._node(a) for a in node.args]
        named = {str(keyword.arg): self._node(keyword.value) for keyword in node.keywords}
        if focus:
            return self._focused(made, node, given, named)
        return self._allowed(_Call(made, self._check(made, name, given, named, node)))

    def _focused(self, made: type, node: ast.Call, given: list[Any], named: dict[str, Any]) -> _Call:
        focus = getattr(made, "focus", None)
        if focus is None:
            self.fail(node, f"{ast.unparse(node)!r} is not a known link or loss")
        values = self._check(focus, ast.unparse(node.func), given, named, node)
        return _described(focus(**{key: _built(value) for key, value in values.items()}))

    def _check(
        self, made: Any, name: str, given: Sequence[Any], named: Mapping[str, Any], node: ast.Call | None = None
    ) -> dict[str, Any]:
        """The arguments by their names, refused where the constructor does not take them."""
        signature = inspect.signature(made)
        parameters = signature.parameters.values()
        takes = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        shown = f"it is {name}({_parameters(signature)})"
        wrong = next((key for key in named if key not in takes), None)
        if wrong is not None and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            place = next((k.value for k in node.keywords if k.arg == wrong), node) if node else ast.Constant(0)
            near = suggestion(wrong, takes)
            self.fail(place, f"{name} takes no {wrong!r}; {near if near.startswith('did you mean') else shown}")
        try:
            bound = signature.bind(*given, **named)
        except TypeError as error:
            self.fail(node or ast.Constant(0), f"{error}; {shown}")
        arguments = dict(bound.arguments)
        for p in parameters:
            if p.kind is p.VAR_KEYWORD:
                arguments.update(arguments.pop(p.name, {}))
            if p.kind is p.VAR_POSITIONAL and p.name in arguments:
                self.fail(node or ast.Constant(0), f"arguments of {name} need their names; {shown}")
        return arguments

    def _allowed(self, call: _Call) -> _Call:
        """The call, unless it is a numeric link whose function may not be imported."""
        function = call.arguments.get("function")
        if call.made.__name__ == "Numeric" and isinstance(function, str):
            _check_package(function, ("torch", *self.packages) if self.packages is not None else None)
        return call

    def _class(self, name: str, node: ast.expr | None = None) -> type:
        try:
            return class_of(name, self.packages)
        except ConfigError as error:
            if node is None:
                raise
            self.fail(node, str(error))


def class_of(name: str, packages: Collection[str] | None = ()) -> type:
    """The class of a name, short or with its modules.

    Args:
        name: such as ``Sigmoid``, ``ltr.links.Sigmoid`` or ``mypkg.Mine``.
        packages: see ``value_of``.

    Raises:
        ConfigError: with the reason: no such module or name (and the nearest known one), no class that could be meant.
    """
    known = known_names()
    if name in known:
        return getattr(importlib.import_module(known[name]), name)
    if "." not in name:
        near = known_names("ltr.links", "ltr.losses")
        near = near if suggestion(name, near).startswith("did you mean") else known
        raise ConfigError(f"no link or loss {name!r}; {suggestion(name, near)}")
    _check_package(name, ("ltr", *packages) if packages is not None else None)
    cls = imported(name, known)
    if not inspect.isclass(cls):
        raise ConfigError(f"{name} must be a class, got the {type(cls).__name__}")
    bases = [base.__module__.partition(".")[0] for base in cls.__mro__[:-1]]
    if not (set(bases) & set(BASES) or is_dataclass(cls)):
        raise ConfigError(f"{name} derives from no class of ltr, such as ltr.losses.Loss or ltr.links.Link")
    return cls


# ---------------------------------------------------------------------- from calls to objects, mappings, text


def _built(value: Any) -> Any:
    if isinstance(value, _Hole):
        raise ConfigError(f"{{{value.name}}} stands for a value that a search gives, which there is none of here")
    if isinstance(value, (list, tuple)):
        return type(value)(_built(one) for one in value)
    if isinstance(value, dict):
        return {key: _built(one) for key, one in value.items()}
    if not isinstance(value, _Call):
        return value
    arguments = {key: _built(one) for key, one in value.arguments.items()}
    try:
        return value.made(**arguments)
    except LtrError:
        raise
    except Exception as error:  # a class of the user's own may raise whatever it likes
        raise ConfigError(f"{_written(value)} cannot be made: {type(error).__name__}: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, _Hole):
        return f"{{{value.name}}}"
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if not isinstance(value, _Call):
        return value
    arguments = {key: _plain(one) for key, one in value.arguments.items()}
    return {"class_path": _path(value.made), **({"init_args": arguments} if arguments else {})}


def _written(value: Any, named: bool = False) -> str:
    from ltr.links import Scaled, Sum

    def inside(one: Any) -> str:
        return _written(one, named)

    if isinstance(value, _Hole):
        return f"{{{value.name}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(inside, value))}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{', '.join(map(inside, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {inside(one)}' for key, one in value.items())}}}"
    if not isinstance(value, _Call):
        return repr(value)
    parts = value.arguments.get("parts")
    if value.made is Sum and isinstance(parts, (list, tuple)) and len(parts) > 1:
        return " + ".join(map(inside, parts))
    if value.made is Scaled:
        link, factor = value.arguments["link"], value.arguments["factor"]
        several = isinstance(link, _Call) and link.made is Sum and len(link.arguments["parts"]) > 1
        return f"{inside(factor)} * {f'({inside(link)})' if several else inside(link)}"
    shown, bare = [], not named
    rest = {key: inside(one) for key, one in value.arguments.items()}
    for p in inspect.signature(value.made).parameters.values():
        bare = bare and p.name in rest and p.default is p.empty and p.kind is not p.KEYWORD_ONLY
        if p.name in rest:
            text = rest.pop(p.name)
            shown.append(text if bare else f"{p.name}={text}")
    shown += [f"{key}={text}" for key, text in rest.items()]
    return f"{_path(value.made, short=True)}({', '.join(shown)})"


def _described(value: Any, explicit: bool = False) -> Any:
    """The call that makes an object again, with the arguments that differ from their defaults, or that ``repr`` shows."""
    from ltr.links import Link

    if isinstance(value, (list, tuple)):
        return type(value)(_described(one, explicit) for one in value)
    if isinstance(value, dict):
        return {key: _described(one, explicit) for key, one in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    made = type(value)
    arguments: dict[str, Any] = {}
    try:
        parameters = inspect.signature(made).parameters.values()
    except ValueError as error:  # of Python's own types
        raise ConfigError(
            f"a {made.__name__} cannot be written down; take numbers, texts, lists, or classes that keep their arguments"
        ) from error
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            if getattr(value, p.name, ()):
                raise ConfigError(f"{_path(made)} cannot be written down: {p} have no names; let __init__ take a list")
            continue
        if p.kind is p.VAR_KEYWORD:
            kept = getattr(value, p.name, {})
            arguments |= (
                {key: _described(one, explicit) for key, one in kept.items()} if isinstance(kept, Mapping) else {}
            )
            continue
        if not hasattr(value, p.name):
            raise ConfigError(
                f"{_path(made)} cannot be written down: it keeps no {p.name!r}; let __init__ set self.{p.name} to what "
                "it was given"
            )
        kept = _described(getattr(value, p.name), explicit)
        shown = explicit and not isinstance(value, Link) and (p.name, kept) != ("reduction", "mean")
        if shown or p.default is p.empty or kept != _described(p.default, explicit):
            arguments[p.name] = kept
    return _Call(made, arguments)


def _path(made: type, short: bool = False) -> str:
    """The import path of a class: for those of ltr that of the package, in which they may move, or their ``short`` name."""
    home = known_names().get(made.__name__)
    if home is not None and getattr(importlib.import_module(home), made.__name__) is made:
        return made.__name__ if short else f"{home}.{made.__name__}"
    return f"{made.__module__}.{made.__qualname__}"


# ---------------------------------------------------------------------- syntax


def _tree(text: str) -> ast.expr:
    try:
        return ast.parse(_line(text), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else error
        raise ConfigError(f"expression {text!r} must be Python such as 'Sigmoid(center=2)': {said}") from None


def _line(text: str) -> str:
    """An expression as one line: YAML may break it anywhere."""
    return text.strip().replace("\n", " ")


def _terms(node: ast.expr) -> Iterator[ast.expr]:
    """The terms and factors of a sum."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
        yield from _terms(node.left)
        yield from _terms(node.right)
    else:
        yield node


def _dotted(node: ast.expr) -> str | None:
    """``a.b.C`` of a name with its modules; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and not node.attr.startswith("_"):
        home = _dotted(node.value)
        return None if home is None else f"{home}.{node.attr}"
    return None


def _check_package(name: str, packages: Collection[str] | None) -> None:
    if packages is not None and _package(name) not in packages:
        raise ConfigError(
            f"{name} is not imported: only a command line, a spec or a configuration of yours may name modules of yours"
        )


def _package(name: str) -> str:
    return name.partition(":")[0].partition(".")[0]


def _is_text(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_hole(text: str) -> _Hole | None:
    inner = text[1:-1]
    return _Hole(inner) if text == f"{{{inner}}}" and inner.isidentifier() else None


def _parameters(signature: inspect.Signature) -> str:
    shown = [
        p.name if p.default is inspect.Parameter.empty else f"{p.name}={p.default!r}"
        for p in signature.parameters.values()
    ]
    return ", ".join(shown)
