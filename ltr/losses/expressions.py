"""Links and losses written as Python on the command line, read without handing the text to Python."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

from ltr.errors import ConfigError
from ltr.io.names import suggestion


def known_names() -> dict[str, type]:
    """What an expression may name: every link, loss, target and pair weight."""
    from ltr import links, losses

    found = {name: getattr(home, name) for home in (links, losses) for name in home.__all__}
    return {n: v for n, v in found.items() if inspect.isclass(v) and n not in ("Link", "Loss", "Laws")}


def value_of(text: str, names: Mapping[str, type] | None = None) -> Any:
    """The object that an expression describes.

    Only known classes with literal arguments, ``focus``, ``+`` and ``*`` are read; of other code, only the function
    that a ``Numeric("module:name")`` names is imported and called.

    Args:
        text: such as ``"Sigmoid(center=2) + 0.1 * Identity()"`` or ``"Matching(Exp.focus(range=(1, 3)))"``.
        names: known classes by name; default: ``known_names()``.

    Raises:
        ConfigError: another expression, an unknown name (with the nearest known one), or arguments that do not fit.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise ConfigError(f"expression {text!r} must be Python such as 'Sigmoid(center=2)': {error.msg}") from None
    return _Reader(text, known_names() if names is None else names).read(tree.body)


class _Reader:
    def __init__(self, text: str, names: Mapping[str, type]):
        self.text, self.names = text, names

    def read(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, bool, type(None))):
            return node.value
        if isinstance(node, (ast.List, ast.Tuple)):
            return [self.read(item) for item in node.elts]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return self._signed(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
            return self._joined(node)
        if isinstance(node, ast.Call):
            return self._made(node)
        if isinstance(node, ast.Name):
            self._class(node.id)
            raise ConfigError(f"expression {self.text!r}: write {node.id}(...), with parentheses")
        raise ConfigError(
            f"expression {self.text!r}: only links and losses with literal arguments, + and * are read, "
            f"got {ast.unparse(node)!r}"
        )

    def _signed(self, node: ast.UnaryOp) -> Any:
        value = self.read(node.operand)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"expression {self.text!r}: a sign belongs before a number, got {ast.unparse(node)!r}")
        return -value if isinstance(node.op, ast.USub) else value

    def _joined(self, node: ast.BinOp) -> Any:
        left, right = self.read(node.left), self.read(node.right)
        from ltr.links import Link

        plus = isinstance(node.op, ast.Add)
        kinds = (isinstance(left, Link), isinstance(right, Link))
        number = next((v for v in (left, right) if not isinstance(v, Link)), None)
        if plus and not all(kinds):
            raise ConfigError(f"expression {self.text!r}: + adds links, got {ast.unparse(node)!r}")
        if not plus and (sum(kinds) != 1 or isinstance(number, bool) or not isinstance(number, (int, float))):
            raise ConfigError(f"expression {self.text!r}: * multiplies a link by a number, got {ast.unparse(node)!r}")
        return left + right if plus else left * right

    def _made(self, node: ast.Call) -> Any:
        maker: Any
        if isinstance(node.func, ast.Name):
            maker = self._class(node.func.id)
        elif (
            isinstance(node.func, ast.Attribute) and node.func.attr == "focus" and isinstance(node.func.value, ast.Name)
        ):
            maker = getattr(self._class(node.func.value.id), "focus", None)
        else:
            maker = None
        if maker is None or any(k.arg is None for k in node.keywords):
            raise ConfigError(f"expression {self.text!r}: {ast.unparse(node)!r} is not a known link or loss")
        given = [self.read(a) for a in node.args], {str(k.arg): self.read(k.value) for k in node.keywords}
        signature = inspect.signature(maker)
        try:
            signature.bind(*given[0], **given[1])
        except TypeError as error:
            name = ast.unparse(node.func)
            raise ConfigError(f"expression {self.text!r}: {error}; it is {name}({_parameters(signature)})") from None
        return maker(*given[0], **given[1])

    def _class(self, name: str) -> type:
        if name not in self.names:
            raise ConfigError(f"expression {self.text!r}: no link or loss {name!r}; {suggestion(name, self.names)}")
        return self.names[name]


def _parameters(signature: inspect.Signature) -> str:
    shown = [
        p.name if p.default is inspect.Parameter.empty else f"{p.name}={p.default!r}"
        for p in signature.parameters.values()
    ]
    return ", ".join(shown)
