"""Reads the specification of a benchmark, and complains with file and line of what cannot work."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import yaml

from ltr.errors import ConfigError
from ltr.experiments.spec.building import check_parts, settings_of, variables
from ltr.experiments.spec.search import Range
from ltr.experiments.spec.spec import MODEL, TESTS, Config, LossSpec, Spec, Tuning, folder_name
from ltr.expressions import is_expression, is_mapping, mapping_of, sample_of, text_of
from ltr.io.lines import Lines, plain
from ltr.io.names import suggestion


def read_spec(path: str | os.PathLike, overrides: Sequence[str] = ()) -> Spec:
    """A spec from its file.

    Args:
        path: the YAML file.
        overrides: settings that take the place of the file's, such as ``data.NAME.init_args.max_length=96``.

    Raises:
        ConfigError: with file and line, for whatever cannot work.
        DataError: there is no such file.
    """
    return _Reader(Lines(path, "benchmark spec"), overrides).spec()


class _Reader:
    """Reads a spec and complains with file and line."""

    def __init__(self, lines: Lines, overrides: Sequence[str]):
        self.lines = lines
        self.content = lines.content
        for text in overrides:
            self._override(text)

    def fail(self, text: str, *place: Any) -> ConfigError:
        return ConfigError(f"{self.lines.at(*place)}: {text}")

    def spec(self) -> Spec:
        content = self.content
        self._check_variables(content, ())
        if not isinstance(content, dict):
            raise self.fail(f"a benchmark spec is a mapping with name, data, scorers, losses, got {content!r}")
        known = [f.name for f in fields(Spec)]
        for key in content:
            if key not in known:
                raise self.fail(f"a benchmark has no {key!r}; {suggestion(str(key), known)}", key)
        for key in ("name", "data", "scorers", "losses", "measures", "baseline"):
            if not content.get(key) and not (key == "scorers" and content.get("rankers")):
                raise self.fail(f"a benchmark needs {key!r}")
        values = dict(content)
        values["name"] = str(content["name"])
        for key in ("data", "scorers", "rankers"):
            values[key] = {name: self._part(key, name, value) for name, value in self._mapping(key).items()}
        values["losses"] = {str(name): self._loss(name) for name in self._mapping("losses")}
        values["tuning"] = self._tuning(content.get("tuning") or {})
        values["seeds"] = self._seeds(content.get("seeds", 3))
        values["folder"] = content.get("folder") or f"runs/benchmarks/{values['name']}"
        spec = Spec(**values)
        self._check(spec)
        return spec

    # ------------------------------------------------------------------ parts

    def _mapping(self, key: str) -> Config:
        value = self.content.get(key) or {}
        if not isinstance(value, dict):
            raise self.fail(f"{key} is a mapping from names to what they stand for, got {value!r}", key)
        return value

    def _part(self, key: str, name: str, value: Any) -> Any:
        """A part as class_path and init_args, where the spec has an expression."""
        if not isinstance(value, str):
            return value
        try:
            return mapping_of(value, packages=None)
        except ConfigError as error:
            raise self.fail(f"{key} {name!r}: {error}", key, name) from error

    def _loss(self, name: str) -> LossSpec:
        value = self.content["losses"][name]
        value = {"loss": value} if isinstance(value, str) or is_mapping(value) else value
        known = [f.name for f in fields(LossSpec)]
        if not isinstance(value, dict) or "loss" not in value:
            raise self.fail(
                f"loss {name!r} is an expression such as ListNet() or a class_path, or has one under 'loss', got {value!r}",
                "losses",
                name,
            )
        for key in value:
            if key not in known:
                raise self.fail(f"loss {name!r} has no {key!r}; {suggestion(key, known)}", "losses", name, key)
        search = self._space(value.get("search") or {}, "losses", name, "search")
        own = {key: value.get(key) or {} for key in ("model", "data")}
        return LossSpec(self._text(value["loss"], "losses", name), search, **own, family=value.get("family"))

    def _text(self, value: Any, *place: Any) -> str:
        """The expression of a loss, which the spec may write as class_path and init_args."""
        if isinstance(value, str):
            return value
        try:
            return text_of(value, packages=None)
        except ConfigError as error:
            raise self.fail(f"loss {place[-1]!r}: {error}", *place, "loss") from error

    def _space(self, value: Any, *place: Any) -> dict[str, Range]:
        if not isinstance(value, dict):
            raise self.fail(f"search is a mapping from names to ranges, got {value!r}", *place)
        space = {}
        for key, settings in value.items():
            try:
                if isinstance(settings, dict) and isinstance(settings.get("choices"), list):
                    choices = [text_of(c, packages=None) if is_mapping(c) else c for c in settings["choices"]]
                    settings = {**settings, "choices": choices}
                space[str(key)] = Range(**settings)
            except (ConfigError, TypeError) as error:
                raise self.fail(f"search of {key!r}: {error}", *place, key) from error
        return space

    def _tuning(self, value: Any) -> Tuning:
        known = [f.name for f in fields(Tuning)]
        for key in value:
            if key not in known:
                raise self.fail(f"tuning has no {key!r}; {suggestion(key, known)}", "tuning", key)
        trials = value.get("trials", 1)
        if not isinstance(trials, int) or trials < 1:
            raise self.fail(f"tuning.trials must be a whole number of at least 1, got {trials!r}", "tuning", "trials")
        search = self._space(value.get("search") or {}, "tuning", "search")
        return Tuning(trials, search, value.get("seed", 1000))

    def _seeds(self, value: Any) -> list[int]:
        seeds = list(range(value)) if isinstance(value, int) else value
        if not isinstance(seeds, list) or not seeds or any(not isinstance(s, int) or s < 0 for s in seeds):
            raise self.fail(f"seeds are a list of whole numbers, or how many there shall be, got {value!r}", "seeds")
        if len(set(seeds)) < len(seeds):
            raise self.fail(f"seeds {seeds} hold one twice: two cells would share a folder", "seeds")
        return seeds

    # ------------------------------------------------------------------ what must fit together

    def _check_variables(self, value: Any, place: tuple[Any, ...]) -> None:
        """Whatever ``${NAME}`` a text holds must be set; it is filled in where a cell runs."""
        if isinstance(value, (dict, list)):
            for key, one in value.items() if isinstance(value, dict) else enumerate(value):
                self._check_variables(one, (*place, key))
        for name in variables(value):
            if name not in os.environ:
                raise self.fail(f"the environment holds no {name}; set it: {name}=VALUE ltr benchmark ...", *place)

    def _check(self, spec: Spec) -> None:
        from ltr.metrics.measures.measure import parse

        for key in ("data", "scorers", "losses", "rankers"):
            self._check_folders(key, list(getattr(spec, key)))
        measures = [(m, ("measures", i)) for i, m in enumerate(spec.measures)]
        for text, place in [*measures, (spec.monitor, ("monitor",)), *((m, ("tradeoff",)) for m in spec.tradeoff)]:
            try:
                parse(text)
            except ConfigError as error:
                raise self.fail(str(error), *place) from error
        if spec.tradeoff and (len(spec.tradeoff) != 2 or not set(spec.tradeoff) <= set(spec.measures)):
            raise self.fail(
                f"tradeoff takes two of the measures, inside and outside the focus region, got {spec.tradeoff}",
                "tradeoff",
            )
        for test in spec.tests:
            if test not in TESTS:
                raise self.fail(f"no paired test {test!r}; {suggestion(str(test), TESTS)}", "tests")
        known = [*spec.losses, *spec.rankers]
        if spec.baseline not in known:
            raise self.fail(
                f"baseline {spec.baseline!r} is not in the spec; {suggestion(spec.baseline, known)}", "baseline"
            )
        if spec.tuning.seed in spec.seeds:
            raise self.fail(f"tuning.seed {spec.tuning.seed} is one of the seeds; the trials need their own", "tuning")
        self._check_settings(spec)
        for name, loss in spec.losses.items():
            self._check_loss(spec, name, loss)
            for data in spec.data.values() if loss.data else ():
                try:
                    check_parts("data", loss.data_of(data))
                except ConfigError as error:
                    raise self.fail(f"loss {name!r}: data: {error}", "losses", name, "data") from error
        for kind in ("data", "scorers", "rankers"):
            for name, config in getattr(spec, kind).items():
                try:
                    check_parts(kind, config)
                except ConfigError as error:
                    raise self.fail(f"{kind} {name!r}: {error}", kind, name) from error
        for name, config in spec.rankers.items():
            self._space(config.get("search") or {}, "rankers", name, "search")

    def _check_settings(self, spec: Spec) -> None:
        """Settings that the training module or Lightning's trainer do not have are refused before anything runs."""
        known = {"model": settings_of("model"), "trainer": settings_of("trainer")}
        given: list[tuple[str, Config, tuple[Any, ...]]] = [
            ("model", spec.model, ("model",)),
            ("trainer", spec.trainer, ("trainer",)),
            *(("model", loss.model, ("losses", name, "model")) for name, loss in spec.losses.items()),
        ]
        for kind, settings, place in given:
            if not isinstance(settings, dict):
                raise self.fail(f"{'.'.join(place)} is a mapping from settings to values, got {settings!r:.80}", *place)
            for key, value in settings.items():
                if key not in known[kind]:
                    raise self.fail(f"{'.'.join(place)} has no {key!r}; {suggestion(key, known[kind])}", *place, key)
                if isinstance(value, dict):
                    raise self.fail(
                        f"{'.'.join(place)}: {key} is a number or a word in a benchmark, got {value!r:.80}", *place, key
                    )
                if kind == "model" and key in MODEL:
                    self._check_rate(key, value, *place)

    def _check_rate(self, key: str, value: Any, *place: Any) -> None:
        """Settings that can be searched are numbers; that of heads may be a multiple."""
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            return
        if key != "head_lr":
            raise self.fail(f"{'.'.join(place)}: {key} is a number, got {value!r:.80}", *place, key)
        if not (isinstance(value, str) and re.fullmatch(r"(\d+(\.\d*)?|\.\d+)x", value)):
            raise self.fail(
                f"{'.'.join(place)}: head_lr is a number, or a multiple of lr such as 10x, got {value!r:.80}",
                *place,
                key,
            )

    def _check_folders(self, key: str, names: list[str]) -> None:
        """Each name becomes a folder; two that would be one and the same are refused."""
        seen: dict[str, str] = {}
        for name in names:
            folder = folder_name(name)
            if folder in seen:
                raise self.fail(
                    f"{key} {seen[folder]!r} and {name!r} would share the folder {folder!r}; rename one", key, name
                )
            seen[folder] = name

    def _check_loss(self, spec: Spec, name: str, loss: LossSpec) -> None:
        from ltr.experiments.spec.search import starting
        from ltr.losses.base import Loss

        place = ("losses", name)
        for hole in loss.placeholders:
            if hole not in spec.space(name):
                raise self.fail(f"loss {name!r}: {{{hole}}} needs a range under search, got none", *place)
        for key in loss.search:
            if key not in loss.placeholders and key not in MODEL:
                known = [*loss.placeholders, *MODEL]
                raise self.fail(
                    f"loss {name!r}: search names {key!r}, which is neither in the expression nor a setting of the "
                    f"training; {suggestion(key, known)}",
                    *place, "search", key,
                )  # fmt: skip
        try:
            made = sample_of(loss.filled(starting(spec.space(name))), packages=None)
            text_of(made)  # results keep it
        except ConfigError as error:
            raise self.fail(f"loss {name!r}: {error}", *place) from error
        if not isinstance(made, Loss):
            raise self.fail(f"loss {name!r} must be a loss, got the {type(made).__name__} {made!r}", *place)

    def _override(self, text: str) -> None:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: settings of the spec are written {text}=VALUE")
        parts = key.split(".")
        at = self.content
        for depth, part in enumerate(parts[:-1]):
            if not isinstance(at, dict) or part not in at:
                absent = ("init_args", "search", "model") if depth else ("model", "trainer", "tuning")
                if isinstance(at, dict) and part in absent:
                    at[part] = {}
                else:
                    known = list(at) if isinstance(at, dict) else []
                    raise ConfigError(
                        f"--{text}: there is no {'.'.join(parts[: depth + 1])}; {suggestion(part, known)}"
                    )
            if isinstance(at[part], str) and is_expression(at[part]):
                at[part] = mapping_of(at[part], packages=None)
            at = at[part]
        if not isinstance(at, dict):
            raise ConfigError(f"--{text}: {'.'.join(parts[:-1])} holds no settings, but {at!r}")
        try:
            at[parts[-1]] = plain(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--{text}: {value!r} is no YAML value") from error
