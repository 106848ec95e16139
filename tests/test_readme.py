"""What the README shows works: its Python runs, its links lead somewhere, its commands and configurations exist."""

import re
import shlex
from pathlib import Path

import pytest

from ltr.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "configs" / "recipes" / "README.md", ROOT / "data" / "README.md"]
README = PAGES[0].read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_python_runs(capsys, monkeypatch):
    ran = 0
    for block in blocks(README, "python"):
        if "runs/demo" not in block:  # that one needs a trained model; tests/inference has its like
            exec(compile(block, "README.md", "exec"), {})
            ran += 1
    assert ran


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_and_configurations_exist(page):
    lines = [line for block in blocks(page.read_text(), "(?:bash|sh)?") for line in block.splitlines()]
    commands = [line.partition("#")[0] for line in lines if re.match(r"\s*(?:\$ )?ltr \w", line)]
    for line in commands:
        words = shlex.split(line.strip().removeprefix("$ "))
        assert words[1] in COMMANDS, line
        for word in words:
            if word.startswith("configs/"):
                assert (ROOT / word).exists(), line
