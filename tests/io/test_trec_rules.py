"""Nothing that our readers take means something else to trec_eval: against a small parser of its rules, on mixed lines."""

import random

import pytest

from ltr.errors import DataError
from ltr.io.trec import read_qrels, read_run

#: what C's isspace takes for white space
BLANK = " \t\n\v\f\r"
OTHER = "\x1c\u00a0"
FIELDS = ["q", "p", "Q0", "0", "a", "b", "#", "#q", "a#1", "1", "2.5", "-3", "1.0", "1e2", ".5", "nan", "x y", "é"]
GAPS = [" ", " ", " ", "\t", "  ", "\f", "\v", *OTHER, "\0"]
ENDS = ["\n", "\n", "\n", "\r\n", "\n\n", " \n", " # note\n", " more 1\n", ""]


def words_of(line: str) -> list[str]:
    """Fields as C takes them apart, which knows white space of ASCII only."""
    for blank in BLANK:
        line = line.replace(blank, " ")
    return [word for word in line.split(" ") if word]


def by_rule(text: str, run: bool) -> dict[str, dict[str, float]] | None:
    """What trec_eval 10 reads, None where it refuses: comments begin with #, what follows a run's tag counts for nothing.

    Blank lines in judgements, which it refuses and people write, are left out here.
    """
    found: dict[str, dict[str, float]] = {}
    for line in text.split("\n"):
        words = words_of(line)
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 6 if run else len(words) != 4:
            return None
        try:
            value = float(words[4 if run else 3])
        except ValueError:
            return None
        found.setdefault(words[0], {})[words[2]] = value if run else int(value)
    return found


def mixed(rng: random.Random, run: bool) -> str:
    """Lines most of which are well formed, with some fields, gaps and ends of another kind."""
    lines = []
    for i in range(rng.randint(1, 4)):
        fields = ["q", "Q0", f"d{i}", "1", "2.5", "t"] if run else ["q", "0", f"d{i}", "1"]
        for _ in range(rng.choice([0, 1, 1, 2])):
            at = rng.randrange(len(fields) + 1)
            fields[at : at + rng.randint(0, 1)] = [rng.choice(FIELDS)]
        gap = rng.choice(GAPS)
        lines.append(gap.join(fields[:3]) + " " + rng.choice(GAPS).join(fields[3:]) + rng.choice(ENDS))
    return "".join(lines)


@pytest.mark.parametrize("run", [True, False])
def test_what_is_taken_is_what_trec_eval_takes(tmp_path, run):
    rng = random.Random(7)
    path = tmp_path / "file"
    taken = 0
    for _ in range(700):
        text = mixed(rng, run)
        path.write_text(text, newline="")
        try:
            ours = read_run(path).to_dict() if run else read_qrels(path)
        except DataError:
            continue
        taken += 1
        rule = by_rule(text, run)
        if rule is None:  # for us other white space parts fields too
            assert set(OTHER) & set(text), repr(text)
        else:
            assert ours == rule, repr(text)
    assert taken > 60
