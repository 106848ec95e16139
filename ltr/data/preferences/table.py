"""A file of preferences as lists of responses, in file order."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ltr.data.collections.shares import share_of, sliced
from ltr.data.lists.ragged import offsets_of
from ltr.data.preferences.forms import PAIR_LABELS, Judged, Said, judged, unused
from ltr.errors import DataError
from ltr.io.parsing.parquet import refusing, whole_table
from ltr.io.parsing.strict_json import from_json
from ltr.io.sources import BROKEN, PACKED, Source

log = logging.getLogger(__name__)

#: endings of files of preferences
ENDINGS = tuple(f"{kind}{packed}" for kind in (".jsonl", ".parquet") for packed in ("", *PACKED.values()))


@dataclass(frozen=True, eq=False)
class Preferences:
    """Prompts with judged responses.

    Attributes:
        source: the file, or share of it, as the user wrote it.
        prompt_ids: one per list, unique.
        prompts: one per list.
        responses: of all lists, one after the other.
        names: ids of the responses, unique within a list.
        labels: [responses] float64, larger is better.
        gains: [responses] float64 what best-of-n measures report.
        offsets: [lists + 1].
        digest: of the file's content.
        same: pairs whose responses are the same text, and which are ties here.
    """

    source: str
    prompt_ids: Sequence[str]
    prompts: Sequence[Said]
    responses: Sequence[Said]
    names: Sequence[str]
    labels: np.ndarray
    gains: np.ndarray
    offsets: np.ndarray
    digest: str = ""
    same: int = 0

    def __len__(self) -> int:
        """Number of lists."""
        return len(self.prompt_ids)

    @property
    def characters(self) -> np.ndarray:
        """[responses] how long each is: what length alone would predict."""
        return np.array([len(text_of(one)) for one in self.responses], np.int64)

    @property
    def ties(self) -> tuple[int, int]:
        """(pairs of equal labels, all pairs) over the lists."""
        sizes = np.diff(self.offsets)
        return _tied(self.labels, self.offsets), int((sizes * (sizes - 1) // 2).sum())

    @property
    def rounded(self) -> int:
        """Pairs of labels that differ, and are one in float32."""
        return _tied(self.labels.astype(np.float32), self.offsets) - _tied(self.labels, self.offsets)

    @property
    def contradicted(self) -> int:
        """Pairs of equal texts within a list whose labels differ."""
        owners = np.repeat(np.arange(len(self)), np.diff(self.offsets)).tolist()
        held: dict[tuple[int, Said], list[float]] = {}
        for owner, said, label in zip(owners, self.responses, self.labels.tolist(), strict=True):
            held.setdefault((owner, said if isinstance(said, str) else json.dumps(said)), []).append(label)
        return sum(a != b for labels in held.values() for a, b in combinations(labels, 2))


def _tied(labels: np.ndarray, offsets: np.ndarray) -> int:
    """Pairs of equal labels over the lists."""
    counts = [np.unique(labels[a:b], return_counts=True)[1] for a, b in pairwise(offsets.tolist())]
    return sum(int((n * (n - 1) // 2).sum()) for n in counts)


def text_of(said: Said) -> str:
    """What was said, without roles."""
    return said if isinstance(said, str) else "\n".join(message["content"] for message in said)


def prompt_key(said: Said) -> str:
    """What is equal for prompts that are the same: a text is what a user says in the one message of a chat."""
    if isinstance(said, str):
        return said
    return said[0]["content"] if [one["role"] for one in said] == ["user"] else json.dumps(said)


def read_preferences(name: str, label: str | None = None, gain: str | None = None) -> Preferences:
    """The preferences of a file of JSON lines or Parquet (packed or not), or of a share of it: ``FILE[:80%]``; see ``file_of``.

    Records of one id make one list, wherever they stand, and so do those without an id that have one prompt. All lists of a
    prompt are in the same share.

    Raises:
        DataError: no such file, no record in it or in the share, or a record that cannot be understood, with its line.
    """
    share = sliced(name)
    source = Source(file_of(share[0] if share else name), "preferences")
    groups: dict[tuple[bool, str], list[Judged]] = {}
    same = repeated = 0
    units: dict[bool, tuple[str, str]] = {}
    left: dict[str, None] = {}
    for where, record in _records(source):
        left |= dict.fromkeys(unused(record, label))
        one = judged(record, where, label, gain)
        same += one.same
        repeated += _repeats(one)
        form = isinstance(record, dict) and record.get("responses") is not None
        unit, before = units.setdefault(form, (one.unit, where))
        if one.unit != unit:
            called = [repr(own) if own else "only which response is preferred" for own in (one.unit, unit)]
            raise DataError(
                f"{where}: labels are {called[0]} here, and {called[1]} at {before}: they would be taken for one scale; give all "
                "records the same, or name the label"
            )
        key = prompt_key(one.prompt)
        held = groups.setdefault((bool(one.id), one.id or key), [])
        if held and prompt_key(held[0].prompt) != key:
            raise DataError(f"{where}: id {one.id!r} stands for another prompt before")
        held.append(one)
    if left:
        log.warning(
            "%s: of pairs %s are not read; labels are %s, or margin",
            *(source, ", ".join(left), ", ".join(f"{a} and {b}" for a, b in PAIR_LABELS[:2])),
        )
    if 2 * repeated > sum(map(len, groups.values())) > 1:
        log.warning(
            "%s: in %d records all responses begin with the text of the prompt, which is read before them anyhow: the model "
            "meets it twice, unless it is part of the answer; cut it off",
            *(source, repeated),
        )
    if not groups:
        raise DataError(f"{source}: there is no preference in it")
    table = _joined(name, source.digest(), list(groups.values()), share, same)
    if near := table.rounded:
        log.warning(
            "%s: labels of %d pairs are so near that float32, in which losses read them, makes them one, so that they teach nothing; "
            "take a constant away from all labels, or scale them",
            *(source, near),
        )
    return table


def file_of(name: str) -> str:
    """The file that a name means: itself, or that of a part of a folder: ``FOLDER/train`` is ``FOLDER/train.jsonl``, or Parquet,
    packed or not.

    Raises:
        DataError: a folder itself, or a part that several files could be.
    """
    path = Path(name)
    if name == "-" or (path.exists() and not path.is_dir()):
        return name
    if path.is_dir():
        parts = sorted({one.name.partition(".")[0] for one in path.iterdir() if one.name.lower().endswith(ENDINGS)})
        hint = f", such as {path / parts[0]}" if parts else ", which holds no .jsonl or .parquet"
        raise DataError(f"preferences: {name} is a folder; name a part of it{hint}")
    found = [f"{name}{ending}" for ending in ENDINGS if Path(f"{name}{ending}").is_file()]
    if len(found) > 1:
        raise DataError(f"preferences: {name} may be {' or '.join(found)}; name one of them")
    return found[0] if found else name


def _repeats(one: Judged) -> bool:
    """Whether all responses of a record begin with the text of its prompt."""
    prompt = one.prompt.strip() if isinstance(one.prompt, str) else ""
    return bool(prompt) and all(isinstance(said, str) and said.strip().startswith(prompt) for said in one.responses)


def _joined(
    name: str, digest: str, groups: list[list[Judged]], share: tuple[str, float, float] | None, same: int
) -> Preferences:
    """Lists from records: several of a prompt are one list each where they are pairs, and one where they are responses."""
    lists: dict[str, Judged] = {}
    taken = {group[0].id for group in groups}
    for number, group in enumerate(groups):
        alone = all(len(one.responses) == 1 for one in group)
        if alone and len(group) > 1:
            names = [one.names[0] for one in group]
            group = [
                Judged(
                    group[0].id,
                    group[0].prompt,
                    tuple(one.responses[0] for one in group),
                    tuple(names if len(set(names)) == len(names) else map(str, range(len(group)))),
                    tuple(one.labels[0] for one in group),
                    tuple((one.labels if one.gains is None else one.gains)[0] for one in group),
                )
            ]
        for part, one in enumerate(group):
            own = (
                one.id
                if one.id and len(group) == 1
                else _made(one.id or f"prompt{number + 1}", len(group), part, taken)
            )
            lists[own] = one
    ids = list(lists)
    if share:
        firsts: dict[str, str] = {}
        for own, one in lists.items():
            firsts.setdefault(prompt_key(one.prompt), own)
        kept = share_of(firsts.values(), *share[1:])
        ids = [own for own, one in lists.items() if firsts[prompt_key(one.prompt)] in kept]
        if not ids:
            raise DataError(f"{name}: this share of {len(firsts)} prompts is empty; take a larger one")
    chosen = [lists[one] for one in ids]
    labels = [value for one in chosen for value in one.labels]
    gains = [value for one in chosen for value in (one.labels if one.gains is None else one.gains)]
    return Preferences(
        name,
        ids,
        [one.prompt for one in chosen],
        [said for one in chosen for said in one.responses],
        [own for one in chosen for own in one.names],
        np.array(labels, np.float64),
        np.array(gains, np.float64),
        offsets_of(np.array([len(one.responses) for one in chosen], np.int64)),
        digest,
        same,
    )


def _made(stem: str, n: int, part: int, taken: set[str]) -> str:
    """An id for one of ``n`` lists, which no record has given to another: two lists of one id would be one."""
    own = stem if n == 1 else f"{stem}.{part + 1}"
    while own in taken:
        own += "'"
    taken.add(own)
    return own


def _records(source: Source) -> Iterator[tuple[str, Any]]:
    if source.stem.endswith((".parquet", ".pq")):
        row = 0
        for batch in whole_table(source).to_batches():
            with refusing(source):
                records = batch.to_pylist()
            for record in records:
                row += 1
                yield f"{source}, row {row}", {key: _plain(value, key) for key, value in record.items()}
        return
    for number, line in enumerate(_lines(source), 1):
        if line.strip():
            where = f"{source}:{number}"
            try:
                yield where, from_json(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except ValueError as error:
                raise DataError(f"{where}: a line must be JSON, got {line[:60]!r} ({error})") from error


def _lines(source: Source) -> Iterator[bytes]:
    try:
        with source.opened() as file:
            yield from file
    except BROKEN as error:
        raise DataError(f"{source}: the packed file is not whole ({error}); fetch or pack it again") from error


def _plain(value: Any, key: str) -> Any:
    """A field of a table as JSON has it: nested ones may be JSON texts, numbers may be numpy's."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:  # a picture beside the texts; as a text it is refused
            return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and np.isnan(value):
        return None
    if isinstance(value, str) and value[:1] in "[{" and value[-1:] in "]}":
        try:
            found = from_json(value)
        except ValueError:
            return value
        messages = isinstance(found, list) and len(found) > 0 and all(isinstance(one, dict) for one in found)
        return found if messages or key in ("responses", "votes") else value  # a text may be a list of numbers, or code
    return value
