"""From text and mappings to calls."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from ltr.errors import ConfigError
from ltr.expressions.calls import Call, Hole, hole_in
from ltr.expressions.classes import check_package, class_of, import_path
from ltr.expressions.syntax import dotted_name, is_expression, is_mapping, is_number, is_text, one_line, tree_of
from ltr.expressions.writing import as_call, built
from ltr.io.names import suggestion


class Reader:
    """From text and mappings to calls."""

    def __init__(self, packages: Collection[str] | None):
        self.packages = packages
        self.text = ""

    def read(self, source: Any) -> Any:
        """Of an expression or a mapping; other values are what they are."""
        if isinstance(source, str):
            before, self.text = self.text, source
            value = self._node(tree_of(source))
            self.text = before
            return value
        if is_mapping(source):
            return self._mapping(source)
        raise ConfigError(f"an expression such as ListNet(), or class_path and init_args are needed, got {source!r}")

    # ------------------------------------------------------------------ mappings

    def _mapping(self, source: Mapping[str, Any]) -> Call:
        for key in source:
            if key not in ("class_path", "init_args"):
                raise ConfigError(f"beside class_path stands init_args, got {key!r}")
        name, arguments = source["class_path"], source.get("init_args") or {}
        if not isinstance(name, str) or not isinstance(arguments, Mapping):
            raise ConfigError(f"class_path is a name and init_args is a mapping, got {name!r} and {arguments!r}")
        made = self._class(name)
        self._check(made, name, (), arguments)
        return self._allowed(Call(made, {str(key): self._inside(value) for key, value in arguments.items()}))

    def _inside(self, value: Any) -> Any:
        if isinstance(value, str):
            hole = hole_in(value)
            return hole or (self.read(value) if is_expression(value) else value)
        if is_mapping(value):
            return self._mapping(value)
        if isinstance(value, Mapping):
            # {name} without quotes is a mapping from that name to nothing in YAML
            hole = hole_in(f"{{{next(iter(value))}}}") if list(value.values()) == [None] else None
            return hole or {key: self._inside(one) for key, one in value.items()}
        return [self._inside(one) for one in value] if isinstance(value, (list, tuple)) else value

    # ------------------------------------------------------------------ expressions

    def fail(self, node: ast.expr, said: str) -> NoReturn:
        where = ""
        if self.text:
            # ast counts bytes
            column = len(one_line(self.text).encode()[: node.col_offset].decode()) + 1
            where = f"expression {self.text.strip()!r}, character {column}: "
        raise ConfigError(f"{where}{said}")

    def _node(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, bool, type(None))):
            return node.value
        if isinstance(node, (ast.List, ast.Tuple)):
            return [self._node(item) for item in node.elts]
        if isinstance(node, ast.Dict) and all(is_text(key) for key in node.keys):
            pairs = zip(node.keys, node.values, strict=True)
            return {key.value: self._node(value) for key, value in pairs}  # type: ignore[union-attr]
        if isinstance(node, ast.Set) and len(node.elts) == 1 and isinstance(node.elts[0], ast.Name):
            return Hole(node.elts[0].id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return self._signed(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
            return self._joined(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Name) and node.id == "inf":
            return math.inf
        name = dotted_name(node)
        if name is not None:
            self._class(name, node)
            self.fail(node, f"write {name}(...), with parentheses")
        self.fail(node, f"only links and losses with literal arguments, + and * are read, got {ast.unparse(node)!r}")

    def _signed(self, node: ast.UnaryOp) -> Any:
        value = self._node(node.operand)
        if not is_number(value):
            self.fail(node, f"a sign belongs before a number, got {ast.unparse(node)!r}")
        return -value if isinstance(node.op, ast.USub) else value

    def _joined(self, node: ast.BinOp) -> Call:
        from ltr.links import Link, Scaled, Sum

        sides = self._node(node.left), self._node(node.right)
        links = [v for v in sides if isinstance(v, Call) and issubclass(v.made, Link)]
        if isinstance(node.op, ast.Add):
            if len(links) < 2:
                self.fail(node, f"+ adds links, got {ast.unparse(node)!r}")
            return Call(Sum, {"parts": [q for p in links for q in (p.arguments["parts"] if p.made is Sum else [p])]})
        factor = next((v for v in sides if is_number(v) or isinstance(v, Hole)), None)
        if len(links) != 1 or factor is None:
            self.fail(node, f"* multiplies a link by a number, got {ast.unparse(node)!r}")
        return Call(Scaled, {"link": links[0], "factor": factor})

    def _call(self, node: ast.Call) -> Call:
        name, of = dotted_name(node.func), node.func
        focus = isinstance(of, ast.Attribute) and of.attr == "focus"
        name = dotted_name(of.value) if isinstance(of, ast.Attribute) and focus else name
        if name is None or any(keyword.arg is None for keyword in node.keywords):
            self.fail(node, f"{ast.unparse(node)!r} is not a known link or loss")
        made = self._class(name, of)
        given = [self._node(a) for a in node.args]
        named = {str(keyword.arg): self._node(keyword.value) for keyword in node.keywords}
        if focus:
            return self._focused(made, node, given, named)
        return self._allowed(Call(made, self._check(made, name, given, named, node)))

    def _focused(self, made: type, node: ast.Call, given: list[Any], named: dict[str, Any]) -> Call:
        focus = getattr(made, "focus", None)
        if focus is None:
            self.fail(node, f"{ast.unparse(node)!r} is not a known link or loss")
        values = self._check(focus, ast.unparse(node.func), given, named, node)
        if {"top", "bottom"} & set(values) and not {"range", "scores"} & set(values):
            return self._waiting(made, values)
        return as_call(focus(**{key: built(value) for key, value in values.items()}))

    def _waiting(self, made: type, values: dict[str, Any]) -> Call:
        """A focus on one end of labels that are not known yet."""
        from ltr.links.from_labels import FocusOnLabels

        if not any(isinstance(value, Hole) for value in values.values()):
            made.focus(scores=[0.0, 1.0], **values)  # type: ignore[attr-defined]  # whether any labels could do
        return Call(FocusOnLabels, {"kind": import_path(made, short=True), **values})

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

    def _allowed(self, call: Call) -> Call:
        """The call, unless it is a numeric link whose function may not be imported."""
        function = call.arguments.get("function")
        if call.made.__name__ == "Numeric" and isinstance(function, str):
            check_package(function, ("torch", *self.packages) if self.packages is not None else None)
        if call.made.__name__ == "FocusOnLabels":
            kind = class_of(str(call.arguments["kind"]), self.packages)
            if not hasattr(kind, "focus"):
                raise ConfigError(f"FocusOnLabels: kind is a link such as Exp, got {kind.__name__}")
        return call

    def _class(self, name: str, node: ast.expr | None = None) -> type:
        try:
            return class_of(name, self.packages)
        except ConfigError as error:
            if node is None:
                raise
            self.fail(node, str(error))


def _parameters(signature: inspect.Signature) -> str:
    """What a constructor takes, as it would be written."""
    shown = [
        p.name if p.default is inspect.Parameter.empty else f"{p.name}={p.default!r}"
        for p in signature.parameters.values()
    ]
    return ", ".join(shown)
