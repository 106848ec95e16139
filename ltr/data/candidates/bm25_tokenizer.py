"""BM25's tokenizer: the index terms of a text, in any script."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

#: words that say nothing about a document (Lucene's English list)
STOPWORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "for",
        "if",
        "in",
        "into",
        "is",
        "it",
        "no",
        "not",
        "of",
        "on",
        "or",
        "such",
        "that",
        "the",
        "their",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "will",
        "with",
    ]
)

#: part of an index's key: a change of how text becomes terms gets a new number
ANALYSIS = 2

#: letters and digits; a combining mark is neither
WORD = re.compile(r"[^\W_]+")
#: scripts that write no spaces between words: Thai, Lao, Burmese, Khmer; kana; Chinese characters
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
SCRIPTS = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")


@lru_cache(maxsize=1 << 18)
def term(word: str) -> str:
    """The index term of a word: plurals lose their s (Harman's s-stemmer), nothing else changes.

    >>> [term(w) for w in ["queries", "matrices", "classes", "glass", "bus", "paths"]]
    ['query', 'matrice', 'classe', 'glass', 'bus', 'path']
    """
    if word.endswith("ies") and not word.endswith(("eies", "aies")) and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("us", "ss")) and len(word) > 3:
        return word[:-1]
    return word


def terms(text: str) -> list[str]:
    """The index terms of a text: runs of letters and digits, lower case, no stopwords, plurals joined with singulars.

    Underscores divide, so that ``read_csv`` is found by "read". Stopwords stay where a text has nothing else. Where a
    script writes no spaces between words, each pair of neighbouring characters is a term.

    >>> terms("Reads the lines of read_csv files")
    ['read', 'line', 'read', 'csv', 'file']
    >>> terms("To be or not to be")
    ['to', 'be', 'or', 'not', 'to', 'be']
    >>> terms("東京都の iPhone")
    ['東京', '京都', '都の', 'iphone']
    """
    words = WORD.findall(text.lower()) if text.isascii() else _words(text)
    return [term(w) for w in words if w not in STOPWORDS] or words


def unspaced(text: str) -> bool:
    """Whether most letters of a text are of scripts that write no spaces between words.

    >>> unspaced("東京都の iPhone"), unspaced("The kanji 東 means east")
    (False, False)
    >>> unspaced("東京都の天気")
    True
    """
    if text.isascii():
        return False
    return 2 * len(_UNSPACED.findall(text)) > sum(map(str.isalnum, text))


def _words(text: str) -> list[str]:
    """Words of a text in any script; pairs of characters where there are none."""
    text = unicodedata.normalize("NFC", text.lower())
    mark, marked = _marks()
    found = (marked if mark.search(text) else WORD).findall(text)
    if not _UNSPACED.search(text):
        return found
    return [part for word in found for run in SCRIPTS.findall(word) for part in _parts(run)]


def _parts(run: str) -> list[str]:
    if not _UNSPACED.match(run) or len(run) == 1:
        return [run]
    return [run[i : i + 2] for i in range(len(run) - 1)]


@lru_cache(maxsize=1)
def _marks() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(a mark that belongs to a letter, such as a vowel of Hindi or Thai; a word that may hold some, which costs twice as much)."""
    marks = [i for i in range(0x10000) if unicodedata.category(chr(i))[0] == "M"]
    runs = [[i for _, i in group] for _, group in groupby(enumerate(marks), lambda pair: pair[1] - pair[0])]
    ranges = "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)
    return re.compile(f"[{ranges}]"), re.compile(rf"[^\W_](?:[^\W_]|[{ranges}])*")
