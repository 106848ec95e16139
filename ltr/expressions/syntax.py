"""The syntax of expressions: Python, parsed and not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from ltr.errors import ConfigError
from ltr.io.names import is_class_name


def is_mapping(value: Any) -> bool:
    """Whether a value describes an object by ``class_path``."""
    return isinstance(value, Mapping) and "class_path" in value


def is_expression(text: str) -> bool:
    """Whether a text has the form of an expression: a call of a class, or a sum or multiple of some.

    >>> is_expression("0.5 * Exp()"), is_expression("mypkg.Mine()"), is_expression("Exp"), is_expression("train (1)")
    (True, True, False, False)
    >>> is_expression("fDPO('js')")
    True
    """
    try:
        terms = list(terms_of(tree_of(text))) if "(" in text else []
    except ConfigError:
        return False
    names = [dotted_name(term.func) or "" for term in terms if isinstance(term, ast.Call)]
    return any("." in name or is_class_name(name) for name in names)


def called_in(text: str) -> list[str]:
    """The classes that an expression calls, as it names them; nothing is imported.

    >>> called_in("Matching(2 * mypkg.Steep() + Exp.focus(range=(0, 1)))")
    ['Matching', 'mypkg.Steep', 'Exp']
    """
    calls = [node for node in ast.walk(tree_of(text)) if isinstance(node, ast.Call)]
    calls.sort(key=lambda node: (node.lineno, node.col_offset))
    return [name.removesuffix(".focus") for node in calls if (name := dotted_name(node.func)) is not None]


def packages_in(text: str) -> set[str]:
    """The packages that the dotted names of an expression come from.

    >>> sorted(packages_in("mypkg.losses.Mine(link=Numeric('shapes:steep'))"))
    ['mypkg', 'shapes']
    """
    return {package_of(name) for name in names_in(text)}


def names_in(text: str) -> set[str]:
    """The dotted names of classes and functions that an expression names.

    >>> sorted(names_in("mypkg.losses.Mine(link=Numeric('shapes:steep'))"))
    ['mypkg.losses.Mine', 'shapes.steep']
    """
    names = set()
    for node in ast.walk(tree_of(text)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if "." in name:
                names.add(name)
            if name == "Numeric":
                given = (c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str))
                names |= {value.replace(":", ".") for value in given}
    return names


def tree_of(text: str) -> ast.expr:
    """A text as Python sees it. Raises ConfigError for what is no expression."""
    try:
        return ast.parse(one_line(text), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else error
        raise ConfigError(f"expression {text!r} must be Python such as 'Sigmoid(center=2)': {said}") from None


def one_line(text: str) -> str:
    """An expression as one line: YAML may break it anywhere."""
    return text.strip().replace("\n", " ")


def terms_of(node: ast.expr) -> Iterator[ast.expr]:
    """The terms and factors of a sum."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
        yield from terms_of(node.left)
        yield from terms_of(node.right)
    else:
        yield node


def dotted_name(node: ast.expr) -> str | None:
    """``a.b.C`` of a name with its modules; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and not node.attr.startswith("_"):
        home = dotted_name(node.value)
        return None if home is None else f"{home}.{node.attr}"
    return None


def package_of(name: str) -> str:
    """The package that ``a.b.C`` or ``a.b:c`` comes from."""
    return name.partition(":")[0].partition(".")[0]


def is_text(node: ast.AST | None) -> bool:
    """Whether a node is a text."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
