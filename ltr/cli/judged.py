"""What commands that measure run files share: judgements from a file or a data set, names of runs, reading and measuring."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ltr.errors import ConfigError

if TYPE_CHECKING:
    from ltr.data.collections.collection import Collection
    from ltr.io.trec import Qrels, Run

#: what rankings are measured by where nothing is asked for
RANKINGS = ["ndcg@10", "mrr@10", "map", "recall@100"]


def judgements(qrels: str | None, dataset: str | None) -> tuple[Qrels, Collection | None]:
    """The judgements, and the collection that they come from where they come from one.

    Args:
        qrels: a file of judgements, or None.
        dataset: the name of a data set, or None.

    Raises:
        ConfigError: both or neither were given.
    """
    if qrels is not None and dataset is None:
        from ltr.io.trec import read_qrels

        return read_qrels(qrels), None
    if dataset is not None and qrels is None:
        from ltr.data.collections.collection import load

        collection = load(dataset)
        return collection.qrels, collection
    got = "neither" if qrels is None else "both"
    raise ConfigError(
        f"give the judgements by --qrels FILE or by --dataset NAME, one of them; got {got}; see: ltr guide measuring"
    )


def names_of(paths: Sequence[str], who: str) -> dict[str, str]:
    """File -> name: its stem, with as many folders before it as it takes to tell files apart.

    Raises:
        ConfigError: a file is listed twice; ``who`` lists it.
    """
    from ltr.io.trec import stem

    if len(set(map(os.path.realpath, paths))) < len(paths):
        raise ConfigError(f"{who} lists a file twice: {' '.join(paths)}")
    folders = {path: Path(path).absolute().parent.parts for path in paths}
    for depth in range(max(map(len, folders.values())) + 1):
        names = {p: "/".join([*folders[p][len(folders[p]) - depth :], stem(p)]) for p in paths}
        if len(set(names.values())) == len(paths):
            return names
    return {path: path for path in paths}  # a.trec beside a.run


def inputs_of(dataset: str | None) -> list[Path]:
    """Documents, queries and judgements of a plain folder, as far as the name of a data set tells; see ``check_outputs``."""
    from ltr.data.collections.shares import unsliced

    place = Path(unsliced(dataset or "")).expanduser()
    for folder in (place, place.parent) if dataset else ():
        files = [*folder.glob("docs.*"), *folder.glob("queries.*"), *folder.glob("qrels.*")]
        if any(file.name.startswith("docs.") for file in files):
            return files
    return []


def baseline_of(wanted: str | None, names: dict[str, str]) -> str | None:
    """The name of the baseline, which may be given by its file."""
    return names.get(wanted, wanted) if wanted is not None else None


def read(path: str, name: str) -> Run:
    """A run file under the name that tables show."""
    from ltr.io.trec import read_run

    return read_run(path, name)
