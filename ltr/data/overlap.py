"""What the parts of a data set share that they should not: queries or documents that are both learnt and measured.

Ids are compared, and numbers where ids alone could agree by chance; texts are read for shared ids, and of up to ``TEXTS``
queries. A million training queries take a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ltr.data.base import PartName, RankingData
from ltr.data.collections.collection import Collection, is_published, load
from ltr.data.collections.ids import Ids
from ltr.data.collections.shares import unsliced
from ltr.data.features.engagement import EngagementData
from ltr.data.features.feature_data import FeatureData
from ltr.data.features.table import FeatureTable
from ltr.data.preferences.preference_data import PreferenceData
from ltr.data.preferences.table import Preferences, prompt_key, read_preferences, text_of
from ltr.data.text.text_data import TextData
from ltr.data.wording import same_text
from ltr.errors import DataError, LtrError
from ltr.io.ids import shown
from ltr.io.runs import keys

#: queries whose texts are compared, at most; of more, ids alone
TEXTS = 100_000
#: queries of the same words under another id
WORDS = "query texts"
#: documents whose numbers are hashed at a time
ROWS = 2**16


@dataclass(frozen=True)
class Overlap:
    """What one part shares with another.

    Attributes:
        first, second: the parts, such as ``train`` and ``dev``.
        what: ``queries``, ``query texts`` (of the same words under another id), ``prompts``, ``documents`` (of one list, with
            its numbers and label) or ``items``.
        shared: so many of the second's stand in the first too.
        total: of so many.
        examples: some of their ids.
        remedy: what to do about it.
    """

    first: str
    second: str
    what: str
    shared: int
    total: int
    examples: tuple[str, ...]
    remedy: str

    @property
    def spoils(self) -> bool:
        """Whether it makes figures untrue: what was learnt is what is measured."""
        return self.first == "train" and self.what not in ("items", WORDS)

    def __str__(self) -> str:
        examples = f" ({', '.join(self.examples)}{', …' if self.shared > len(self.examples) else ''})"
        parts = (
            f"{self.shared:,} of {self.second}'s {self.total:,} {self.what} ({self.shared / self.total:.1%}) are in "
            f"{self.first} too{examples}"
        )
        if self.what == "items":
            why = "a scorer that has seen an item in training looks better on it than it is"
        elif self.first == "train" and self.what == WORDS:
            why = f"under another id; what is relevant to them was learnt, so figures on {self.second} are a little too good"
        elif self.spoils:
            why = f"figures on {self.second} would be too good"
        else:
            why = f"the weights are chosen by {self.first}, so figures on {self.second} are a little too good"
        return f"{parts}: {why}; {self.remedy}"


def overlaps(data: RankingData) -> list[Overlap]:
    """What the named parts of a data module share, train's overlaps first; nothing for modules of other classes.

    Queries of texts are the same where id and text agree, since two collections may number theirs alike. Prompts are the
    same where they read alike, whatever their ids and responses are. Documents with
    features are the same where they are the same line of the same content; in two files, where list, item, all numbers
    and the label agree (files without item ids: those of whole lists).

    Args:
        data: a data module; parts that are not prepared yet are read now.
    """
    named = data.named
    overlaps: list[Overlap | None] = []
    for first, second in combinations(named, 2):
        if isinstance(data, TextData):
            overlaps += [_queries(data, first, second), _query_texts(data, first, second)]
        elif isinstance(data, PreferenceData):
            overlaps.append(_prompts(data, first, second))
        elif isinstance(data, FeatureData):
            overlaps.append(_documents(data, first, second))
            if isinstance(data, EngagementData):
                overlaps.append(_items(data, first, second))
    return [one for one in overlaps if one is not None and one.shared]


def refuse_overlap(overlaps: Sequence[Overlap], allowed: bool, option: str) -> list[str]:
    """Raise DataError where dev or test hold what is trained on.

    Args:
        overlaps: what ``overlaps`` gave.
        allowed: take it for meant: then it is told, and not refused.
        option: how a user says so.

    Returns:
        Sentences to be told.
    """
    spoilt = [one for one in overlaps if one.spoils]
    if spoilt and not allowed:
        raise DataError(f"{' | '.join(map(str, spoilt))}; if it is meant to be so: {option}")
    return [str(one) for one in overlaps]


def learnt_queries(collection: Collection, trained_on: Sequence[str]) -> list[str]:
    """Judged queries of a collection that a model was trained on, by id and text.

    A name that cannot be opened here (its folder was moved) says nothing; another published collection is not fetched for it.

    Args:
        collection: what is to be measured with.
        trained_on: names of the collections that the model was trained on, shares among them.
    """
    judged = [query_id for query_id in collection.qrels if query_id in collection.queries]
    found: dict[str, None] = {}
    for name in trained_on:
        if is_published(name) and unsliced(name) != unsliced(collection.name):
            continue
        try:
            other = load(name)
            asked = other.qrels if other.has_qrels else other.queries
        except LtrError:
            continue
        shared = (q for q in judged if q in asked and q in other.queries)
        found |= {q: None for q in shared if same_text(other.queries[q]) == same_text(collection.queries[q])}
    return list(found)


def learnt_prompts(table: Preferences, trained_on: Sequence[str]) -> str:
    """What is to be said of prompts that a model was trained on; empty where there are none.

    A file that cannot be opened here (it was moved) says nothing.

    Args:
        table: what is to be measured with.
        trained_on: names of the files that the model was trained on, shares among them.
    """
    own = {prompt_key(one): one for one in table.prompts}
    learnt: dict[str, None] = {}
    for name in trained_on:
        try:
            learnt |= {key: None for one in read_preferences(name).prompts if (key := prompt_key(one)) in own}
        except LtrError:
            continue
    if not learnt:
        return ""
    examples = ", ".join(shown(text_of(own[key])) for key in list(learnt)[:3])
    return (
        f"it was trained on {len(learnt):,} of the {len(own):,} prompts of {table.source} ({examples}): its figures there are too "
        "good; take a part or a file that it has not seen"
    )


def _queries(data: TextData, first: PartName, second: PartName) -> Overlap:
    one, other = data.drawn_from(first), data.drawn_from(second)
    known = Ids.of(one.query_ids)
    asked = Ids.of(other.query_ids).distinct()
    shared = list(asked[_members(asked.raw, known.raw)])
    if shared and one.collection.signature != other.collection.signature:
        a, b = one.collection.queries, other.collection.queries
        shared = [q for q in shared if same_text(a[q]) == same_text(b[q])]
    names = getattr(data, first), getattr(data, second)
    whole = unsliced(names[0])
    remedy = f"take shares that have no query in common, such as {whole}[:80%] and {whole}[80%:], or another collection"
    return Overlap(first, second, "queries", len(shared), len(asked), tuple(shared[:3]), remedy)


def _query_texts(data: TextData, first: PartName, second: PartName) -> Overlap | None:
    """Queries of the same words that have other ids; None where there are too many to be compared."""
    one, other = data.drawn_from(first), data.drawn_from(second)
    if len(one.query_ids) + len(other.query_ids) > TEXTS:
        return None
    known = {same_text(one.collection.queries[query_id]) for query_id in dict.fromkeys(one.query_ids)} - {""}
    ids, asked = set(one.query_ids), list(dict.fromkeys(other.query_ids))
    shared = [q for q in asked if q not in ids and same_text(other.collection.queries[q]) in known]
    remedy = "take them out of one of the two (ltr data check --train tells them before a training)"
    return Overlap(first, second, WORDS, len(shared), len(asked), tuple(shared[:3]), remedy)


def _prompts(data: PreferenceData, first: PartName, second: PartName) -> Overlap:
    known, asked = ({prompt_key(one): one for one in data.table(part).prompts} for part in (first, second))
    shared = [text_of(prompt) for key, prompt in asked.items() if key in known]
    file = unsliced(getattr(data, first))
    remedy = f"take shares that have no prompt in common, such as {file}[:80%] and {file}[80%:], or another file"
    return Overlap(first, second, "prompts", len(shared), len(asked), tuple(map(shown, shared[:3])), remedy)


def _documents(data: FeatureData, first: PartName, second: PartName) -> Overlap:
    one, other = data.table(first), data.table(second)
    same = np.flatnonzero(_shared(one, other))
    ids = other.doc_ids(same[:3])
    lists = (np.searchsorted(other.offsets, same[:3], "right") - 1).tolist()
    examples = [f"{other.query_ids[i]} {doc_id}" for i, doc_id in zip(lists, ids, strict=True)]
    file = unsliced(getattr(data, first))
    remedy = f"take shares that have none in common, such as {file}[:80%] and {file}[80%:], or another file"
    return Overlap(first, second, "documents", len(same), other.n_docs, tuple(examples), remedy)


def _items(data: EngagementData, first: PartName, second: PartName) -> Overlap | None:
    one, other = data.table(first), data.table(second)
    if one.named is None or other.named is None:
        return None
    known, here = np.unique(one.named), np.unique(other.named)
    shared = here[_members(here, known)]
    if data.split_by == "items":
        remedy = (
            "take shares of one file, which split_by: items shares out by items, or take these items out of one part"
        )
    else:
        remedy = "split by items: data.split_by=items (split_by: items in a configuration)"
    examples = tuple(item.decode() for item in shared[:3].tolist())
    return Overlap(first, second, "items", len(shared), len(here), examples, remedy)


def _members(ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[ids] bool: which stand among the known ones; both are bytes."""
    # ids of up to 8 bytes are compared as integers, 20 times as fast as strings
    if ids.dtype.itemsize == known.dtype.itemsize == 8:
        return np.isin(ids.view(np.uint64), known.view(np.uint64))
    return np.isin(ids, known)


def _shared(one: FeatureTable, other: FeatureTable) -> np.ndarray:
    """[documents of the other] bool: those that the first holds too."""
    if one.digest and one.digest == other.digest:
        return np.isin(other.lines, one.lines)
    place = {query_id: i for i, query_id in enumerate(one.query_ids)}
    lists = np.array([place.get(query_id, -1) for query_id in other.query_ids], np.int64)
    shared = np.zeros(other.n_docs, bool)
    if (lists < 0).all():
        return shared
    named = one.named is not None and other.named is not None
    rows = np.flatnonzero(np.repeat(lists >= 0, np.diff(other.offsets)))
    theirs = np.repeat(np.arange(one.n_lists), np.diff(one.offsets))
    wanted = np.flatnonzero(np.isin(theirs, lists))
    ours = np.repeat(lists, np.diff(other.offsets))[rows]
    shared[rows] = np.isin(_keys(other, rows, ours, named), _keys(one, wanted, theirs[wanted], named))
    if not named:  # rows of few numbers agree by chance; whole lists do not
        sizes = np.diff(other.offsets)
        whole = np.add.reduceat(shared, other.offsets[:-1]) == sizes
        shared &= np.repeat(whole & (sizes > 1), sizes)
    return shared


def _keys(table: FeatureTable, rows: np.ndarray, lists: np.ndarray, named: bool) -> np.ndarray:
    """[rows] 64-bit hashes of list, numbers, label, and item where documents are named."""
    factors = np.random.default_rng(0).integers(1, 2**63, table.n_features + 1, np.uint64) * np.uint64(2) + np.uint64(1)
    items = table.named[rows] if named and table.named is not None else np.zeros(len(rows), "S8")
    keyed = keys(items, lists)
    for at in range(0, len(rows), ROWS):
        part = rows[at : at + ROWS]
        numbers = np.ascontiguousarray(table.features[part], np.float32).view(np.uint32).astype(np.uint64)
        labels = np.ascontiguousarray(table.labels[part], np.float64).view(np.uint64)
        keyed[at : at + ROWS] ^= _mixed(numbers) @ factors[:-1] + _mixed(labels) * factors[-1]
    return keyed


def _mixed(values: np.ndarray) -> np.ndarray:
    """Integers each bit of which depends on all: sums of multiples of plain ones agree too easily."""
    values = (values ^ (values >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0xBF58476D1CE4E5B9)
    return values ^ (values >> np.uint64(33))
