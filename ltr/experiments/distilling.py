"""A distillation's recipe: from a first stage to a student that is measured."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ltr.data.collections.collection import load
from ltr.data.contents import contents_of_paths
from ltr.errors import ConfigError, DataError
from ltr.experiments.pipeline import HERE, Pipeline, Step
from ltr.inference.run_reranking import model_signature
from ltr.io.caching.digests import digest
from ltr.io.files import existing_file
from ltr.io.lines import Lines, plain
from ltr.io.names import suggestion

#: what a recipe says; the parts behind ``test`` are options of commands
PARTS = ("folder", "train", "dev", "test", "retrieve", "mine", "teacher", "student", "evaluate")
NEEDED = ("folder", "train", "dev", "teacher", "student")
#: options of mine that need scores of a teacher
BY_SCORE = ("max_score", "margin", "relative_margin")
#: options that the pipeline gives itself; the teacher is measured on as many candidates as the first stage and the student
OWN = {
    "retrieve": ("dataset", "output", "queries"),
    "mine": ("dataset", "output", "run"),
    "teacher": ("dataset", "output", "run", "with_judged", "query", "depth", "top_k"),
    "student": ("run.folder", "data.train", "data.dev", "data.teacher", "data.train_candidates"),
    "evaluate": ("run", "dataset", "output", "qrels"),
}


def read_recipe(path: str | os.PathLike, folder: str | None = None) -> dict[str, Any]:
    """The recipe in a YAML file, with ``${NAME}`` filled from the environment.

    Args:
        path: the file.
        folder: takes the place of the recipe's own.

    Raises:
        ConfigError: a part that there is not, or one that is missing.
        DataError: a file that is no YAML mapping.
    """
    try:
        recipe = plain(os.path.expandvars(existing_file(path, "recipe").read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, dict):
        raise DataError(f"{path}: a recipe is a mapping of {', '.join(PARTS)}, got {recipe!r:.60}")
    recipe |= {"folder": folder} if folder else {}
    for name in recipe:
        if name not in PARTS:
            raise ConfigError(f"{path}: a recipe has no {name!r}; {suggestion(str(name), PARTS)}")
    for name in NEEDED:
        if not recipe.get(name):
            raise ConfigError(f"{path}: a recipe needs {name}; ltr guide search shows one")
    for name, own in OWN.items():
        for options in teachers_of(recipe) if name == "teacher" else [recipe.get(name) or {}]:
            if not isinstance(options, dict):
                raise ConfigError(f"{path}: {name} must be a mapping of options, got {options!r:.60}")
            taken = [option for option in _named(options) if option.replace("-", "_") in own]
            if taken:
                raise ConfigError(f"{path}: {name}.{taken[0]} is what the pipeline decides; leave it out")
    if "config" not in recipe["student"]:
        raise ConfigError(f"{path}: student needs config; ltr guide search shows one")
    if any("model" not in teacher for teacher in teachers_of(recipe)):
        raise ConfigError(f"{path}: teacher needs model; ltr guide search shows one")
    mining = recipe.get("mine") or {}
    by_score = [option for option in BY_SCORE if mining.get(option) is not None]
    if by_score and not mining.get("teacher"):
        raise ConfigError(
            f"{path}: mine.{by_score[0]} compares scores of candidates and relevant documents, and the teacher of the recipe "
            "scores what was mined, later; name a run with such scores as mine.teacher (ltr rerank --with-judged), or leave "
            f"{by_score[0]} out"
        )
    return recipe


def _named(options: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Names of options, also of those that stand in groups: ``data: {train: x}`` is ``data.train``."""
    for name, value in options.items():
        yield f"{before}{name}"
        if isinstance(value, Mapping):
            yield from _named(value, f"{before}{name}.")


def teachers_of(recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The options of each teacher: a recipe names one, or a list of several."""
    given = recipe["teacher"]
    return list(given) if isinstance(given, list) else [given]


def _taught(given: Sequence[Mapping[str, Any]], *words: str) -> tuple[tuple[str, ...], ...]:
    """Commands that write ``teacher.trec``: the scores of one teacher, or of several their mean in deviations of each.

    Args:
        given: options of each teacher.
        words: of ``ltr rerank``, beside these and the output.
    """
    runs = [f"{HERE}/teacher{f'-{i}' if len(given) > 1 else ''}.trec" for i in range(1, len(given) + 1)]
    scored = [("rerank", *words, "--output", run, *_options(own)) for run, own in zip(runs, given, strict=True)]
    mean = ("fuse", "--run", *runs, "--method", "anz", "--norm", "standard", "--output", f"{HERE}/teacher.trec")
    return tuple(scored if len(given) == 1 else [*scored, mean])


def pipeline_of(recipe: Mapping[str, Any]) -> Pipeline:
    """The steps of a recipe: retrieve, mine, teacher, student, evaluate.

    The teacher scores mined negatives and relevant documents (several teachers: the mean of their scores); the student learns these scores; first stage, teacher and
    student are measured on the test part (on dev where there is none) over the same candidates.
    """
    folder = Path(recipe["folder"])
    train, dev = str(recipe["train"]), str(recipe["dev"])
    test = str(recipe.get("test") or dev)
    teachers = teachers_of(recipe)
    student = dict(recipe["student"])
    contents = {name: _contents(recipe.get(name) or {}) for name in OWN if name != "teacher"}
    contents["teacher"] = tuple(one for teacher in teachers for one in _contents(teacher))
    contents["student"] += _named_in(Path(str(student["config"])))
    depth = _flag("k", (recipe.get("retrieve") or {}).get("k", 100))[1]
    retrieve = _options(recipe.get("retrieve"))
    best = folder / "4-student" / "run" / "best"
    reranking = ["--depth", depth, "--dataset", test]
    found, taught, learnt = (f"{HERE}/{name}.trec" for name in ("first", "teacher", "student"))
    steps = (
        Step(
            "1-retrieve",
            (("retrieve", "--dataset", train, "--output", f"{HERE}/train.trec", *retrieve),),
            contents["retrieve"],
        ),
        Step(
            "2-mine",
            (
                (
                    *("mine", "--run", str(folder / "1-retrieve" / "train.trec"), "--dataset", train),
                    *("--output", f"{HERE}/mined.trec", *_options(recipe.get("mine"))),
                ),
            ),
            contents["mine"],
        ),
        Step(
            "3-teacher",
            _taught(
                teachers,
                *("--run", str(folder / "2-mine" / "mined.trec"), "--dataset", train, "--with-judged"),
                *("--depth", str(10**6)),
            ),
            contents["teacher"],
        ),
        Step(
            "4-student",
            (
                (
                    *("fit", "--config", str(student.pop("config")), f"--run.folder={HERE}/run"),
                    *(f"--data.train={train}", f"--data.dev={dev}", "--data.train_candidates=off"),
                    f"--data.teacher={folder / '3-teacher' / 'teacher.trec'}",
                    *(f"--{name}={_word(value)}" for name, value in student.items()),
                ),
            ),
            contents["student"],
        ),
        Step(
            "5-evaluate",
            (
                ("retrieve", "--dataset", test, "--output", found, *retrieve),
                *_taught(teachers, "--run", found, *reranking),
                ("rerank", "--run", found, "--output", learnt, *reranking, "--model", str(best)),
                (
                    *("evaluate", "--run", found, taught, learnt, "--dataset", test),
                    *("--output", f"{HERE}/table.txt", *_options(recipe.get("evaluate"))),
                ),
            ),
            contents["evaluate"],
        ),
    )
    inputs = tuple(load(name).signature for name in dict.fromkeys((train, dev, test)))
    return Pipeline(folder, steps, inputs)


def _contents(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Digits of the models and files that options name."""
    paths = [Path(word) for word in _words(list(options.values())) if os.path.exists(word)]
    return tuple(digest(path) if path.is_file() else model_signature(path) for path in paths)


def _words(value: Any) -> list[str]:
    """The texts among values, however nested."""
    if isinstance(value, (Mapping, list)):
        return [word for one in (value.values() if isinstance(value, Mapping) else value) for word in _words(one)]
    return [value] if isinstance(value, str) else []


def _named_in(config: Path) -> tuple[str, ...]:
    """Digits of the models and files that a configuration of ``ltr fit`` names for the model and the data.

    Raises:
        ConfigError: a file that is no YAML mapping.
    """
    if not config.is_file():
        return ()  # a recipe of ltr by its name, or what fit will refuse
    told = Lines(config, "the student's configuration").content or {}
    if not isinstance(told, dict):
        raise ConfigError(
            f"{config}: a configuration of ltr fit is a mapping of model, data and more, got {told!r:.60}"
        )
    return tuple(contents_of_paths({name: told.get(name) for name in ("model", "data")}).values())


def _options(options: Mapping[str, Any] | None) -> list[str]:
    return [word for name, value in (options or {}).items() if value is not None for word in _flag(name, value)]


def _flag(name: str, value: Any) -> list[str]:
    flag = f"--{str(name).replace('_', '-')}" if len(str(name)) > 1 else f"-{name}"
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    return [flag, *(map(str, value) if isinstance(value, list) else [str(value)])]


def _word(value: Any) -> str:
    """A value as ``ltr fit`` reads it: YAML."""
    return (
        value
        if isinstance(value, str)
        else yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
    )
