"""The card of a trained model: what a hub asks for, and what was done, as its training noted it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml

from ltr.data.collections.collection import is_published
from ltr.data.collections.shares import sliced
from ltr.io.model_names import PACKAGE
from ltr.scorers.filing import Filing
from ltr.settings import FeatureSettings, ModelSettings, Settings, TwinSettings

#: file of the link's picture beside the card
PICTURE = "link.png"
#: a comment, since which licence it is only the owner can say
LICENCE = "# license: which one is yours to say here, such as license: apache-2.0"
#: how notes on intervals begin (``ltr.report.tables.evaluations.interval_notes``)
INTERVALS = ("[low, high]", "no intervals")
#: a whole path at the beginning of a value; the second of two slashes, as in https://, begins none
_PLACE = re.compile(r"""(?:(?<=^)|(?<=[=,:\[{"' ]))/(?!/)[^,\]}"']*""")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class ModelCard:
    """What is said of a model. What is not known is left out.

    Attributes:
        name: above all.
        filing: how the scorer's class is filed.
        settings: of ``ltr.json``.
        manifest: of the training, as ``manifest.json`` has it.
        measured: whether the manifest's measures are those of these weights.
        opened: by which name the model is opened in the example: a hub id, or ``.`` for the folder itself.
        picture: whether ``PICTURE`` lies beside the card.
    """

    name: str
    filing: Filing
    settings: Settings
    manifest: Mapping[str, Any]
    measured: bool = True
    opened: str = "."
    picture: bool = False

    def text(self) -> str:
        """The whole card, as Markdown behind a head of YAML."""
        parts = [head(self._facts()), f"# {self.name}", self._intro(), *self._training(), *self._measures()]
        parts += [*self._scores(), *self._usage(), *self._versions()]
        return "\n\n".join(parts) + "\n"

    # ------------------------------------------------------------------ parts

    def _facts(self) -> dict[str, Any]:
        base = self.manifest.get("base_model")
        known = [whole_name(name) for name in self.settings.trained_on if is_published(name)]
        return {
            "library_name": self.filing.library,
            "pipeline_tag": self.filing.task,
            "tags": ["ltr", *self.filing.tags],
            "base_model": base if base and is_hub_id(base) else None,
            "datasets": list(dict.fromkeys(known)),
        }

    def _intro(self) -> str:
        version = self.manifest.get("versions", {}).get("ltr")
        by = f"`ltr` {version}" if version else "`ltr`"
        return f"{self.filing.title}, trained with {by} (learning to rank with selective matching losses, arXiv 2506.04446)."

    def _training(self) -> list[str]:
        manifest = self.manifest
        rows = {
            "loss": _code(manifest.get("loss")),
            "scorer": _code(manifest.get("scorer")),
            "started from": _origin(manifest.get("base_model")),
            "trained on": ", ".join(f"`{shown_name(name)}`" for name in self.settings.trained_on),
            "optimiser steps": manifest.get("step"),
            "seed": manifest.get("seed"),
            "precision": manifest.get("precision"),
            "weights of": self._weights(),
            "started": manifest.get("started"),
        }
        known = [f"| {name} | {value} |" for name, value in rows.items() if value not in (None, "")]
        parts = ["## Training", "\n".join(["| | |", "|---|---|", *known])]
        if self.picture:
            parts.append(
                f"![The link of the loss, its slope, and what predictions cost]({PICTURE})\n\n*The link: its value, its slope "
                "(where scores must be accurate), and what a prediction costs.*"
            )
        if command := manifest.get("command"):
            parts.append(f"```sh\n{shown_command(command)}\n```")
        return parts

    def _weights(self) -> str | None:
        best = self.manifest.get("best")
        if not self.measured:
            return "the end of the training, whatever the validations said"
        if not best or best.get("value") is None:
            return None
        where = f"the mean of {best['averaged']} validations'" if "averaged" in best else f"step {best.get('step')}"
        return f"{where}, the best by {best['measure']}: {best['value']:.4f}"

    def _measures(self) -> list[str]:
        results = self.manifest.get("results") if self.measured else None
        tables = [part for name, content in (results or {}).items() for part in measure_tables(name, content)]
        return ["## Measures", *tables] if tables else []

    def _scores(self) -> list[str]:
        lines = ["A score has no scale of its own: larger is better, no activation stands behind it."]
        settings = self.settings
        if isinstance(settings, ModelSettings):
            if settings.form:
                lines.append(
                    f"Prompts and responses were read together (form: {settings.form}), {settings.max_length} tokens at most: a "
                    "longer prompt lost its beginning."
                )
            elif isinstance(settings, TwinSettings):
                lines.append(
                    f"Documents were cut to {settings.max_length} tokens, queries to {settings.max_query_length}."
                )
            else:
                lines.append(
                    f"Texts were cut to {settings.max_length} tokens, {settings.max_query_length} of them for the query at most."
                )
            if settings.passages != "first":
                lines.append(f"Longer documents are read in passages; their score is the {settings.passages}.")
            if settings.interpolation is not None:
                which = f" ({settings.interpolated_with})" if settings.interpolated_with else ""
                lines.append(
                    f"Mixed with a first stage's scores{which}, the first stage's weight {settings.interpolation:.2f} was best on "
                    "dev."
                )
            if kind := settings.calibration.get("kind"):
                lines.append(
                    f"`ltr.json` holds a map to probabilities of relevance ({kind}), fitted by `ltr calibrate`."
                )
        if isinstance(settings, FeatureSettings):
            lines.append(f"It reads {settings.n_features} features of a document, in the order of `ltr.json`.")
        return ["## Scores", "\n".join(lines)]

    def _usage(self) -> list[str]:
        name = self.opened
        if isinstance(self.settings, FeatureSettings):
            return ["## Use", f"```sh\nltr predict NEW.csv --model {shlex.quote(name)}\n```"]
        if self.filing.task != "text-ranking":
            return []
        form = self.settings.form if isinstance(self.settings, ModelSettings) else ""
        texts = '"a prompt", ["a response", "another"]' if form else '"a query", ["a document", "another"]'
        code = f'from ltr import Reranker\n\nReranker.load("{name}").rank({texts})'
        parts = ["## Use", f"```python\n{code}\n```"]
        if self.filing.library == "sentence-transformers" and not form:  # which knows of no form
            code = f'from sentence_transformers import CrossEncoder\n\nCrossEncoder("{name}").rank("a query", ["a document", "another"])'
            parts.append(f"```python\n{code}\n```")
        return parts

    def _versions(self) -> list[str]:
        versions = self.manifest.get("versions")
        return ["## Versions", ", ".join(f"{name} {value}" for name, value in versions.items())] if versions else []


def head(facts: Mapping[str, Any]) -> str:
    """The head of a card in YAML: what is known, and a line that asks for the licence where none is given."""
    known = {name: value for name, value in facts.items() if value}
    licence = "" if "license" in known else f"{LICENCE}\n"
    return f"---\n{yaml.safe_dump(known, sort_keys=False, allow_unicode=True)}{licence}---"


# ------------------------------------------------------------------ names of things on the trainer's disk


def is_hub_id(name: str) -> bool:
    """Whether a model's name may be one of a hub: no folder of this name is there, and it is written like one.

    >>> is_hub_id("org/model"), is_hub_id("package:name/model"), is_hub_id("/home/me/model")
    (True, False, False)
    """
    return bool(_HUB_ID.fullmatch(name)) and not os.path.exists(name)


def whole_name(name: str) -> str:
    """A collection's name without the share of its queries.

    >>> whole_name("beir/scifact/train[:80%]")
    'beir/scifact/train'
    """
    part = sliced(name)
    return name if part is None else part[0]


def shown_name(name: str) -> str:
    """A data set's name for others: of a file or folder the last two parts alone, and none that the home folder has too.

    >>> shown_name("/home/me/wiki/train[:80%]")
    'wiki/train[:80%]'
    """
    return name if is_published(name) else _shown_place(name)


def _shown_place(name: str) -> str:
    place = PurePath(name)
    if place.is_relative_to(Path.home()):  # else what lies in it would tell whose it is
        place = place.relative_to(Path.home())
    return "/".join(place.parts[-2:]).lstrip("/")


def shown_command(command: str) -> str:
    """A command as it was given, the program by its name alone, and places on the disk as ``shown_name`` tells them.

    >>> shown_command("/home/me/bin/ltr fit --config quick --data.train=/srv/secret/wiki/train")
    'ltr fit --config quick --data.train=wiki/train'
    """
    program, *rest = shlex.split(command)
    path = PurePath(program)
    name = "ltr" if path.name == "__main__.py" and path.parent.name == "ltr" else path.name
    return shlex.join([name, *(_PLACE.sub(lambda found: _shown_place(found[0]), word) for word in rest)])


def _origin(base: str | None) -> str | None:
    if not base:
        return None
    if base.startswith(PACKAGE) or is_hub_id(base):
        return f"`{base}`"
    return f"a folder named `{PurePath(base).name}`"


def _code(value: Any) -> str:
    return f"`{value}`" if value else ""


# ------------------------------------------------------------------ tables of measures


def measure_tables(part: str, content: Mapping[str, Any]) -> list[str]:
    """The measures of a part of the data (``Results.content``) as Markdown: of rankings, and of labels.

    Args:
        part: ``dev`` or ``test``.
        content: as a training's ``Results`` gives it.
    """
    found = []
    if content.get("rows"):
        measures = list(dict.fromkeys(row["measure"] for row in content["rows"]))
        runs: dict[str, dict[str, str]] = {}
        for row in content["rows"]:
            runs.setdefault(row["run"], {})[row["measure"]] = _cell(row["mean"])
        rows = [[run, *(values.get(m, "") for m in measures)] for run, values in runs.items()]
        found.append(_table(part, ["run", *measures], rows, content))
    for name in ("labels", "labels_as_read"):
        if table := content.get(name):
            columns = list(table["rows"][0])
            rows = [[_cell(row[column]) for column in columns] for row in table["rows"]]
            found.append(_table(table["title"] or part, columns, rows, table))
    return found


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], content: Mapping[str, Any]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns), *(f"| {' | '.join(row)} |" for row in rows)]
    intervals = [note for note in content.get("notes", ()) if note.startswith(INTERVALS)]
    said = ". ".join([*([f"Conventions: {content['header']}"] if content.get("header") else []), *intervals])
    return "\n".join([f"### {title}", "", *lines, *(["", f"{said}."] if said else [])])


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        low, high = value.get("low"), value.get("high")
        interval = "" if low is None or high is None else f" [{low:.4f}, {high:.4f}]"
        return f"{_cell(value['value'])}{interval}"
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value).replace("|", "\\|")
