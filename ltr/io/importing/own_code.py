"""The source files that a class of one's own is made of, without importing any."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

from ltr.io.importing.imports import with_current_folder


def files_of(names: Iterable[str]) -> dict[str, Path]:
    """Module -> its file: those in which the names stand, the packages around them, and what they import of the same package.

    What is imported by a name that is made while running is not seen. Nothing is imported here.

    Args:
        names: dotted names of one package's classes and functions.
    """
    with_current_folder()
    found: dict[str, Path] = {}
    waiting = list(names)
    while waiting:
        for module, path in _modules_of(waiting.pop()):
            if module not in found:
                found[module] = path
                waiting += _imported_by(module, path)
    return dict(sorted(found.items()))


def what_it_says(path: Path) -> str:
    """The content of a source file without comments and layout."""
    source = path.read_text(encoding="utf-8", errors="surrogateescape")
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source


def _modules_of(name: str) -> Iterator[tuple[str, Path]]:
    """The modules that are imported for a dotted name, from the package on."""
    module, *rest = name.split(".")
    spec = importlib.util.find_spec(module) if module != "__main__" else None
    if spec is None:
        return
    if spec.origin is not None and Path(spec.origin).is_file():
        yield module, Path(spec.origin)
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for part in rest:
        files = [path for folder in folders for path in (folder / part / "__init__.py", folder / f"{part}.py")]
        folders = [folder / part for folder in folders if (folder / part).is_dir()]
        module = f"{module}.{part}"
        path = next((path for path in files if path.is_file()), None)
        if path is not None:
            yield module, path
        elif not folders:
            return


def _imported_by(module: str, path: Path) -> Iterator[str]:
    """Dotted names of the module's own package that it imports; they may be of classes, too."""
    package = module.partition(".")[0]
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    around = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = around[: len(around) - node.level + 1] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == package)
