"""The site of guides and reference: it is built where the extra ``docs`` is installed, and asks for nothing from the network."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys

import pytest

from tests.guides import GUIDES, ROOT

SCRIPT = GUIDES / "make_site.py"


def constant(name: str) -> list[str]:
    """A constant of the script, which cannot be imported without the extra."""
    for node in ast.parse(SCRIPT.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{SCRIPT} has no {name}")


def test_what_is_mirrored_exists():
    assert all(any(ROOT.glob(pattern)) for pattern in constant("MIRRORED"))


def test_modules_with_a_page_exist():
    assert all(importlib.util.find_spec(name) for name in constant("MODULES"))


def test_links_of_guides_stay_inside_what_is_mirrored():
    mirrored = {path.resolve() for pattern in constant("MIRRORED") for path in ROOT.glob(pattern)}
    for page in [ROOT / "README.md", *GUIDES.glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).resolve() in mirrored, f"{page.name}: {target} has no place on the site"


@pytest.mark.slow
def test_the_site_is_built_and_needs_no_network():
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("zensical is not installed: pip install -e '.[docs]'")
    subprocess.run([sys.executable, str(SCRIPT)], check=True)
    site = ROOT / "build" / "site"
    pages = {path: path.read_text() for path in site.rglob("*.html")}
    assert "ListNet" in pages[site / "reference" / "ltr.losses.html"]
    assert not [
        path
        for path, text in pages.items()
        if re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=.?https?:", text)
    ]
    for text in pages.values():  # every example is code, none a quotation
        assert not re.search(r"<blockquote>\s*<blockquote>", text)
