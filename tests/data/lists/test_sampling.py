import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.data.lists.pools import judged_pool
from ltr.data.lists.sampling import Pool, Sampling, choose, epoch_entries, keys_of, mixed, subset
from ltr.errors import ConfigError
from ltr.io.trec import Run

QUERIES = [f"q{i}" for i in range(30)]


def world(n_candidates=20, n_relevant=3):
    """Judgements and candidates in which candidates hold some relevant documents."""
    qrels = {q: {f"{q}-r{j}": 1 + j % 2 for j in range(n_relevant)} | {f"{q}-zero": 0} for q in QUERIES}
    scores = {
        q: {f"{q}-c{j}": 100.0 - j for j in range(n_candidates)} | {f"{q}-r0": 200.0, f"{q}-zero": 150.0}
        for q in QUERIES
    }
    return qrels, Run.from_dict(scores)


def pool_of(sampling, random_docs=(), **options):
    qrels, run = world(**options)
    return judged_pool("data", QUERIES, qrels, run, sampling, random_docs)


def lists_of(pool, seed=0, epoch=0, entries=None):
    """{query: {document: label}} as drawn."""
    drawn = pool.draw(np.arange(len(pool)) if entries is None else entries, seed, epoch)
    found = {}
    for i, entry in enumerate(drawn.entries):
        span = slice(drawn.offsets[i], drawn.offsets[i + 1])
        docs = [pool.doc_ids[number] for number in drawn.docs[span]]
        assert len(set(docs)) == len(docs)
        found[pool.query_ids[entry]] = dict(zip(docs, drawn.labels[span].tolist(), strict=True))
    return found


def test_lists_have_one_relevant_document_and_candidates_that_are_not():
    for query_id, docs in lists_of(pool_of(Sampling(docs_per_list=6))).items():
        assert len(docs) == 6
        relevant = [doc for doc in docs if "-r" in doc]
        assert len(relevant) == 1
        for doc, label in docs.items():
            assert doc.startswith(f"{query_id}-")
            assert label == (1 + int(doc[-1]) % 2 if doc in relevant else 0)


@pytest.mark.parametrize(
    ("settings_", "relevant", "size"),
    [
        (Sampling(docs_per_list=6, positives=2), 2, 6),
        (Sampling(docs_per_list=6, positives=None), 3, 6),
        (Sampling(docs_per_list=3, positives=None), 2, 3),  # one place stays for a negative
        (Sampling(docs_per_list=None, positives=None), 3, 24),
        (Sampling(docs_per_list=None), 1, 22),
        (Sampling(docs_per_list=100), 1, 22),
        (Sampling(docs_per_list=6, min_grade=2), 1, 6),
    ],
)
def test_sizes(settings_, relevant, size):
    for docs in lists_of(pool_of(settings_)).values():
        assert sum("-r" in doc for doc in docs) == relevant
        assert len(docs) == size


def test_min_grade_decides_what_is_relevant_and_lower_grades_are_no_negatives():
    for docs in lists_of(pool_of(Sampling(docs_per_list=None, positives=None, min_grade=2))).values():
        assert [doc[-2:] for doc in docs if "-r" in doc] == ["r1"]


def test_the_window_of_candidates():
    # in the run: r0, zero, c0, c1, ...
    pool = pool_of(Sampling(docs_per_list=None, skip=2, top=5))
    for query_id, docs in lists_of(pool).items():
        assert {doc for doc in docs if "-r" not in doc} == {f"{query_id}-c{j}" for j in range(3)}


def test_judged_irrelevant_candidates_are_negatives():
    docs = lists_of(pool_of(Sampling(docs_per_list=None)))["q3"]
    assert docs["q3-zero"] == 0.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 50), st.randoms())
def test_a_list_depends_on_seed_epoch_and_query_alone(seed, epoch, random):
    sampling = Sampling(docs_per_list=5, random=0.5)
    pool = pool_of(sampling, random_docs=[f"x{i}" for i in range(50)])
    entries = np.array(random.sample(range(len(pool)), 10))
    everything, some = lists_of(pool, seed, epoch), lists_of(pool, seed, epoch, entries)
    for query_id, docs in some.items():
        assert docs == everything[query_id]
        assert list(docs) == list(everything[query_id])


def test_chunks_do_not_change_lists(monkeypatch):
    pool = pool_of(Sampling(docs_per_list=5))
    whole = lists_of(pool, 3, 4)
    monkeypatch.setattr("ltr.data.lists.sampling.CHUNK", 7)
    assert lists_of(pool, 3, 4) == whole


def test_every_epoch_and_every_seed_draws_anew():
    pool = pool_of(Sampling(docs_per_list=5))
    drawn = [lists_of(pool, seed, epoch) for seed in range(2) for epoch in range(3)]
    for i, first in enumerate(drawn):
        for second in drawn[:i]:
            assert sum(first[q] == second[q] for q in QUERIES) < 5


def test_all_candidates_and_all_positives_get_their_turn():
    pool = pool_of(Sampling(docs_per_list=5))
    counts: dict[str, int] = {}
    epochs = 300
    for epoch in range(epochs):
        for doc in lists_of(pool, 0, epoch, np.array([4]))["q4"]:
            counts[doc] = counts.get(doc, 0) + 1
    positives = [counts[f"q4-r{j}"] for j in range(3)]
    negatives = [counts[f"q4-c{j}"] for j in range(20)]
    assert sum(positives) == epochs
    # 100 expected each with a deviation of 8; 57 with a deviation of 7
    assert min(positives) > 60
    assert 25 < min(negatives) <= max(negatives) < 90


def test_labels_cannot_be_read_from_places():
    places = [
        list(docs.values()).index(max(docs.values()))
        for epoch in range(40)
        for docs in lists_of(pool_of(Sampling(docs_per_list=4)), 0, epoch).values()
    ]
    counts = np.bincount(places, minlength=4)
    assert counts.min() > 0.2 * counts.sum()


def test_random_negatives_have_their_share_and_are_never_relevant():
    others = [f"x{i}" for i in range(40)]
    trap = [f"q{i}-r{j}" for i in range(30) for j in range(3)]  # the pool may hold any document
    pool = pool_of(Sampling(docs_per_list=9, random=0.25), random_docs=others + trap)
    for epoch in range(5):
        for query_id, docs in lists_of(pool, 1, epoch).items():
            own = [doc for doc in docs if doc.startswith(f"{query_id}-")]
            assert len(docs) == 9
            assert len(own) == 7  # 1 relevant and 6 candidates, 2 random
            assert sum("-r" in doc for doc in own) == 1
            assert sum(label > 0 for label in docs.values()) == 1


def test_random_negatives_stand_in_for_missing_candidates():
    pool = pool_of(Sampling(docs_per_list=9, random=0.1), random_docs=[f"x{i}" for i in range(40)], n_candidates=2)
    for docs in lists_of(pool).values():
        assert len(docs) == 9
        assert sum(doc.startswith("x") for doc in docs) == 5


def test_a_small_random_pool_gives_shorter_lists_rather_than_repeated_documents():
    pool = pool_of(Sampling(docs_per_list=9, random=1.0), random_docs=["x0", "x1"])
    for docs in lists_of(pool).values():
        assert set(docs) - {"x0", "x1"} <= {doc for doc in docs if "-r" in doc}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.integers(0, 7), st.integers(0, 2**63))
def test_choose_takes_what_is_there_up_to_what_is_wanted(lengths, wanted, key):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    entries = np.arange(len(lengths))[::-1]
    keys = mixed(np.arange(len(lengths), dtype=np.uint64) + np.uint64(key))
    owners, places = choose(offsets, entries, np.full(len(entries), wanted), keys)
    for i, entry in enumerate(entries):
        mine = places[owners == i]
        assert len(set(mine.tolist())) == len(mine) == min(wanted, lengths[entry])
        assert all(offsets[entry] <= place < offsets[entry + 1] for place in mine)


def test_keys_are_the_same_everywhere():
    # blake2b of the id, 8 bytes, little endian: hashlib.blake2b(b"q1", digest_size=8)
    keys = keys_of(["q1", "q2", "q1"])
    assert keys[0] == keys[2] != keys[1]
    import hashlib

    assert int(keys[0]) == int.from_bytes(hashlib.blake2b(b"q1", digest_size=8).digest(), "little")
    assert keys_of([]).tolist() == []


def test_subsets_are_nested_ordered_and_seeded():
    small, large = subset(QUERIES, 5, 0), subset(QUERIES, 12, 0)
    assert set(small) < set(large)
    assert large == [q for q in QUERIES if q in large]
    assert subset(QUERIES, 5, 1) != small
    assert subset(QUERIES, None, 0) == subset(QUERIES, 99, 0) == QUERIES


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.data())
def test_epochs_walk_through_all_entries(n, data):
    n_lists = data.draw(st.integers(1, n))
    epochs = [epoch_entries(n, n_lists, 7, epoch).tolist() for epoch in range(3 * n)]
    for entries in epochs:
        assert len(entries) == len(set(entries)) == n_lists
    first_walk = [entry for entries in epochs[: n // n_lists] for entry in entries]
    assert len(set(first_walk)) == len(first_walk)
    counts = np.bincount([entry for entries in epochs for entry in entries], minlength=n)
    assert counts.min() >= 1


def test_whole_epochs():
    assert epoch_entries(4, None, 0, 5).tolist() == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="train_epoch_lists: an epoch has at most one list per query, 4, got 5"):
        epoch_entries(4, 5, 0, 0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"docs_per_list": 1}, "docs_per_list must be at least 2, or null for all, got 1"),
        ({"positives": 0}, "positives must be at least 1, or null for all, got 0"),
        ({"positives": 8}, "positives must leave room for negatives, below docs_per_list 8, got 8"),
        ({"min_grade": 0}, "min_grade must be at least 1, got 0"),
        ({"skip": -1}, "needs 0 <= skip < top, got skip -1 and top 100"),
        ({"skip": 5, "top": 5}, "needs 0 <= skip < top, got skip 5 and top 5"),
        ({"random": 1.5}, r"random is a share in \[0, 1\], got 1.5"),
        ({"random": float("nan")}, r"random is a share in \[0, 1\], got nan"),
        ({"random_pool": 0}, "random_pool must be at least 1, got 0"),
        ({"random": 0.5, "docs_per_list": None}, "random negatives need a docs_per_list, got null"),
    ],
)
def test_settings_that_cannot_work(options, sentence):
    with pytest.raises(ConfigError, match=f"Sampling: {sentence}"):
        Sampling(**options)


def test_pool_counts_its_entries():
    assert len(pool_of(Sampling())) == len(QUERIES)
    assert isinstance(pool_of(Sampling()), Pool)
