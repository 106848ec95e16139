"""The house rules that a machine can check: imports only run downwards, every module can be imported."""

import ast
import importlib
import importlib.util
import pkgutil
from pathlib import Path

import pytest

import ltr
from ltr.errors import MissingExtra

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
    {"serving"},
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
    try:
        importlib.import_module(name)
    except MissingExtra as error:  # a class that extends one of another package is there only with it
        pytest.skip(str(error))


#: packages whose names load lazily
LAZY = sorted(p.parent for p in ROOT.rglob("__init__.py") if "lazy_names" in p.read_text())


@pytest.mark.parametrize("folder", LAZY, ids=lambda p: str(p.relative_to(ROOT)))
def test_type_checkers_know_which_names_a_package_lacks(folder):
    """Its ``__getattr__`` is hidden from them: without a type of its own, it would let any name pass."""
    tree = ast.parse((folder / "__init__.py").read_text())
    guards = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "not TYPE_CHECKING"]
    assert [ast.unparse(part) for guard in guards for part in guard.body] == [
        "__getattr__ = lazy_names(__name__, _HOMES)"
    ]


@pytest.mark.parametrize("folder", LAZY, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_type_checkers_read_is_what_loads(folder):
    """The imports for type checkers, the public names and their homes say the same."""
    package = importlib.import_module(".".join(["ltr", *folder.relative_to(ROOT).parts]))
    tree = ast.parse((folder / "__init__.py").read_text())
    (typed,) = (n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    homes = {a.name: node.module for node in typed.body if isinstance(node, ast.ImportFrom) for a in node.names}
    assert set(homes) == set(package._HOMES) == {n for n in package.__all__ if n in package._HOMES}
    for name, home in package._HOMES.items():
        module = package.__name__ if home == "." else importlib.util.resolve_name(home, package.__name__)
        assert homes[name] == module, name
        assert getattr(package, name) is not None


def test_no_package_loads_names_by_code_of_its_own():
    own = [p for p in ROOT.rglob("*.py") if "def __getattr__" in p.read_text() and p.name != "lazy.py"]
    assert not own


def module_imports(name: str) -> set[str]:
    """The modules of ltr that a module imports, wherever in it, those for type checkers left out."""
    tree = ast.parse(Path(importlib.util.find_spec(name).origin).read_text())
    typed = {
        node
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and ast.unparse(guard.test) == "TYPE_CHECKING"
        for part in guard.body
        for node in ast.walk(part)
    }
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in typed and (node.module or "").startswith("ltr"):
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= {one if one in MODULES else node.module for one in below}
        elif isinstance(node, ast.Import) and node not in typed:
            imported |= {alias.name for alias in node.names if alias.name in MODULES}
    return imported & set(MODULES) - {name}


def test_no_modules_import_each_other_in_a_circle_lazily_either():
    waits = {name: module_imports(name) for name in MODULES}
    waits["ltr.links.base"].remove("ltr.links.combined")  # + and * of any link make a Sum and a Scaled, which are links
    while ready := [name for name, others in waits.items() if not others]:
        for name in ready:
            del waits[name]
        for others in waits.values():
            others.difference_update(ready)
    assert not waits, "each of these waits for another one, or stands behind a circle"


#: folders that may hold more, with the reason in their docstrings
MOST = 15


def test_no_folder_has_too_many_modules_without_a_reason():
    for folder in sorted({path.parent for path in ROOT.rglob("*.py")}):
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        reason = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) if len(modules) > MOST else "few"
        assert len(modules) <= MOST or "modules, since" in str(reason), f"{folder} holds {len(modules)} modules"


#: what data, scorers, modules, batches and losses are is written in contracts, by which they are named
CONTRACTS = {"data", "scorer", "batch", "loss"}


@pytest.mark.parametrize("room", ["training", "inference", "experiments", "integrations"])
def test_no_contract_is_any(room):
    for path in sorted((ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg) and node.arg in CONTRACTS and node.annotation is not None:
                assert ast.unparse(node.annotation) != "Any", f"{path}:{node.lineno}: {node.arg}"
