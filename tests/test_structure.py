"""The house rules that a machine can check: imports only run downwards, every module can be imported."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import ltr

ROOT = Path(ltr.__file__).parent

#: layers from the bottom up; members of one layer never import each other
LAYERS = [
    {"errors"},
    {"machine"},
    {"io"},
    {"batch"},
    {"links"},
    {"settings"},
    {"losses", "metrics", "data"},
    {"scorers"},
    {"expressions"},
    {"inference", "report"},
    {"search"},
    {"training"},
    {"experiments"},
    {"integrations"},
    {"adapters"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(m.name for m in pkgutil.walk_packages([str(ROOT)], "ltr."))


def imports_of(path: Path) -> set[str]:
    """The parts of ltr that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: import ltr.… in full, not relatively"
            names = [f"ltr.{alias.name}" for alias in node.names] if node.module == "ltr" else [node.module]
        found |= {name.split(".")[1] for name in names if name.startswith("ltr.")}
    return found - {"__version__"}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_downwards(path):
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    for other in imports_of(path) - {part}:
        assert LEVEL[other] < LEVEL[part], f"{path}: {part} must not import {other}, which is not below it"


@pytest.mark.parametrize("name", MODULES)
def test_module_can_be_imported(name):
    importlib.import_module(name)


@pytest.mark.parametrize("name", ["", "integrations", "data", "losses", "training"])
def test_type_checkers_know_which_names_a_package_lacks(name):
    """Its ``__getattr__`` is hidden from them: without a type of its own, it would let any name pass."""
    tree = ast.parse((ROOT / name / "__init__.py").read_text())
    guards = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "not TYPE_CHECKING"]
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert functions.count("__getattr__") == 1
    assert [part.name for guard in guards for part in guard.body] == ["__getattr__"]
