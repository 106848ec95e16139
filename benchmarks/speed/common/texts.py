"""Queries and passages with the lengths of MS MARCO, made of the English prose in Python's own standard library.

No download, the same texts on every machine with the same Python, and needs nothing but Python: interpreters of other
environments can make them too. A query is a handful of words of one passage and of the text around it, and that passage is
what it asks for; every second other passage comes from the same neighbourhood and is hard to tell from it.
"""

from __future__ import annotations

import functools
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

WORD = re.compile(r"[A-Za-z][A-Za-z'\-]*[.,;:?!]?$")
#: what stands in triple quotes: nearly always documentation; reading it this way takes a third of parsing the files
QUOTED = re.compile(r"(\"\"\"|''')(.*?)\1", re.DOTALL)
BLANK = re.compile(r"\n\s*\n")
#: words that no one would search for
COMMON = """
    a all also an and any are as at be been but by can each else for from has have if in into is it its may more
    must no not of on one only or other same should so such than that the their them then there these they this to
    used when where which will with without you
"""
STOP = frozenset(COMMON.split())
#: folders of the standard library that are no prose or depend on how Python was installed
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "encodings", "__pycache__", "pip"}
#: parameters of the logarithmic normal distribution of lengths: means of 56 and 6 words
PASSAGE, QUERY = (3.92, 0.45), (1.73, 0.4)
#: parts of the text: what is trained on is never measured on
PARTS = {"train": (0.0, 0.7), "test": (0.7, 1.0)}
#: hard passages lie within so many words of the query's own
NEAR = 8000
LONGEST = 350
#: share of a query's words that its passage holds; the others stand within so many words of the passage's beginning
OWN, AROUND = 0.5, 400


class Asked(NamedTuple):
    """A query, its passages, and which of them it was taken from."""

    query: str
    docs: list[str]
    positive: int


@functools.lru_cache(maxsize=1)
def stream() -> list[str]:
    """The words of the standard library's documentation in running order, no paragraph twice (about 2 seconds)."""
    words: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for path in sources():
        for _, text in QUOTED.findall(path.read_text(encoding="utf-8", errors="replace")):
            for paragraph in prose(text):
                if (key := tuple(paragraph)) not in seen:
                    seen.add(key)
                    words += paragraph
    return words


def sources() -> Iterator[Path]:
    """The files of the standard library, in order of their names."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = (path.relative_to(root) for path in root.rglob("*.py"))
    return (root / path for path in sorted(found) if not LEFT_OUT & set(path.parts))


def prose(text: str) -> Iterator[list[str]]:
    """The words of each paragraph that is sentences rather than code or a table.

    >>> list(prose("Return the sum of a start value and the elements.\\n\\nsum([1, 2]) == 3 + 4 * 5 - 17 + 1"))
    [['Return', 'the', 'sum', 'of', 'a', 'start', 'value', 'and', 'the', 'elements.']]
    """
    for paragraph in BLANK.split(text):
        pieces = paragraph.split()
        if len(pieces) >= 8:
            words = [piece for piece in pieces if len(piece) < 18 and WORD.match(piece)]
            if len(words) >= 0.8 * len(pieces):
                yield words


def questions(n_queries: int, n_docs: int, part: str = "test", seed: int = 0) -> list[Asked]:
    """Queries with their passages.

    Args:
        n_queries: how many.
        n_docs: passages of each, one of them the right one, at a place of chance.
        part: ``train`` or ``test``: they share no text.
        seed: decides them.
    """
    words, chance = stream(), random.Random(f"{part} {seed}")
    first, stop = (int(share * len(words)) for share in PARTS[part])
    if stop - first < 2 * NEAR:
        raise SystemExit(f"texts: the standard library of this Python documents too little: {len(words)} words")

    def passage(start: int) -> str:
        length = int(min(LONGEST, max(8, chance.lognormvariate(*PASSAGE))))
        return " ".join(words[start : start + length])

    found = []
    for _ in range(n_queries):
        own = chance.randrange(first + AROUND, stop - LONGEST - NEAR)
        right = passage(own)
        others = [
            passage(own + chance.randrange(LONGEST, NEAR) if i % 2 else chance.randrange(first, stop - LONGEST))
            for i in range(1, n_docs)
        ]
        place = chance.randrange(n_docs)
        query = query_of(right, " ".join(words[own - AROUND : own + AROUND]), chance)
        found.append(Asked(query, [*others[:place], right, *others[place:]], place))
    return found


def query_of(passage: str, around: str, chance: random.Random) -> str:
    """A few telling words in lower case and in any order, as people type them.

    About half are the passage's; the others come from the text around it, so that the right passage lacks words of its query and
    other passages have some: no ranker finds all of them.
    """
    inside, outside = telling(passage), telling(around)
    wanted = round(min(20, max(2, chance.lognormvariate(*QUERY))))
    chosen = chance.sample(inside, min(wanted, len(inside)))
    foreign = [word for word in outside if word not in inside] or inside
    query = [word if chance.random() < OWN else chance.choice(foreign) for word in chosen]
    return " ".join(dict.fromkeys(query)) or around.split()[0]


def telling(text: str) -> list[str]:
    """The words that someone would search for, each once."""
    words = [word.strip(".,;:?!").lower() for word in text.split()]
    return [word for word in dict.fromkeys(words) if word not in STOP and len(word) > 2]
