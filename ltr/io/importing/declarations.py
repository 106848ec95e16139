"""What classes take and say, read from their source: answers at once, where importing them would take seconds."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ltr.io.names import is_class_name


@dataclass(frozen=True)
class Declared:
    """A class as its source declares it.

    Attributes:
        name: of the class.
        doc: its docstring, without indentation.
        parameters: what its constructor takes: name -> the default as text, None where there is none.
    """

    name: str
    doc: str
    parameters: dict[str, str | None]

    @property
    def signature(self) -> str:
        """``center=0.0, width=1.0``."""
        return ", ".join(n if default is None else f"{n}={default}" for n, default in self.parameters.items())

    @property
    def helps(self) -> dict[str, str]:
        """Parameter -> what the docstring says of it, in one line."""
        helps: dict[str, str] = {}
        name = ""
        for line in self.doc.partition("\nArgs:\n")[2].splitlines():
            if line and not line.startswith(" "):
                break
            head, colon, rest = line.strip().partition(": ")
            if line[:5].strip() and colon:
                for name in head.split(", "):
                    helps[name] = rest
            elif name and line.strip():
                helps[name] += f" {line.strip()}"
        return helps


@functools.cache
def exported(package: str) -> dict[str, str]:
    """The public classes of a package: name -> the module that defines it."""
    return {n: home for n, home in _imports(package).items() if home.startswith(f"{package}.") and is_class_name(n)}


@functools.cache
def declared(module: str, name: str) -> Declared:
    """A class of a module.

    Raises:
        KeyError: the module has no such class.
    """
    home, node = _found(module, name)
    return Declared(name, ast.get_docstring(node) or "", _parameters(home, node))


def _parameters(module: str, node: ast.ClassDef) -> dict[str, str | None]:
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return _arguments(module, part.args)
    bases = [_found_or_none(module, base.id) for base in node.bases if isinstance(base, ast.Name)]
    known = [_parameters(*home) for home in bases if home is not None]
    is_dataclass = any("dataclass" in ast.unparse(d) for d in node.decorator_list)
    inherited: dict[str, str | None] = {}
    for parameters in reversed(known if is_dataclass else known[:1]):  # a dataclass gathers the fields of all its bases
        inherited |= parameters
    fields = [p for p in node.body if isinstance(p, ast.AnnAssign) and isinstance(p.target, ast.Name)]
    if is_dataclass:
        for field in fields:
            assert isinstance(field.target, ast.Name)
            if "ClassVar" not in ast.unparse(field.annotation):
                inherited[field.target.id] = None if field.value is None else _text(module, field.value)
    return inherited


def _arguments(module: str, arguments: ast.arguments) -> dict[str, str | None]:
    plain = [*arguments.posonlyargs, *arguments.args][1:]
    defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(arguments.defaults)), *arguments.defaults]
    pairs = [*zip(plain, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return {a.arg: None if default is None else _text(module, default) for a, default in pairs}


def _text(module: str, value: ast.expr) -> str:
    """A default as one would write it: what a constant of the module holds in place of its name."""
    if isinstance(value, ast.Name):
        home = module
        while value.id in _imports(home):
            home = _imports(home)[value.id]
        return _constants(home).get(value.id, value.id)
    return ast.unparse(value).replace("math.inf", "inf")


@functools.cache
def _constants(module: str) -> dict[str, str]:
    """What the names that a module assigns stand for, as text."""
    constants = {}
    for node in _tree(module).body:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            pairs = zip(target.elts, value.elts, strict=True) if several else [(target, value)]  # type: ignore[attr-defined]
            constants.update({ast.unparse(t): ast.unparse(v) for t, v in pairs})
    return constants


def _found(module: str, name: str) -> tuple[str, ast.ClassDef]:
    declaration = _found_or_none(module, name)
    if declaration is None:
        raise KeyError(f"{module} has no class {name}")
    return declaration


def _found_or_none(module: str, name: str) -> tuple[str, ast.ClassDef] | None:
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
    home = _imports(module).get(name)
    return _found_or_none(home, name) if home else None


@functools.cache
def _imports(module: str) -> dict[str, str]:
    """What a module imports by name from its own package: name -> the module that it comes from."""
    root = module.partition(".")[0]
    return {
        alias.asname or alias.name: str(node.module)
        for node in _statements(_tree(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == root
        for alias in node.names
    }


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, those for type checkers included."""
    for node in tree.body:
        yield node
        if isinstance(node, ast.If):
            yield from node.body


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(source_of(module).read_text(encoding="utf-8"))


def source_of(module: str) -> Path:
    """The file of a module; nothing is imported, not even the packages around it.

    Raises:
        ModuleNotFoundError: there is none.
    """
    root, *parts = module.split(".")
    spec = importlib.util.find_spec(root)
    if spec is not None and spec.origin is not None:
        place = Path(spec.origin).parent.joinpath(*parts)
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if file.exists():
            return file
    raise ModuleNotFoundError(f"no source of {module}", name=module)
