"""What a cell is made of beside its settings: the content of its data, and of the model that its scorer starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ltr.errors import LtrError
from ltr.experiments.spec.building import build
from ltr.experiments.spec.spec import Config

#: what it is -> digits of its content
Contents = dict[str, str]


def contents(data: Config, scorer: Config | None) -> Contents:
    """What a cell with these data and this scorer (or ranker) is made of.

    Raises:
        ConfigError, DataError: the data cannot be read here.
    """
    # brings Lightning: a worker that is starting can do without, and shall watch its parent soon
    from ltr.data.contents import contents_of, contents_of_paths

    contents = contents_of(build("data", data))
    tokenizer = (data.get("init_args") or {}).get("tokenizer")
    for name, settings in (("tokenizer", tokenizer), ("scorer", (scorer or {}).get("init_args"))):
        contents |= {f"{name}.{key}".rstrip("."): digits for key, digits in contents_of_paths(settings).items()}
    return contents


class Known:
    """Contents of data and scorers, each looked at once."""

    def __init__(self) -> None:
        self._found: dict[str, Contents | str] = {}

    def __call__(self, data: Config, scorer: Config | None) -> Contents | str:
        """The contents, or a sentence on why they cannot be read here."""
        key = json.dumps([data, scorer], sort_keys=True, default=str)
        if key not in self._found:
            try:
                self._found[key] = contents(data, scorer)
            except (LtrError, OSError) as error:
                self._found[key] = str(error)
        return self._found[key]


def changed(held: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of what differs."""
    return [name for name in dict.fromkeys([*held, *now]) if held.get(name) != now.get(name)]
