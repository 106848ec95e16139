"""What ``ltr fit`` says at once: its help, and mistakes in names, files and folders, before it imports for seconds."""

from __future__ import annotations

import importlib.util
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltr.errors import ConfigError, LtrError
from ltr.expressions import called_in, is_expression, known_names
from ltr.io.files import existing
from ltr.io.importing.declarations import Declared, declared, exported
from ltr.io.importing.imports import with_current_folder
from ltr.io.lines import Lines
from ltr.io.names import suggestion
from ltr.losses import FAMILIES

#: group of options -> the class that takes them
GROUPS = {
    "model": ("ltr.training.module", "RankingModule"),
    "run": ("ltr.training.run.run_folder", "RunFolder"),
    "trainer": ("pytorch_lightning.trainer.trainer", "Trainer"),
}
#: what stands beside the groups
OTHERS = ("config", "print_config", "seed_everything", "allow_overlap", "data", "optimizer", "lr_scheduler", "help")
#: settings that take a class -> the packages that have it
CLASSES = {"model.loss": ("ltr.losses",), "model.scorer": ("ltr.scorers",), "data": ("ltr.data",)}
#: settings of Lightning's trainer that most trainings touch
TRAINER = {
    "max_epochs": "passes over the training lists",
    "precision": "32-true, bf16-mixed (fast, also on new CPUs), 16-mixed",
    "accelerator": "auto, cpu, gpu",
    "devices": "how many GPUs, or processes on a CPU with strategy=ddp",
    "accumulate_grad_batches": "batches whose gradients make one step",
    "gradient_clip_val": "largest norm of a gradient",
    "val_check_interval": "batches, or share of an epoch, between validations",
}
#: settings of data that name files and folders, or collections
PLACES = ("fold", "train", "dev", "test", "train_candidates", "dev_candidates", "test_candidates", "teacher")
#: scorers that read query and document together, so that a query takes of what is read of both
TOGETHER = ("CrossEncoder",)
#: data whose parts are files of their own
ON_FILES = ("LetorData", "EngagementData")

EXAMPLES = """
The whole configuration of a recipe:   ltr fit --config pydocs --print_config
Another loss:                          ltr fit --config RECIPE --model.loss=ListNet
A link inside a loss:                  ltr fit --config RECIPE --model.loss=CompositeSoftmax --model.loss.transform=Exp
The same and more, as an expression:   ltr fit --config RECIPE --model.loss='CompositeSoftmax(Exp() + 0.1 * Identity())'
A loss of your own, in mypkg.py:       ltr fit --config RECIPE --model.loss='mypkg.Mine(alpha=2)'
What a class takes:                    ltr fit --model.loss.help=CompositeSoftmax
Go on after an interruption:           ltr fit --resume runs/NAME
"""


# ---------------------------------------------------------------------- help


def help_text() -> str:
    """Our own settings first, each with one line, and the names of what can be chosen; two screens at most."""
    lines = [
        "usage: ltr fit --config RECIPE [--GROUP.SETTING=VALUE ...]",
        "",
        "Train a ranker. A recipe is a YAML file, or a name of ltr recipes, such as engagement; what stands behind changes it.",
        EXAMPLES.rstrip(),
        "",
        *_settings("model"),
        *_settings("run"),
        "data: what to train and validate on; ltr fit --data.help=TextData tells what one takes",
        *_named("--data", [name for name in known_names("ltr.data") if name.endswith("Data")]),
        "",
        "trainer: Lightning's own settings, of which these matter most",
        *(_line(f"--trainer.{name}", text) for name, text in TRAINER.items()),
        "",
        "losses, links, scorers: by name, or as an expression; ltr losses tells about each",
        *_named("--model.loss", [name for family in FAMILIES.values() for name in family]),
        *_named("links inside", list(known_names("ltr.links"))),
        *_named("--model.scorer", list(known_names("ltr.scorers"))),
        "",
        "others",
        _line("--seed_everything", "one seed decides weights, order and negatives (default: 0)"),
        _line("--allow_overlap", "train although dev or test share queries with train (default: false)"),
        _line("--print_config", "print the whole configuration, and stop"),
        _line("--resume FOLDER", "go on with an interrupted training"),
        _line("--help=all", "every setting of Lightning's trainer, too"),
    ]
    return "\n".join(lines)


def _settings(group: str) -> Iterator[str]:
    taken = _taken(group)
    yield f"{group}: {taken.doc.splitlines()[0]}"
    for name, default in taken.parameters.items():
        shown = "" if default in (None, "None") else f" (default: {default.strip(chr(39))})"
        text = re.split(r" \(|\. |; beside", taken.helps.get(name, ""))[0].strip(" .:").replace("``", "")
        yield _line(f"--{group}.{name}", text, shown)
    yield ""


def _line(name: str, text: str, behind: str = "") -> str:
    """A setting and what it is, cut where it would not fit beside it."""
    return f"{name:<36}{textwrap.shorten(text, 84 - len(behind), placeholder=' ...')}{behind}"


def _named(name: str, classes: Sequence[str]) -> list[str]:
    return textwrap.wrap(f"{name:<36}{', '.join(classes)}", 118, subsequent_indent=" " * 36)


def _taken(group: str) -> Declared:
    return declared(*GROUPS[group])


# ---------------------------------------------------------------------- mistakes


@dataclass(frozen=True)
class _Given:
    """A setting and where it was given."""

    value: Any
    where: str


def check(argv: Sequence[str]) -> None:
    """Refuse names that do not exist, and files and folders that are not there.

    What a class takes, and whether values fit, is seen later, by what reads them.

    Args:
        argv: the arguments of ``ltr fit``.

    Raises:
        ConfigError: an option, a class or a module that there is not, with the nearest that there is.
        DataError: a configuration, a data file or a folder that is not there.
    """
    given = _given(argv)
    for key, one in given.items():
        _check_name(key, one.where)
    for key, packages in CLASSES.items():
        for named in (given.get(key), given.get(f"{key}.class_path")):
            if named is not None and isinstance(named.value, str) and not os.path.isfile(named.value):
                _check_class(named, packages)
    kind = _class_of(given, "data")
    for name in PLACES:
        if f"data.{name}" in given:
            _check_place(given[f"data.{name}"], f"{kind or 'data'}: {name}", kind in ON_FILES)
    if "model.scorer.model" in given:
        _check_place(given["model.scorer.model"], "model.scorer.model", False)
    if _class_of(given, "model.scorer") in TOGETHER and kind in exported("ltr.data"):
        _check_lengths(given, kind)


def folder_of(argv: Sequence[str]) -> tuple[Path | None, bool]:
    """The run folder that arguments name, and whether it may be replaced."""
    given = _given(argv)
    folder = given.get("run.folder")
    overwrite = given.get("run.overwrite", _Given(False, "")).value
    named = folder is not None and isinstance(folder.value, str) and folder.value
    return Path(folder.value) if folder and named else None, str(overwrite).lower() == "true"


def _given(argv: Sequence[str]) -> dict[str, _Given]:
    """Settings by their dotted names without ``init_args``, the last of each, in the order in which they were given."""
    given: dict[str, _Given] = {}
    for option, value in _options(argv):
        key = option.lstrip("-").replace(".init_args", "").rstrip("+")
        new = _file(value) if option in ("--config", "-c") else {key: _Given(value, option)}
        for name in new:
            given.pop(name, None)
        given |= new
    return given


def _options(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    for i, argument in enumerate(argv):
        if argument.startswith("-") and not re.match(r"-\d", argument):
            option, equals, value = argument.partition("=")
            behind = argv[i + 1] if i + 1 < len(argv) and not argv[i + 1].startswith("--") else ""
            yield option, value if equals else behind


def _file(path: str) -> dict[str, _Given]:
    lines = Lines(path, "configuration")
    if not isinstance(lines.content, dict):
        raise ConfigError(f"{path}: a configuration is a mapping with model, data, trainer, run, got {lines.content!r}")
    return dict(_flat(lines.content, (), lines))


def _flat(value: Mapping, place: tuple[str, ...], lines: Lines) -> Iterator[tuple[str, _Given]]:
    for key, one in value.items():
        inside = (*place, str(key))
        if isinstance(one, dict) and one:
            yield from _flat(one, inside, lines)
        else:
            yield ".".join(p for p in inside if p != "init_args"), _Given(one, lines.at(*inside))


def _check_name(key: str, where: str) -> None:
    """Refuse a setting that no group has, with the nearest, as the command line or the file writes it."""
    group, _, rest = key.partition(".")
    name = rest.partition(".")[0]
    on_line = where.startswith("-")
    known = [*GROUPS, *OTHERS]
    if group in GROUPS:
        known = [f"{group}.{setting}" for setting in (*_taken(group).parameters, "help")]
    said = f"{group}.{name}" if group in GROUPS and name else group
    if said in (*GROUPS, *known):
        return
    near = suggestion(said, [f"--{one}" for one in known] if on_line else known)
    if on_line:
        raise ConfigError(f"no option {where.partition('.')[0] if said == group else f'--{said}'}; {near}")
    raise ConfigError(f"{where}: there is no setting {said!r}; {near}")


def _check_class(one: _Given, packages: Sequence[str]) -> None:
    names = called_in(one.value) if is_expression(one.value) else [one.value]
    known = known_names() if is_expression(one.value) else known_names(*packages)
    for name in names:
        home, _, last = name.rpartition(".")
        if not all(part.isidentifier() for part in name.split(".")):
            continue  # no name of a class: what reads the value says what is wrong with it
        if home in known_names().values() and last not in exported(home):
            raise ConfigError(f"{one.where}: {home} has no {last!r}; {suggestion(last, known)}")
        if not home and last not in known:
            raise ConfigError(f"{one.where}: unknown class {last!r}; {suggestion(last, known)}")
        if home and not _there(home.partition(".")[0]):
            raise ConfigError(
                f"{one.where}: No module named {home.partition('.')[0]!r}: there is no {name!r}; is it in the current "
                "folder, or installed?"
            )


def _there(package: str) -> bool:
    with_current_folder()
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # a module that was made by hand and knows no file
        return True


def _class_of(given: Mapping[str, _Given], key: str) -> str:
    """The class that a setting names last, without its modules and arguments; empty where it names none."""
    named = next((str(given[k].value) for k in reversed(list(given)) if k in (f"{key}.class_path", key)), "")
    return named.partition("(")[0].rpartition(".")[2]


def _check_lengths(given: Mapping[str, _Given], kind: str) -> None:
    """Refuse lengths that leave no token to a document."""
    defaults = declared(exported("ltr.data")[kind], kind).parameters
    names = ("max_length", "max_query_length")
    if not {*names} <= {*defaults}:
        return
    values = [given.get(f"data.{name}", _Given(defaults[name], "the default")) for name in names]
    texts = [str(one.value) for one in values]
    if not all(re.fullmatch("[0-9]+", text) for text in texts):
        return  # a mistake of another kind
    whole, query = map(int, texts)
    if query < whole:
        return
    raise ConfigError(
        f"data.max_length, {whole} ({values[0].where}), leaves nothing to documents: queries may have data.max_query_length, "
        f"{query} ({values[1].where}), of it; give both, such as --data.max_length={whole} --data.max_query_length={max(1, whole // 2)}"
    )


def _check_place(one: _Given, what: str, is_file: bool) -> None:
    """Refuse what can only be a path, and is not there."""
    if not isinstance(one.value, str):
        return
    name = re.sub(r"\[[^\]]*\]$", "", one.value)
    if not name or name == "null" or not (is_file or re.match(r"(/|~|\.{1,2}/)", name)):
        return
    path = Path(name).expanduser()
    if not path.exists() and (is_file or not path.parent.is_dir()):
        try:
            existing(path, what)
        except LtrError as error:
            raise type(error)(f"{error} ({one.where})") from None
