"""Commands that are killed at random moments and started again end with the bytes of an unbroken one, and leave nothing else.

    LTR_KILLS=200 LTR_KILLS_SEED=1 python -m pytest -m slow tests/campaigns/test_killed_commands.py -s

Trainings have a campaign of their own: tests/training/run/test_kills.py.
"""

import json
import os
import time
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import yaml

from ltr.cli.main import main
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.campaigns.processes import STATUS, ended, generator, hit, started
from tests.tiny_model import WORDS, save_tiny

KILLS, SEED = int(os.environ.get("LTR_KILLS", "12")), int(os.environ.get("LTR_KILLS_SEED", "0"))
#: names of what processes leave that were killed while they wrote
LEFT = (".part", ".old", ".partial", ".partial.json")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin as a copy of this one"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, a collection of 80 queries with 30 candidates each, and tables of features."""
    home = tmp_path_factory.mktemp("kills")
    torch.manual_seed(2)
    CrossEncoder(str(save_tiny(home / "backbone", head=True))).save(home / "best", ModelSettings(60, 20))
    draw, data = np.random.default_rng(1), home / "data"
    data.mkdir()
    docs = {f"d{i}": " ".join(draw.choice(WORDS, draw.integers(5, 40))) for i in range(300)}
    (data / "docs.jsonl").write_text("".join(json.dumps({"doc_id": d, "text": t}) + "\n" for d, t in docs.items()))
    queries = {f"q{i}": " ".join(draw.choice(WORDS, 4)) for i in range(80)}
    (data / "queries.tsv").write_text("".join(f"{q}\t{t}\n" for q, t in queries.items()))
    (data / "qrels.trec").write_text("".join(f"{q} 0 {draw.choice(list(docs))} 1\n" for q in queries))
    lines = [
        f"{q} Q0 {d} {rank} {100 - rank} first\n"
        for q in queries
        for rank, d in enumerate(draw.choice(list(docs), 30, replace=False), 1)
    ]
    (data / "run.first.trec").write_text("".join(lines))
    for name in ("train", "dev", "test"):
        rows = [
            f"{grade} qid:{name}{q} 1:{draw.normal():.3f} 2:{grade + draw.normal():.3f}\n"
            for q in range(20)
            for grade in draw.permutation(4)
        ]
        (home / f"{name}.txt").write_text("".join(rows))
    return home


def rerank(home, out, name="ours.trec", *more):
    given = [
        "--model",
        home / "best",
        "--dataset",
        home / "data",
        "--run",
        "first",
        "--output",
        out / name,
        "--precision",
        "32",
        *more,
    ]
    return ["rerank", *map(str, given)]


def retrieve(home, out, name="bm25.trec.gz"):
    return ["retrieve", "--dataset", str(home / "data"), "--output", str(out / name), "-k", "20"]


def export(home, out):
    given = [
        "--model",
        home / "best",
        "--dataset",
        home / "data",
        "--run",
        "first",
        "--output",
        out / "int8",
        "--calibration",
        5,
        "--queries",
        10,
    ]
    return ["export", *map(str, given), "--min-tau", "0.5", "--max-ndcg-change", "1"]


def benchmark(home, out):
    data = {part: str(home / f"{part}.txt") for part in ("train", "dev", "test")}
    spec = {
        "name": "kills", "data": {"toy": {"class_path": "LetorData", "init_args": {**data, "lists_per_batch": 4}}},
        "scorers": {"linear": "LinearScorer()"}, "losses": {"ListNet": "ListNet()", "RankNet": "RankNet()"}, "seeds": 2,
        "tuning": {"trials": 2, "search": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}}},
        "trainer": {"max_epochs": 2, "accelerator": "cpu"}, "measures": ["ndcg@10"], "monitor": "ndcg@10", "baseline": "ListNet",
    }  # fmt: skip
    (home / "spec.yaml").write_text(yaml.safe_dump(spec))
    return ["benchmark", str(home / "spec.yaml"), "--folder", str(out / "cells"), "--workers", "1"]


#: command -> (its arguments, share of the kills, how often one is killed at most)
COMMANDS = {
    "rerank": (rerank, 0.3),
    "rerank, packed": (lambda home, out: rerank(home, out, "ours.trec.gz", "--scores", "probability"), 0.2),
    "retrieve": (retrieve, 0.2),
    "export": (export, 0.15),
    "benchmark": (benchmark, 0.05),
}


def what_it_left(out):
    """Everything in a folder that does not tell times."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = str(path.relative_to(out))
        if path.name == "manifest.json":
            record = json.loads(path.read_text())
            found[name] = {k: record[k] for k in ("status", "value", "params", "settings")}
        elif path.name in (
            "results.md",
            "results.txt",
            "results.json",
            "results.tex",
            "results.csv",
            "report.html",
            "results.notes.txt",
            "times.json",
        ):
            found[name] = "tells how long cells took"
        elif path.name == "export.json" or (path.suffix == ".json" and b"speedup" in path.read_bytes()):
            found[name] = "tells how fast it is"
        else:
            found[name] = path.read_bytes()
    return found


def leftovers(folder):
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.endswith(LEFT)]


@dataclass
class Campaign:
    """Cases of one kind, and what came of them."""

    name: str
    n: int
    capsys: pytest.CaptureFixture

    def __post_init__(self):
        self.statuses, self.others, self.rng = Counter(), [], generator(SEED, self.name)

    def add(self, number, got, differ, log):
        self.statuses.update(got)
        assert b"Traceback" not in log.read_bytes(), log.read_text()[-3000:]
        if differ:
            self.others.append((number, got, differ))

    def told(self):
        with self.capsys.disabled():
            print(
                f"\n{self.name}: {self.n} cases, {sum(self.statuses.values())} signals, (signal, exit status): {dict(self.statuses)}"
            )
            print(f"ended otherwise: {len(self.others)}", *self.others[:20], sep="\n  ")
        assert not self.others
        assert not {pair for pair in self.statuses if pair[1] not in (0, STATUS[pair[0]])}


@pytest.fixture(scope="module", autouse=True)
def imported(home, tmp_path_factory):
    """Everything that the commands import, so that copies of this process begin with it."""
    out = tmp_path_factory.mktemp("first")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for command in (rerank, retrieve, export):
            assert main(command(home, out)) == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_commands_end_as_unbroken_ones(name, home, tmp_path, monkeypatch, capsys):
    command, share = COMMANDS[name]
    campaign = Campaign(name, max(1, round(share * KILLS)), capsys)
    (tmp_path / "whole").mkdir()
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache of the first"))
    begin = time.perf_counter()
    assert ended(started(command(home, tmp_path / "whole"), tmp_path / "log")) == 0, (tmp_path / "log").read_text()
    took, whole = time.perf_counter() - begin, what_it_left(tmp_path / "whole")
    assert leftovers(tmp_path / "whole") == []
    for number in range(campaign.n):
        out, log = tmp_path / f"cut {number}", tmp_path / f"log {number}"
        out.mkdir()
        monkeypatch.setenv("LTR_CACHE", str(out.with_name(f"cache {number}")))
        got = []
        for attempt in range(6):
            process = started(command(home, out), log)
            if attempt == 0 or (attempt < 5 and campaign.rng.random() < 0.4):
                one = hit(process, took, campaign.rng)
                if one is not None:
                    got.append(one)
                    if one[1]:
                        continue
                    break
            assert ended(process) == 0, log.read_text()[-3000:]
            break
        found = what_it_left(out)
        differ = sorted(k for k in found.keys() | whole.keys() if found.get(k) != whole.get(k))
        campaign.add(number, got, [*differ, *leftovers(out)], log)
    campaign.told()


def test_two_processes_on_one_cache(home, tmp_path, monkeypatch, capsys):
    """One of two that build the same cache is killed; the other ends as ever, and so does the first when it is started again."""
    campaign = Campaign("two on one cache", max(1, round(0.2 * KILLS)), capsys)
    (tmp_path / "whole").mkdir()
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache of the first"))
    begin = time.perf_counter()
    assert ended(started(retrieve(home, tmp_path / "whole"), tmp_path / "log")) == 0
    took, whole = time.perf_counter() - begin, (tmp_path / "whole" / "bm25.trec.gz").read_bytes()
    for number in range(campaign.n):
        out, log, cache = tmp_path / f"cut {number}", tmp_path / f"log {number}", tmp_path / f"cache {number}"
        out.mkdir()
        monkeypatch.setenv("LTR_CACHE", str(cache))
        one, other = (started(retrieve(home, out, f"{name}.trec.gz"), log) for name in "ab")
        got = hit(one, took, campaign.rng)
        if got is None:
            assert ended(one) == 0, log.read_text()
        assert ended(other) == 0, log.read_text()
        if got is not None and got[1]:
            assert ended(started(retrieve(home, out, "a.trec.gz"), log)) == 0, log.read_text()
        differ = [name for name in "ab" if (out / f"{name}.trec.gz").read_bytes() != whole]
        campaign.add(number, [got] if got else [], [*differ, *leftovers(out), *leftovers(cache)], log)
    campaign.told()
