"""``ltr recipes``: the configurations that come with ltr."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ltr.cli.command import run, shell
from ltr.errors import ConfigError
from ltr.io.files import replacing
from ltr.io.recipes import RECIPES, recipe, shipped

#: characters about one
LONGEST = 100


def recipes(name: str | None = None, /, copy: bool = False, output: str | None = None) -> None:
    """List the configurations that come with ltr, print one, or copy it to change it.

    ltr fit --config NAME takes each by its name, from any folder, and several of them one after the other: a whole
    recipe first, then what changes one part of it. Those of benchmarks/ are for ltr benchmark.

    Examples:
      ltr recipes
      ltr recipes engagement
      ltr recipes engagement --copy
      ltr recipes loss/matching --output my-loss.yaml

    Args:
        name: which one; without it, all are listed.
        copy: write it to the current folder, as NAME.yaml.
        output: write it to this file.
    """
    if name is None:
        if copy or output:
            raise ConfigError(
                "--copy and --output take one recipe: ltr recipes NAME --copy; ltr recipes lists their names"
            )
        print(listed())
        return
    text = recipe(name).read_text(encoding="utf-8")
    if not copy and output is None:
        print(text, end="")
        return
    place = Path(output or f"{Path(name).name}.yaml")
    if place.exists():
        raise ConfigError(f"{place} is there already; give another file with --output")
    with replacing(place) as file:
        file.write(text)
    command = "benchmark" if name.startswith("benchmarks/") else "fit --config"
    print(f"{place}; next: ltr {command} {shell(place)}")


def listed() -> str:
    """All shipped configurations, one line each, under the folders that they stand in."""
    texts = {name: _about(path) for name, path in shipped().items()}
    width = max(map(len, texts))
    lines: list[str] = []
    folder = None
    for name, path in shipped().items():
        if path.parent.name != folder:
            folder = path.parent.name
            lines += ["", "whole trainings" if folder == RECIPES else f"{folder}/"]
        lines.append(f"  {name:<{width}}  {texts[name]}")
    return "\n".join(["ltr recipes NAME prints one, ltr recipes NAME --copy writes it to the current folder", *lines])


def _about(path: Path) -> str:
    """The first sentence of the comment that a file begins with."""
    comment: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") or line.startswith("#  "):
            break
        comment.append(line.lstrip("# ").rstrip())
    return textwrap.shorten(re.split(r"\.(?= [A-Z]|$)", " ".join(comment))[0].rstrip(".:"), LONGEST, placeholder=" ...")


def main(argv: Sequence[str]) -> None:
    return run(recipes, argv, prog="ltr recipes", short={"output": "-o"})
