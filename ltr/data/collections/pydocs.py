"""The embedded data set: search over the documentation of the Python that runs here.

A query is the summary sentence of an object's documentation, its one relevant document the rest of that documentation
under the object's qualified name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from ltr.data.collections import docstrings
from ltr.errors import DataError
from ltr.io.caching.cached import cached_folder
from ltr.io.caching.keys import key_of_parts
from ltr.io.files import replacing
from ltr.io.trec import write_qrels

logger = logging.getLogger(__name__)

#: split -> share of the queries
SPLITS = {"train": 0.64, "dev": 0.10, "test": 0.26}

#: a change of what is built gets a new number, so that old caches are not taken for it
FORMAT = 3

#: reads the docstrings, in a process of its own
READER = "ltr.data.collections.docstrings"

MIN_QUERY_WORDS, MAX_QUERY_WORDS = 4, 30
#: a document needs so many words beside its name to be a document
MIN_DOC_WORDS = 8

#: summaries that point elsewhere or say nothing, and documentation that a compiler wrote
EMPTY_WORDS = re.compile(
    r"see (also )?[:`\w]|alias (of|for)|same as |in-?place version|(out-of-place|inplace) version|refer to |deprecated|"
    r"\(?no docstring|not implemented|initialize self|overloaded function|self: torch\._c|members:|__init__\(",
    re.IGNORECASE,
)


class Entry(NamedTuple):
    """A document, and the query that it answers (empty where the documentation makes none)."""

    name: str
    title: str
    text: str
    query: str


def build() -> Path:
    """The plain folder of pydocs in the user's cache, built on first use (some ten seconds).

    Documents carry the qualified name and the parameters' names as title, since this is what someone who searches
    sees; no document holds its summary sentence, and documentation that is little more than one makes no document. A
    summary that several objects share makes no query. Splits hold whole modules.

    Raises:
        DataError: when the documentation cannot be read.
    """
    return cached_folder("pydocs", _key(), _build)


def _key() -> str:
    packages = [f"{name} {version(name)}" for name in docstrings.PACKAGES]
    parts = [str(FORMAT), platform.python_version(), sys.platform, *packages]
    return key_of_parts("\n".join(parts))


def _build(folder: Path) -> None:
    logger.info("pydocs: reading the documentation of this Python and its packages (once, about ten seconds)")
    raw = folder / "raw.jsonl"
    command = [sys.executable, "-m", READER, str(raw)]
    # -m puts the working folder first on the path: an empty one, where no user's own random.py is in the way
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")]))
    # some docstrings print sets: a fixed hash seed keeps their order
    env = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        raise DataError(f"pydocs: the documentation of this Python could not be read:\n{done.stderr.strip()[-2000:]}")
    with open(raw, encoding="utf-8") as lines:
        entries = entries_of(docstrings.Documented(*json.loads(line)) for line in lines)
    raw.unlink()
    write(folder, entries)


def entries_of(records: Iterable[docstrings.Documented]) -> list[Entry]:
    """Documents with their queries: equal documents are merged, a query that several documents share is left out."""
    entries: dict[str, Entry] = {}
    for record in records:
        entry = entry_of(record)
        if entry is not None:
            entries.setdefault(_same(entry.text) + _same(entry.query), entry)
    shared = Counter(_same(entry.query) for entry in entries.values())
    return [entry if shared[_same(entry.query)] == 1 else entry._replace(query="") for entry in entries.values()]


def entry_of(record: docstrings.Documented) -> Entry | None:
    """The document and the query of one object; None for documentation that points elsewhere or says too little.

    >>> entry_of(docstrings.Documented("m.area", ["r"], "Return the area of a circle.  It is pi times the square of r."))
    Entry(name='m.area', title='m.area(r)', text='It is pi times the square of r.', query='Return the area of a circle')
    """
    summary, rest = split_summary(plain(_without_signature(record.doc, record.name)))
    words = len(re.findall(r"\w+", rest))
    if words < MIN_DOC_WORDS or EMPTY_WORDS.match(summary) or "deprecated" in f"{summary} {rest[:80]}".lower():
        return None
    title = record.name if record.parameters is None else f"{record.name}({', '.join(record.parameters[:8])})"
    query = summary.rstrip(" .:;")
    told = _same(query) in _same(rest)
    wordy = MIN_QUERY_WORDS <= len(re.findall(r"[A-Za-z]+", query)) <= MAX_QUERY_WORDS
    return Entry(record.name, title, rest, query if wordy and not told else "")


def _without_signature(doc: str, name: str) -> str:
    """Documentation without the call signatures that compiled functions open with."""
    last = re.escape(name.rpartition(".")[2])
    paragraphs = re.split(r"\n\s*\n", doc)
    while paragraphs:
        # "f(x) -> y" alone, "f(x) -> y" and text on the next line, or "f(x) -- text"
        kept = re.sub(rf"\A(?:[\w.]*{last}|[\w.]+)\([^\n]*\)[^\n]*?(?:\n|\Z| -- )", "", paragraphs[0]).strip()
        if kept == paragraphs[0].strip():
            break
        paragraphs = [kept, *paragraphs[1:]] if kept else paragraphs[1:]
    return "\n\n".join(paragraphs)


def plain(doc: str) -> str:
    """Documentation without markup: roles, underlines, directives' marks and examples in the interpreter's form."""
    doc = re.sub(r"(?m)^[ \t]*>>> .*\n?(?:(?![ \t]*\n)[ \t]*\S.*\n?)*", "", doc + "\n")
    doc = re.sub(r"(?m)^[ \t]*([-=~^*#])\1{2,}[ \t]*$", "", doc)
    doc = re.sub(r"(?m)^[ \t]*\.\. (?:versionadded|versionchanged|plot|image|_\w)[^\n]*$", "", doc)
    doc = re.sub(r"(?m)^([ \t]*)\.\. (\w+)::", r"\1\2:", doc)
    doc = re.sub(r":[a-zA-Z:]+:`~?(?:[^`<]*<)?~?([^`>]*)>?`", r"\1", doc)
    return doc.replace("``", "").replace("`", "").strip()


def split_summary(text: str) -> tuple[str, str]:
    """The first sentence, and everything after it on one line.

    >>> split_summary("Join paths, e.g. two of them.  Slashes are\\ninserted.\\n\\nMore.")
    ('Join paths, e.g. two of them.', 'Slashes are inserted. More.')
    """
    first, _, rest = text.partition("\n\n")
    first = " ".join(first.split())
    end = re.search(r"(?<!e\.g)(?<!i\.e)(?<!etc)(?<!\bvs)(?<!\bcf)(?<!\b[A-Z])[.!?]\)?(?=\s+[^a-z\s])", first)
    cut = end.end() if end else len(first)
    return first[:cut], " ".join(f"{first[cut:]} {rest}".split())


def _same(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def group_of(name: str) -> str:
    """The module that a split holds as a whole: a top-level module of the standard library, a public one of a package.

    >>> group_of("os.path.join"), group_of("scipy.stats.norm"), group_of("numpy.ndarray.sort"), group_of("numpy.ma.sort")
    ('os', 'scipy.stats', 'numpy', 'numpy.ma')
    """
    parts = name.split(".")
    inner = ".".join(parts[:2])
    return inner if any(f"{m}.".startswith(f"{inner}.") for m in docstrings.modules_of(parts[0])) else parts[0]


def splits_of(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Split -> the entries whose queries it holds.

    Each module goes, in an order of chance that is always the same, where most is lacking. A query whose object has a
    namesake with a similar summary in a later split (``numpy.ma.sort``, ``numpy.sort``) is left out: a ranker
    could have learnt the answer by heart.
    """
    asked = [entry for entry in entries if entry.query]
    sizes = Counter(group_of(entry.name) for entry in asked)
    have, place = dict.fromkeys(SPLITS, 0), {}
    for group in sorted(sizes, key=lambda g: hashlib.blake2b(g.encode(), digest_size=8).digest()):
        place[group] = min(SPLITS, key=lambda s: (have[s] + sizes[group]) / SPLITS[s])
        have[place[group]] += sizes[group]
    splits: dict[str, list[Entry]] = {}
    namesakes: dict[str, list[set[str]]] = {}
    for split in reversed(SPLITS):
        members = [e for e in asked if place[group_of(e.name)] == split]
        splits[split] = [e for e in members if not any(_similar(_words(e), w) for w in namesakes.get(_leaf(e), ()))]
        for entry in members:
            namesakes.setdefault(_leaf(entry), []).append(_words(entry))
    return {split: splits[split] for split in SPLITS}


def _leaf(entry: Entry) -> str:
    return entry.name.rpartition(".")[2].strip("_").lower()


def _words(entry: Entry) -> set[str]:
    return set(_same(entry.query).split())


def _similar(a: set[str], b: set[str]) -> bool:
    return len(a & b) >= 0.4 * len(a | b)


def write(folder: Path, entries: list[Entry]) -> None:
    """Write documents, queries and judgements as a plain folder, all together and split by split."""
    with replacing(folder / "docs.jsonl") as file:
        for e in entries:
            record = {"doc_id": e.name, "title": e.title, "text": e.text}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    splits = splits_of(entries)
    for suffix, members in {
        "": [e for s in splits.values() for e in s],
        **{f".{s}": m for s, m in splits.items()},
    }.items():
        with replacing(folder / f"queries{suffix}.tsv") as file:
            file.writelines(f"q-{e.name}\t{e.query}\n" for e in members)
        write_qrels(folder / f"qrels{suffix}.trec", {f"q-{e.name}": {e.name: 1} for e in members})
