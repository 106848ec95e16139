"""Whatever stands in a file, a reader takes what a strict reader of another make takes, or refuses it with a sentence.

    LTR_FUZZ=1000000 LTR_FUZZ_SEED=1 python -m pytest -m slow tests/campaigns/test_fuzzed_lines.py -s

reads so many lines in all, a few of which in every file are spoilt, and prints how many files were taken and refused.
"""

import logging
import math
import os
import random
import shutil
import traceback
from collections import Counter

import pytest

from ltr.errors import LtrError
from tests.campaigns.formats import FORMATS, Ours

LINES, SEED = int(os.environ.get("LTR_FUZZ", "6000")), int(os.environ.get("LTR_FUZZ_SEED", "0"))

#: what people, editors, other tools and attackers leave in files
TOKENS = [
    b"", b" ", b"  ", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\x0b", b"\x0c", b"\x1a", b"\x1c", b"\x7f", b"\xff", b"\xed\xa0\x80",
    "\u0085".encode(), "\u00a0".encode(), "\u2028".encode(), "\ufeff".encode(), "é".encode(), "e\u0301".encode(), "😀".encode(),
    "١٢".encode(), "−1".encode(), b'"', b'""', b"'", b",", b";", b":", b"#", b"# x", b"|", b"\\", b"\\u0000", b"\\ud83d", b"{", b"}", b"[", b"]",
    b"&a ", b"*a", b"&a [*a]", b"!!python/object/apply:os.getcwd []", b"!!int x", b"- ", b"? ", b"? [a]\n: b", b"---", b"%", b"@", b"`", b"<<: ",
    b"nan", b"NaN", b"inf", b"-Infinity", b"1e999", b"1e-999", b"1e39", b"-0", b"+5", b"0x1F", b"0b11", b"0o17", b"1_000", b"1,5", b"1.5.2", b"1e", b"1d5",
    b".", b"-", b"9" * 25, b"9" * 5000, b"12:30:45", b"2001-13-45", b"2001-01-01", b"NA", b"null", b"~", b"true", b"None", b"1.0", b"2.5", b"-1", b"0",
    b"qid:", b"qid:7", b"1:1", b"7:2", b"0:1", b"999999999:1", b"../../x", b"/dev/null", b"$(id)", b"${HOME}", b"{x}", b"%s", b"__import__('os')",
    b"d" * 1025, b"[" * 3000, b'{"a":' * 3000, b"(" * 300, b'"text": "other"', b'"doc_id": 5', b'"score": true', b'"query": null', b"1e400",
]  # fmt: skip


def spoilt(lines, separator, rng):
    """The lines with one to three changes: of a token, a field, a few bytes, a whole line."""
    lines = list(lines)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(lines))
        line, token = lines[at], rng.choice(TOKENS)
        place = rng.randrange(len(line) + 1)
        fields = line.split(separator)
        kind = rng.randrange(10)
        if kind < 3:
            lines[at] = line[:place] + token + line[place:]
        elif kind < 6:
            fields[rng.randrange(len(fields))] = token
            lines[at] = separator.join(fields)
        elif kind == 6:
            lines[at] = line[:place] + line[place + rng.randint(1, 3) :]
        elif kind == 7:
            lines[at] = line[:place] + bytes([rng.randrange(256)]) + line[place + 1 :]
        elif kind == 8:
            a, b = rng.randrange(len(fields)), rng.randrange(len(fields))
            fields[a], fields[b] = fields[b], fields[a]
            lines[at] = separator.join(fields)
        else:
            lines[at : at + 1] = rng.choice(
                [[], [line, line], [line + (lines[at + 1] if at + 1 < len(lines) else b"")], [line[:place]]]
            )
            lines = lines or [b""]
    return lines


def whole(lines, rng):
    """The file: ends of lines of one kind, now and then a mark of byte order before, no end behind the last line."""
    end = b"\r\n" if rng.random() < 0.1 else b"\n"
    data = end.join(lines) + (end if rng.random() < 0.8 else b"")
    return (b"\xef\xbb\xbf" if rng.random() < 0.05 else b"") + data


def alike(a, b):
    """Equal, but for the last digits of numbers, which pandas' reader of decimals may leave to chance; anything equals ``...``."""
    if b is ...:
        return True
    if isinstance(a, float) and isinstance(b, (int, float)):
        return a == b or math.isclose(a, b, rel_tol=1e-14)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    return (type(a) is type(b) and a == b) or (isinstance(a, int) and isinstance(b, float) and a == b)


def verdict(form, path, data, said):
    """(what came of a file, what is wrong with that)."""
    path.write_bytes(data)
    said.clear()
    try:
        ours = form.ours(path)
    except LtrError as error:
        most = 2000 + 2 * max(map(len, data.split(b"\n")))  # what is wrong may be shown
        long = f"a sentence of {len(str(error))} characters: {error!s:.300}" if len(str(error)) > most else ""
        return "refused", long
    except (Exception, RecursionError):
        return "crashed", traceback.format_exc(limit=-3)
    try:
        rule = form.rule(data)
    except Exception as error:
        if isinstance(error, Ours) or form.lenient(data) or said:
            return "taken on purpose", ""
        return "taken against the rule", f"{type(error).__name__}: {error!s:.200}"
    if alike(ours, rule):
        return "taken", ""
    return ("told", "") if said else ("changed", f"{ours!r:.600}\n  by the rule {rule!r:.600}")


class Said(logging.Handler):
    """Warnings that a user would see."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_fuzzed_lines_are_read_rightly_or_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache"))
    form, rng = FORMATS[name], random.Random(f"{SEED} {name}")
    logger, said = logging.getLogger("ltr"), Said()
    monkeypatch.setattr(logger, "handlers", [said])
    monkeypatch.setattr(logger, "propagate", False)
    lines, files, counts, faults = 0, 0, Counter(), []
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / form.file
    sound = whole(form.sample(rng), random.Random(1))
    assert verdict(form, path, sound, said.texts) in (("taken", ""), ("taken on purpose", ""))
    while lines < LINES / len(FORMATS):
        data = whole(spoilt(form.sample(rng), form.separator, rng), rng)
        what, wrong = verdict(form, path, data, said.texts)
        counts[what] += 1
        lines, files = lines + data.count(b"\n"), files + 1
        if wrong:
            faults.append((what, data, wrong))
        if files % 200 == 0:
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    with capsys.disabled():
        print(f"\n{name}: {lines:,} lines in {files:,} files, {dict(counts)}, {len(faults)} faults")
        for what, data, wrong in faults[: int(os.environ.get("LTR_FUZZ_SHOWN", "10"))]:
            print(f"--- {what}: {data[:1500]!r}\n  {wrong}")
    assert not faults
    assert counts["taken"]
