"""The public names of ltr.integrations."""

import ast
import subprocess
import sys

import pytest

import ltr.integrations
from tests.guides import ROOT, blocks


def test_names_load_lazily():
    assert "LambdaMART" in dir(ltr.integrations)
    assert ltr.integrations.LambdaMART.__module__ == "ltr.integrations.lightgbm"
    with pytest.raises(AttributeError, match=r"^module 'ltr.integrations' has no attribute 'XGB'; known: LambdaMART"):
        _ = ltr.integrations.XGB


def test_the_foreign_package_is_imported_only_when_it_is_used():
    code = "import sys, ltr.integrations; ltr.integrations.LambdaMART(); sys.exit('lightgbm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_former_name_still_gives_the_same_class():
    import ltr.adapters

    assert ltr.adapters.LambdaMART is ltr.integrations.LambdaMART


@pytest.mark.parametrize("page", ["README.md", "ltr/guides/embedding.md"])
def test_lines_for_other_packages_name_what_is_there(page):
    """Packages that need not be installed here: their lines are read, not run."""
    found = 0
    for block in blocks(ROOT / page):
        if block.language != "text" or "import" not in block.text:
            continue
        for node in ast.walk(ast.parse(block.text)):
            if not isinstance(node, ast.ImportFrom) or not node.module.startswith("ltr."):
                continue
            tree = ast.parse((ROOT / f"{node.module.replace('.', '/')}.py").read_text())
            there = {part.name for part in ast.walk(tree) if isinstance(part, (ast.ClassDef, ast.FunctionDef))}
            assert {name.name for name in node.names} <= there, f"{page}:{block.line}"
            found += 1
    assert found >= 2
