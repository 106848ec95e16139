"""BM25 against its formula written out, ties, cache; the other sources of candidates."""

import math
import shutil

import numpy as np
import pytest
from ir_datasets import Dataset
from ir_datasets.formats import BaseScoredDocs, GenericScoredDoc

from ltr.data.candidates import bm25
from ltr.data.candidates.bm25 import BM25, terms
from ltr.data.candidates.sources import candidates, retrieve
from ltr.data.collections.collection import Collection, load
from ltr.errors import ConfigError, DataError
from ltr.io.caching.cache_folder import cache_folder
from ltr.io.trec import write_run


def bm25_by_hand(docs: dict[str, str], query: str, k1: float, b: float) -> dict[str, float]:
    """Lucene's BM25 from its definition, one loop over everything."""
    bags = {d: terms(text) for d, text in docs.items()}
    mean = sum(map(len, bags.values())) / len(bags)
    scores = {}
    for d, bag in bags.items():
        total = 0.0
        for t in terms(query):
            df = sum(t in other for other in bags.values())
            tf = bag.count(t)
            if tf:
                idf = math.log(1 + (len(bags) - df + 0.5) / (df + 0.5))
                total += idf * tf / (tf + k1 * (1 - b + b * len(bag) / mean))
        if total:
            scores[d] = total
    return scores


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0)])
def test_scores_follow_the_formula(tiny_folder, k1, b):
    c = load(tiny_folder)
    run = retrieve(c, k1=k1, b=b)
    for q, text in c.queries.items():
        expected = bm25_by_hand(dict(c.docs()), text, k1, b)
        found = run.to_dict()[q]
        assert found.keys() == expected.keys()
        assert [found[d] for d in expected] == pytest.approx(list(expected.values()), rel=1e-5)
        assert list(found.values()) == sorted(found.values(), reverse=True)


def test_finds_what_one_looks_for(tiny_folder):
    run = retrieve(load(tiny_folder), {"x": "join two paths", "y": "sparse matrices"}, k=1)
    assert run["x"][0].tolist() == ["d5"]
    assert run["y"][0].tolist() == ["d3"] or run["y"][0].tolist() == ["d4"]
    assert run.query_ids == ["x", "y"]


def test_query_without_known_words_stays_empty(tiny_folder):
    run = retrieve(load(tiny_folder), {"x": "zyzzyva", "y": "", "z": "cat"})
    assert [len(run[q][0]) for q in "xyz"] == [0, 0, 2]


def test_no_queries(tiny_folder):
    assert len(retrieve(load(tiny_folder), {})) == 0


def test_ties_at_the_cut_are_the_first_of_the_whole_order(tmp_path):
    ids = [f"d{i}" for i in np.random.default_rng(3).permutation(30)]
    (tmp_path / "docs.tsv").write_text("".join(f"{d}\tsame words here\n" for d in ids))
    c = load(tmp_path)
    whole = retrieve(c, {"q": "same words"}, k=100)["q"][0].tolist()
    assert whole == sorted(ids, reverse=True)  # trec_eval: equal scores by document id, descending
    for k in (1, 7, 29, 30, 31):
        assert retrieve(c, {"q": "same words"}, k=k)["q"][0].tolist() == whole[:k]


def test_index_is_built_once(tiny_folder, monkeypatch):
    first = retrieve(load(tiny_folder))
    monkeypatch.setattr(BM25, "_build", lambda *_: pytest.fail("the index should come from the cache"))
    again = retrieve(load(f"{tiny_folder}/dev"))  # another split, the same documents
    assert again["q3"][0].tolist() == first["q3"][0].tolist()


def test_interrupted_index_leaves_nothing(tiny_folder, monkeypatch):
    c = load(tiny_folder)

    def interrupted(text):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bm25, "terms", interrupted)
        with pytest.raises(KeyboardInterrupt):
            retrieve(c, k1=3.3)
    assert not [p for p in cache_folder("bm25").iterdir() if p.name.startswith(".")]
    assert len(retrieve(c, k1=3.3)) == 4


@pytest.mark.parametrize("name", ["place.npy", "doc_ids.txt", "params.index.json", "data.csc.index.npy"])
def test_a_damaged_index_is_built_anew(tiny_folder, caplog, name):
    c = load(tiny_folder)
    first = retrieve(c, k1=5.5).to_dict()
    path = max(cache_folder("bm25").iterdir(), key=lambda folder: folder.stat().st_mtime_ns) / name
    for damage in (lambda: path.unlink(), lambda: path.write_bytes(path.read_bytes()[:10])):
        damage()
        caplog.clear()
        assert retrieve(c, k1=5.5).to_dict() == first
        assert "is damaged" in caplog.text


def test_progress_shows_a_bar(tiny_folder, capsys):
    retrieve(load(tiny_folder), k1=4.4, progress=True)
    shown = capsys.readouterr().err
    assert "BM25 index" in shown
    assert "BM25 search" in shown


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k1": -1}, "BM25: k1 must be at least 0, got -1"),
        ({"k1": math.nan}, "BM25: k1 must be at least 0, got nan"),
        ({"b": 1.5}, "BM25: b must be between 0 and 1, got 1.5"),
        ({"k": 0}, "k must be at least 1, got 0"),
    ],
)
def test_settings_that_cannot_work(tiny_folder, settings, message):
    with pytest.raises(ConfigError, match=message):
        retrieve(load(tiny_folder), **settings)


def test_search_checks_k(tiny_folder):
    with pytest.raises(ConfigError, match="BM25: k must be at least 1, got 0"):
        BM25(load(tiny_folder)).search({"q": "cat"}, k=0)


@pytest.mark.parametrize("text", ["", "a\t\n"])
def test_nothing_to_index(tmp_path, text):
    (tmp_path / "docs.tsv").write_text(text)
    with pytest.raises(DataError, match=r"there is nothing to index: \d documents, no words"):
        retrieve(load(tmp_path), {"q": "x"})


def test_candidates_from_the_folders_run(tiny_folder):
    run = candidates(load(f"{tiny_folder}/dev"), "first", k=2)
    assert run.to_dict() == {"q3": {"d5": 9.0, "d6": 8.0}, "q4": {"d7": 9.0, "d6": 8.0}}


def test_candidates_from_a_file(tiny_folder, tmp_path):
    c = load(tiny_folder)
    bm = candidates(c, "bm25", k=3)
    write_run(tmp_path / "mine.trec", bm)
    for source in (tmp_path / "mine.trec", str(tmp_path / "mine.trec")):
        again = candidates(c, source)
        assert [again[q][0].tolist() for q in again] == [bm[q][0].tolist() for q in bm]
    assert again.name == "mine"


def test_a_folders_run_named_bm25_goes_first(tiny_folder):
    shutil.copy(tiny_folder / "run.first.trec", tiny_folder / "run.bm25.trec")
    assert candidates(load(tiny_folder), "bm25")["q2"][0].tolist() == ["d3", "d4"]


def test_candidates_from_judgements_hide_the_grades(tiny_folder):
    run = candidates(load(tiny_folder), "qrels")
    assert set(run["q2"][0]) == {"d3", "d4"}
    assert not run.scores.any()


class _Scored(BaseScoredDocs):
    def scoreddocs_iter(self):
        yield GenericScoredDoc("q2", "d4", 3.0)
        yield GenericScoredDoc("q2", "d8", 5.0)
        yield GenericScoredDoc("q-other", "d1", 5.0)


def test_candidates_from_scoreddocs(tiny_folder):
    folder = load(tiny_folder)
    c = Collection("mine", Dataset(*folder.dataset._constituents, _Scored()), "d", "s")
    assert candidates(c, "scoreddocs").to_dict() == {"q2": {"d8": 5.0, "d4": 3.0}}
    assert candidates(c, "scoreddocs", k=1).to_dict() == {"q2": {"d8": 5.0}}


def test_unknown_source(tiny_folder):
    with pytest.raises(DataError, match="candidates: 'bm52' is no file and no known source; did you mean 'bm25'"):
        candidates(load(tiny_folder), "bm52")


def test_candidates_check_k(tiny_folder):
    with pytest.raises(ConfigError, match="candidates: k must be at least 1, got -3"):
        candidates(load(tiny_folder), "first", k=-3)


def test_run_with_unknown_document(tiny_folder):
    with open(tiny_folder / "run.first.trec", "a") as file:
        file.write("q1 Q0 d77 9 0.5 first\nq1 Q0 d78 9 0.4 first\n")
    with pytest.raises(DataError, match=r"run.first.trec:12: document d77 is not in .* \(2 such documents\); the run"):
        candidates(load(tiny_folder), "first")


def test_run_without_any_of_the_queries(tiny_folder):
    (tiny_folder / "run.first.trec").write_text("z1 Q0 d1 1 0.5 first\n")
    with pytest.raises(DataError, match=r"run.first.trec has 1 queries, and none of the 4 of"):
        candidates(load(tiny_folder), "first")


def test_malformed_run_names_the_line(tiny_folder):
    (tiny_folder / "run.first.trec").write_text("q1 Q0 d1 1 0.5 first\nq1 Q0 d2 2 nan first\n")
    with pytest.raises(DataError, match=r"run.first.trec:2: the score must be a finite number, got 'nan'"):
        candidates(load(tiny_folder), "first")


@pytest.mark.shared
@pytest.mark.parametrize(("name", "floor"), [("medquad/dev", 0.51), ("scifact/train", 0.64), ("stackfaq/dev", 0.80)])
def test_bm25_on_real_folders(shared_data, name, floor):
    c = load(shared_data / name)
    run = retrieve(c, k=10)
    ranks = [
        next((i for i, d in enumerate(run[q][0], 1) if judged.get(d, 0) > 0), math.inf) for q, judged in c.qrels.items()
    ]
    assert sum(1 / r for r in ranks) / len(ranks) > floor


@pytest.mark.shared
def test_candidates_of_trec_dl_2021_come_with_the_folder(shared_data):
    c = load(shared_data / "trec-dl-2021")
    assert set(c.runs) == {"bm25", "splade"}
    for name in c.runs:
        assert len(candidates(c, name, k=100)) == 53
