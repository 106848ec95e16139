import numpy as np
import pytest

from ltr.data.lists.pools import judged_pool, pairs_pool, random_subset, said, shorter_lists, teacher_pool
from ltr.data.lists.sampling import Sampling
from ltr.errors import ConfigError, DataError
from ltr.io.trec import Run

QRELS = {"q1": {"d1": 1, "d2": 0}, "q2": {"d3": 0}, "q3": {"d4": 2}, "q4": {"d5": 1}}
RUN = Run.from_dict({"q1": {"d2": 2.0, "d9": 1.0}, "q2": {"d1": 1.0}, "q3": {"d4": 1.0}})


def drawn_lists(pool, epoch=0):
    drawn = pool.draw(np.arange(len(pool)), 0, epoch)
    return [
        (pool.query_ids[entry], {pool.doc_ids[doc]: label for doc, label in zip(docs, labels, strict=True)})
        for entry, docs, labels in zip(
            drawn.entries,
            np.split(drawn.docs, drawn.offsets[1:-1]),
            np.split(drawn.labels, drawn.offsets[1:-1]),
            strict=True,
        )
    ]


def test_queries_that_give_no_list_are_left_out_and_counted_once(caplog):
    pool = judged_pool("data", list(QRELS), QRELS, RUN, Sampling())
    assert pool.query_ids == ["q1"]
    expected = "data: 3 of 4 queries are left out of training: 1 without relevant documents, 2 without negatives"
    assert caplog.messages == [expected]


def test_lists_that_documents_do_not_suffice_for_are_counted():
    run = Run.from_dict({"q1": {"d2": 2.0, "d9": 1.0}, "q4": {"d1": 1.0}})
    qrels = {"q1": {"d1": 1, "d3": 1, "d4": 1}, "q4": {"d5": 1}}

    def told(**sampling):
        return shorter_lists("data", judged_pool("data", list(qrels), qrels, run, Sampling(**sampling), ["d7", "d8"]))

    assert told(docs_per_list=2) == []
    assert told(docs_per_list=4) == [
        "data: 2 of 2 training lists hold fewer than docs_per_list 4 documents (the shortest 2), since there are no more "
        "candidates: they are trained on as they are"
    ]
    # all relevant documents may enter
    assert (
        "1 of 2 training lists hold fewer than docs_per_list 4 documents (the shortest 2)"
        in told(docs_per_list=4, positives=None)[0]
    )
    assert told(docs_per_list=None) == []
    assert told(docs_per_list=4, random=0.5) == []
    taught = teacher_pool("data", ["q1"], Run.from_dict({"q1": {"a": 1.0, "b": 0.0}}), Sampling(docs_per_list=3))
    assert "1 of 1 training lists hold fewer than docs_per_list 3" in shorter_lists("data", taught)[0]


def test_nothing_left_out_nothing_said(caplog):
    judged_pool("data", ["q1"], QRELS, RUN, Sampling())
    assert not caplog.messages


def test_one_process_of_a_training_warns(caplog, monkeypatch):
    monkeypatch.setattr("pytorch_lightning.utilities.rank_zero.rank_zero_only.rank", 1)
    assert said(["a note"]) == ["a note"]
    assert not caplog.messages
    monkeypatch.setattr("pytorch_lightning.utilities.rank_zero.rank_zero_only.rank", 0)
    said(["a note"])
    assert caplog.messages == ["a note"]


def test_random_negatives_need_no_candidates():
    pool = judged_pool("data", list(QRELS), QRELS, RUN, Sampling(random=1.0), ["d7", "d8"])
    assert pool.query_ids == ["q1", "q3", "q4"]
    assert drawn_lists(pool)[2] == ("q4", {"d5": 1.0, "d7": 0.0, "d8": 0.0})


def test_no_list_at_all():
    with pytest.raises(
        DataError, match=r"data: no query gives a training list: 1 without relevant documents .relevant"
    ):
        judged_pool("data", ["q2"], QRELS, RUN, Sampling())
    with pytest.raises(DataError, match=r"3 without relevant documents, 1 without negatives .*grade 2 or above"):
        judged_pool("data", list(QRELS), QRELS, RUN, Sampling(min_grade=2))
    with pytest.raises(DataError, match="no query gives a training list: there are no queries"):
        judged_pool("data", [], QRELS, RUN, Sampling())


def test_triples_are_lists_of_two():
    triples = [("q1", "d1", "d2"), ("q9", "d1", "d2"), ("q2", "d2", "d3"), ("q1", "d1", "d3")]
    pool = pairs_pool("data", ["q1", "q2"], triples)
    for epoch in range(3):
        assert drawn_lists(pool, epoch) == [
            ("q1", {"d1": 1.0, "d2": 0.0}),
            ("q2", {"d2": 1.0, "d3": 0.0}),
            ("q1", {"d1": 1.0, "d3": 0.0}),
        ]


def test_triples_that_cannot_be_used():
    with pytest.raises(DataError, match="data: no training triple belongs to one of its 1 queries"):
        pairs_pool("data", ["q1"], [("q2", "d1", "d2")])
    with pytest.raises(DataError, match="a training triple of query q1 has document d1 twice"):
        pairs_pool("data", ["q1"], [("q1", "d1", "d1")])


def test_a_teachers_scores_are_labels(caplog):
    run = Run.from_dict({"q1": {"a": 3.5, "b": -2.25, "c": 0.5}, "q2": {"a": 1.0}, "q3": {"b": 2.0, "c": 1.0}})
    pool = teacher_pool("data", ["q1", "q2", "q3", "q4"], run, Sampling(docs_per_list=2))
    assert pool.query_ids == ["q1", "q3"]
    assert caplog.messages == ["data: 1 queries have fewer than two documents in the teacher's run and are left out"]
    truth = run.to_dict()
    seen = set()
    for epoch in range(20):
        for query_id, docs in drawn_lists(pool, epoch):
            assert len(docs) == 2
            assert docs.items() <= truth[query_id].items()
            seen |= {(query_id, doc) for doc in docs}
    assert len(seen) == 5
    caplog.clear()
    whole = teacher_pool("data", ["q1", "q3"], run, Sampling(docs_per_list=None, top=2))
    assert drawn_lists(whole)[0] == ("q1", {"a": 3.5, "c": 0.5})
    assert caplog.messages == [
        "data: sampling.skip 0 and top 2 leave out 1 of the 5 scores of the teacher's run; top null takes all"
    ]


def test_lists_of_one_teachers_score_are_told(caplog):
    run = Run.from_dict({"q1": {"a": 0.0, "b": 0.0}, "q2": {"a": 1.0, "b": 0.0}}, name="big")
    pool = teacher_pool("data", ["q1", "q2"], run, Sampling())
    said = (
        "data: 1 of 2 training lists (50%) have one teacher's score for all documents: losses of pairs and lists learn"
    )
    assert pool.query_ids == ["q1", "q2"]
    assert pool.notes == caplog.messages
    assert pool.notes[0].startswith(said)
    with pytest.raises(
        DataError, match=r"in each of its 1 lists the teacher's run big has one score for all documents"
    ):
        teacher_pool("data", ["q1"], run, Sampling())


def test_teachers_that_cannot_be_used():
    run = Run.from_dict({"q1": {"a": 1.0}}, name="big")
    with pytest.raises(DataError, match="data: no query has two documents or more in the teacher's run big"):
        teacher_pool("data", ["q1", "q2"], run, Sampling())
    with pytest.raises(ConfigError, match=r"random must be 0 with a teacher, got 0.5"):
        teacher_pool("data", ["q1"], run, Sampling(random=0.5))


def test_random_subset_is_seeded_whatever_the_blocks():
    ids = [f"d{i}" for i in range(1000)]
    chosen = random_subset(iter(ids), 50, seed=3)
    assert len(set(chosen)) == 50
    assert set(chosen) <= set(ids)
    assert random_subset(iter(ids[::-1]), 50, seed=3, block=7) == chosen
    assert random_subset(iter(ids), 50, seed=4) != chosen
    assert sorted(random_subset(iter(ids[:5]), 50, seed=3)) == ids[:5]
