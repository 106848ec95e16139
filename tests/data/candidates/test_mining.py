"""Mined negatives: every filter by name, the same bytes for the same seed, planted false negatives all filtered."""

import json
from collections import Counter

import numpy as np
import pytest

from ltr.data.candidates.mining import Mined, Mining, mine, told
from ltr.data.collections.collection import load
from ltr.data.lists.sampling import Sampling
from ltr.data.text.train_parts import train_part
from ltr.errors import ConfigError, DataError
from ltr.io.trec import Run, write_qrels, write_run

N = 40


def folder_of(place, texts: dict, queries: dict, qrels: dict):
    place.mkdir()
    lines = [json.dumps({"doc_id": d, "title": "", "text": text}) + "\n" for d, text in texts.items()]
    (place / "docs.jsonl").write_text("".join(lines))
    (place / "queries.tsv").write_text("".join(f"{q}\t{text}\n" for q, text in queries.items()))
    write_qrels(place / "qrels.trec", qrels)
    return load(place)


@pytest.fixture
def small(tmp_path):
    """Forty documents, of which d5 is relevant to q, and d7 has its words; d9 is judged and not relevant."""
    texts = {f"d{i}": f"text number {i}" for i in range(N)} | {"d7": "Text   number 5!", "d8": "!?", "d6": ""}
    return folder_of(tmp_path / "c", texts, {"q": "a", "p": "b", "z": "c"}, {"q": {"d5": 1, "d9": 0}, "z": {"d9": 0}})


@pytest.fixture
def run():
    return Run.from_dict({q: {f"d{i}": float(N - i) for i in range(N)} for q in "qp"}, "r")


def names(mined: Mined, query="q") -> list[str]:
    return mined.run[query][0].tolist()


def test_what_is_judged_relevant_is_no_negative_nor_is_what_has_its_words(small, run):
    mined = mine(small, run, Mining(skip=0, depth=12))
    assert names(mined) == ["d0", "d1", "d2", "d3", "d4", "d6", "d8", "d9", "d10", "d11"]
    assert mined.fell == {**dict.fromkeys(mined.fell, 0), "judged relevant": 1, "text of a relevant one": 1, "rank": 28}
    assert (mined.candidates, mined.spared) == (N, 0)
    assert mined.unasked == ["z"]


def test_what_is_relevant_to_the_same_question_is_no_negative(tmp_path, run):
    """q is asked again as p, with another answer, whose copy d7 is none either; r is another question."""
    texts = {f"d{i}": f"text number {i}" for i in range(N)} | {"d7": "Text   number 5!"}
    queries, qrels = (
        {"q": "Why so?", "p": "why  SO?", "r": "why not?"},
        {"q": {"d1": 1}, "p": {"d5": 1, "d6": 0}, "r": {"d2": 1}},
    )
    collection = folder_of(tmp_path / "c", texts, queries, qrels)
    both = Run.from_dict({q: run.to_dict()["q"] for q in "qpr"}, "r")
    mined = mine(collection, both, Mining(skip=0, depth=8))
    assert names(mined) == names(mined, "p") == ["d0", "d2", "d3", "d4", "d6"]
    assert names(mined, "r") == ["d0", "d1", "d3", "d4", "d5", "d6", "d7"]
    assert mined.fell["relevant to a repeated query"] == 2


@pytest.mark.parametrize("in_batch", [False, True])
def test_no_training_list_takes_an_answer_to_the_same_question_for_a_negative(tmp_path, run, in_batch):
    texts = {f"d{i}": f"text number {i}" for i in range(N)}
    collection = folder_of(tmp_path / "c", texts, {"q": "Why so?", "p": "why so?"}, {"q": {"d1": 1}, "p": {"d5": 1}})
    write_run(tmp_path / "run.trec", run)
    sampling = Sampling(docs_per_list=3, top=10, in_batch=in_batch)
    pool = train_part(collection, str(tmp_path / "run.trec"), None, sampling, None, 0, False).pool
    rest = [{pool.doc_ids[i] for i in pool.rest.take(np.array([at])).values.tolist()} for at in range(2)]
    assert [{"d1", "d5"} & own for own in rest] == [set(), set()]
    if in_batch:
        relevant = [{pool.doc_ids[i] for i in pool.relevant.take(np.array([at])).values.tolist()} for at in range(2)]
        assert relevant == [{"d1", "d5"}, {"d1", "d5"}]


def test_triples_do_not_make_what_is_judged_relevant_a_negative_of_a_batch(tmp_path):
    """q has d1 (grade 2) and d2 (grade 1), of which the triples name one; d5 is relevant to p, which asks the same; d8 is nowhere."""
    texts = {f"d{i}": f"text number {i}" for i in range(N)}
    qrels = {"q": {"d1": 2, "d2": 1, "d8": 1, "d3": 0}, "p": {"d5": 1}, "r": {"d2": 1}}
    collection = folder_of(tmp_path / "c", texts, {"q": "Why so?", "p": "why so?", "r": "other"}, qrels)
    (tmp_path / "t.tsv").write_text("q\td1\td3\nq\td1\td4\nr\td2\td5\n")
    pool = train_part(collection, str(tmp_path / "t.tsv"), None, Sampling(in_batch=True), None, 0, False).pool
    relevant = [{pool.doc_ids[i] for i in pool.relevant.take(np.array([at])).values.tolist()} for at in range(3)]
    assert relevant == [{"d1", "d2", "d5"}, {"d1", "d2", "d5"}, {"d2"}]
    assert sorted(pool.doc_ids) == ["d1", "d2", "d3", "d4", "d5"]  # no document more is read


def test_words_of_what_is_somewhat_relevant_are_no_negative(tmp_path, run):
    """d5 is no positive from grade 2 on, and no negative; then its copy d7 is none either."""
    texts = {f"d{i}": f"text number {i}" for i in range(N)} | {"d7": "Text   number 5!"}
    collection = folder_of(tmp_path / "c", texts, {"q": "a"}, {"q": {"d5": 1, "d20": 2}})
    mined = mine(collection, run, Mining(skip=0, depth=9, min_grade=2))
    assert names(mined) == ["d0", "d1", "d2", "d3", "d4", "d6", "d8"]
    assert mined.positives == {"q": ["d20"]}


def test_ranks_count_all_documents_of_the_run(small, run):
    assert names(mine(small, run, Mining(skip=10, depth=13))) == ["d10", "d11", "d12"]


def test_scores_keep_the_order_of_the_run(small, run):
    mined = mine(small, run, Mining(skip=0, depth=12, per_query=4))
    assert mined.run["q"][1].tolist() == [N - int(d[1:]) for d in names(mined)]


def taught(scores: dict) -> Run:
    return Run.from_dict({"q": scores})


def test_filters_by_a_teacher(small, run):
    teacher = taught({"d5": 10.0, "d0": 9.6, "d1": 9.0, "d2": 8.9, "d3": 1.0})

    def left(**settings):
        return names(mine(small, run, Mining(skip=0, depth=5, **settings), teacher))

    assert left(max_score=9.0) == ["d1", "d2", "d3"]  # what scores exactly so much stays
    assert left(margin=1.0) == ["d1", "d2", "d3"]
    assert left(relative_margin=0.05) == ["d1", "d2", "d3"]
    assert left(margin=0.2, relative_margin=0.105) == ["d2", "d3"]  # the larger distance counts
    mined = mine(small, run, Mining(skip=0, depth=5, margin=1.0), teacher)
    assert mined.fell["margin"] == 1
    assert mined.fell["no teacher's score"] == 1  # d4


def test_a_relative_margin_lies_below_a_relevant_document_of_negative_score(small, run):
    teacher = taught({"d5": -10.0, "d0": -10.5, "d1": -11.0})
    assert names(mine(small, run, Mining(skip=0, depth=2, relative_margin=0.1), teacher)) == ["d1"]


def test_margins_count_from_the_relevant_document_that_the_teacher_likes_least(tmp_path, run):
    texts = {f"d{i}": f"text number {i}" for i in range(N)}
    collection = folder_of(tmp_path / "two", texts, {"q": "a"}, {"q": {"d5": 1, "d6": 2}})
    teacher = taught({"d5": 2.0, "d6": 9.0, "d0": 5.0, "d1": 1.0})
    assert names(mine(collection, run, Mining(skip=0, depth=2, margin=0.5), teacher)) == ["d1"]
    mined = mine(collection, run, Mining(skip=0, depth=8))
    assert [t[1] for t in mined.triples()][:2] == ["d5", "d5"]
    assert len(list(mined.triples())) == 2 * len(mined.run.scores)


def test_planted_false_negatives_are_all_filtered_at_the_margin(tmp_path):
    """A hundred unjudged documents that answer as well as the judged ones, to within .3 of the teacher's score."""
    rng = np.random.default_rng(0)
    texts = {f"n{i}": f"noise {i}" for i in range(400)} | {f"p{i}": f"answer {i}" for i in range(20)}
    texts |= {f"f{i}": f"the same answer in other words {i}" for i in range(100)}
    qrels = {f"q{i}": {f"p{i}": 1} for i in range(20)}
    collection = folder_of(tmp_path / "planted", texts, {q: q for q in qrels}, qrels)
    run, teacher = {}, {}
    for i, q in enumerate(qrels):
        planted = [f"f{j}" for j in range(5 * i, 5 * i + 5)]
        noise = [f"n{j}" for j in rng.choice(400, 50, replace=False)]
        docs = rng.permutation([*planted, *noise, f"p{i}"]).tolist()
        run[q] = {d: 100.0 - rank for rank, d in enumerate(docs)}
        level = rng.normal(5, 2)
        teacher[q] = {d: level + rng.uniform(-0.3, 0.3) for d in planted} | {
            d: level - rng.uniform(2, 6) for d in noise
        }
        teacher[q][f"p{i}"] = level
    mined = mine(collection, Run.from_dict(run), Mining(skip=0, margin=0.5), Run.from_dict(teacher))
    assert mined.fell["margin"] == 100
    assert not [d for q in mined.run for d in names(mined, q) if d[0] != "n"]
    without = mine(collection, Run.from_dict(run), Mining(skip=0))
    assert sum(d[0] == "f" for q in without.run for d in names(without, q)) == 100


def test_the_same_seed_chooses_the_same_whatever_else_is_mined(small, run):
    settings = Mining(skip=0, per_query=5, seed=3)
    one = names(mine(small, run, settings))
    # in every process: what hangs on the order of a set of texts would be chosen anew in each
    assert one == ["d1", "d13", "d16", "d21", "d34"]
    alone = Run.from_dict({"q": run.to_dict()["q"]}, "r")
    assert names(mine(small, alone, settings)) == one
    assert names(mine(small, run, Mining(skip=0, per_query=5, seed=4))) != one
    assert names(mine(small, run, Mining(skip=0, per_query=5, choose="top"))) == ["d0", "d1", "d2", "d3", "d4"]


def test_every_negative_is_chosen_about_as_often(small, run):
    count = Counter(d for seed in range(300) for d in names(mine(small, run, Mining(0, 12, per_query=5, seed=seed))))
    assert len(count) == 10
    assert all(110 < n < 190 for n in count.values())  # 150 expected, standard deviation 8.7


def test_not_enough_negatives_are_counted_and_nothing_fills_up(small, run):
    mined = mine(small, run, Mining(skip=0, depth=4, per_query=9))
    assert mined.few == ["q"]
    assert len(names(mined)) == 4


def test_queries_that_the_run_or_the_teacher_lacks(tmp_path, run):
    texts = {f"d{i}": f"text number {i}" for i in range(N)}
    qrels = {"q": {"d5": 1}, "gone": {"d5": 1}, "p": {"d6": 1}}
    collection = folder_of(tmp_path / "three", texts, {"q": "a", "gone": "b", "p": "c"}, qrels)
    teacher = Run.from_dict({"q": {"d5": 3.0, "d0": 1.0}, "p": {"d0": 1.0}})
    mined = mine(collection, run, Mining(skip=0, depth=1, margin=0.1), teacher)
    assert (mined.absent, mined.none, mined.untaught) == (["gone"], ["p"], ["p"])
    assert mined.fell["no teacher's score"] == 1


def test_a_judged_document_that_the_collection_lacks_does_no_harm(tmp_path, run):
    texts = {f"d{i}": f"text number {i}" for i in range(N)}
    qrels = {"q": {"d5": 1, "elsewhere": 1}, "p": {"nowhere": 1}}
    collection = folder_of(tmp_path / "lacks", texts, {"q": "a", "p": "b"}, qrels)
    mined = mine(collection, run, Mining(skip=0))
    assert "d5" not in names(mined)
    assert (mined.positives, mined.lost, mined.unasked) == ({"q": ["d5"]}, ["elsewhere", "nowhere"], ["p"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"skip": 5, "depth": 5}, "mine: needs 0 <= skip < depth, got skip 5 and depth 5"),
        ({"per_query": 0}, "mine: per_query must be at least 1, got 0"),
        ({"min_grade": 0}, "mine: min_grade must be at least 1, got 0"),
        ({"seed": -1}, "mine: seed must not be negative, got -1"),
        ({"margin": -0.1}, "mine: margin must be at least 0, got -0.1"),
        ({"max_score": float("nan")}, "mine: max_score must be a number, got nan"),
        ({"relative_margin": float("nan")}, "mine: relative_margin must be at least 0, got nan"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        Mining(**settings)


@pytest.mark.parametrize("name", ["margin", "relative_margin", "max_score"])
def test_a_margin_without_a_teacher(small, run, name):
    with pytest.raises(
        ConfigError, match=f"mine: {name.replace('_', '-')} compares a teacher's scores, and none is named"
    ):
        mine(small, run, Mining(**{name: 0.5}))


def test_no_negative_at_all(small, run):
    with pytest.raises(
        DataError, match=r"mine: none of 1 queries with relevant documents gets a negative from r; .*score 1"
    ):
        mine(small, run, Mining(0, 1, max_score=0.0), taught({"d0": 1.0}))


def test_told():
    assert told({"rank": 0, "score": 1200}) == "score 1,200"
    assert told({"rank": 0}) == "nothing"
