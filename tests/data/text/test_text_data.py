"""TextData: what its training lists, candidates, cache, signature and counts are."""

import gzip
import pickle

import numpy as np
import pytest
import torch

from ltr.data.collections.collection import Collection, load
from ltr.data.lists.sampling import Sampling
from ltr.errors import ConfigError, DataError
from ltr.io.trec import read_run
from tests.data.text_data import FIRST, N_DEV, N_DOCS, N_TRAIN, At, documents, lists_of


def test_batches_are_what_the_tokenizer_makes_of_the_texts(data, folder, tokenizer):
    from transformers import AutoTokenizer

    original = AutoTokenizer.from_pretrained(tokenizer)
    collection = load(folder)
    made = data()
    for loader in (made.train_dataloader(), made.val_dataloader()):
        seen = 0
        for batch in loader:
            assert batch.labels.dtype == torch.float32
            for query_id, doc_id, _, ids, segments in documents(batch):
                texts = [[collection.queries[query_id]], collection.texts([doc_id])]
                expected = original(*texts, truncation="only_second", max_length=40)
                assert ids == expected["input_ids"][0]
                assert segments == expected["token_type_ids"][0]
                seen += 1
        assert seen >= N_DEV * 4


def test_training_lists_hold_a_relevant_document_and_candidates(data):
    made = data()
    lists = lists_of(made.train_dataloader())
    assert set(lists) == {f"t{i}" for i in range(N_TRAIN)}
    for query_id, docs in lists.items():
        relevant = FIRST[query_id][2]
        assert len(docs) == 4
        assert set(docs) <= set(FIRST[query_id])
        assert docs == {doc: 2.0 if doc == relevant else 0.0 for doc in docs}
        assert relevant in docs


def test_dev_lists_are_the_candidates_with_their_grades(data):
    made = data(dev_top=5)
    lists = lists_of(made.val_dataloader())
    expected = {q: docs[:5] for q, docs in FIRST.items() if q.startswith("v")}
    assert {q: list(docs) for q, docs in lists.items()} == expected
    assert all(docs == {d: 2.0 if i == 2 else 0.0 for i, d in enumerate(docs)} for docs in lists.values())
    assert {q: made.part("dev").first[q][0].tolist() for q in made.part("dev").first} == expected
    assert set(made.part("dev").qrels) == {*expected, "v5"}  # without candidates, yet judged
    assert made.part("dev").qrels["v0"] == {FIRST["v0"][2]: 2, FIRST["v0"][0]: -1}
    lengths = [batch.lengths.float().mean().item() for batch in data(eval_tokens_per_batch=200).val_dataloader()]
    assert lengths == sorted(lengths)
    assert len(lengths) > 1


def test_all_candidates(data):
    assert all(len(docs) == 8 for docs in lists_of(data(dev_top=None).val_dataloader()).values())


def test_test_follows_dev(data, folder):
    made = data(stage="test", test=f"{folder}/train", dev_top=3)
    lists = lists_of(made.test_dataloader())
    assert {q: list(docs) for q, docs in lists.items()} == {q: FIRST[q][:3] for q in FIRST if q.startswith("t")}
    assert made.part("test").first["t1"][0].tolist() == FIRST["t1"][:3]
    assert made.part("test").qrels["t1"][FIRST["t1"][2]] == 2


def test_judged_documents_as_candidates(data):
    made = data(train_candidates="qrels", dev_candidates="qrels", sampling=Sampling(docs_per_list=None))
    for lists in (lists_of(made.train_dataloader()), lists_of(made.val_dataloader())):
        lists.pop("v5", None)
        assert lists == {q: {FIRST[q][2]: 2.0, FIRST[q][0]: 0.0} for q in lists}


def test_bm25_is_searched_once(data, monkeypatch):
    made = data(train_candidates="bm25", dev_candidates="bm25", dev_top=7)
    assert all(len(made.part("dev").first[q][0]) <= 7 for q in made.part("dev").first)
    expected = {q: made.part("dev").first[q][0].tolist() for q in made.part("dev").first}
    monkeypatch.setattr("ltr.data.text.parts.retrieve", None)
    again = data(train_candidates="bm25", dev_candidates="bm25", dev_top=7)
    assert {q: again.part("dev").first[q][0].tolist() for q in again.part("dev").first} == expected
    assert again.part("dev").first.name == "bm25"
    monkeypatch.setattr("ltr.data.text.parts.ANALYSIS", -1)  # other terms, other candidates
    with pytest.raises(TypeError):
        data(train_candidates="bm25", dev_candidates="bm25", dev_top=7)


def test_triples(data, monkeypatch):
    triples = [("t1", "d1", "d2"), ("t1", "d1", "d3"), ("t5", "d4", "d5"), ("elsewhere", "d1", "d2")]
    monkeypatch.setattr(Collection, "docpairs", lambda self: iter(triples))
    made = data(train_candidates="docpairs")
    (batch,) = made.train_dataloader()
    found = {(q, d, label) for q, d, label, *_ in documents(batch)}
    assert found == {("t1", "d1", 1), ("t1", "d2", 0), ("t1", "d3", 0), ("t5", "d4", 1), ("t5", "d5", 0)}
    assert batch.list_offsets.diff().tolist() == [2, 2, 2]


@pytest.mark.parametrize("packed", [False, True])
def test_triples_of_a_file_as_mining_writes_them(data, folder, tmp_path, packed):
    path = tmp_path / ("m.tsv.gz" if packed else "m.tsv")
    text = "t1\td1\td2\nt1\td1\td3\nelsewhere\td1\td2\nt5\td4\td5\n"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    made = data(train_candidates=str(path))
    (batch,) = made.train_dataloader()
    found = {(q, d, label) for q, d, label, *_ in documents(batch)}
    assert found == {("t1", "d1", 1), ("t1", "d2", 0), ("t1", "d3", 0), ("t5", "d4", 1), ("t5", "d5", 0)}
    before = made.signature
    path.write_bytes(path.read_bytes() if packed else text.replace("d3", "d4").encode())
    assert (data(train_candidates=str(path)).signature == before) is packed


def test_triples_take_no_random_negatives(data, tmp_path):
    (tmp_path / "m.tsv").write_text("t1\td1\td2\n")
    with pytest.raises(ConfigError, match=r"Sampling: a list of triples is one triple, so random must be 0, got 0.5"):
        data(train_candidates=str(tmp_path / "m.tsv"), sampling=Sampling(random=0.5))


def test_a_run_may_be_called_as_triples_are(data, tmp_path):
    run = tmp_path / "run.tsv"
    run.write_text("".join(f"t{i} Q0 d{j} 1 {-j} r\n" for i in range(12) for j in range(10)))
    made = data(train_candidates=str(run))
    assert len(next(iter(made.train_dataloader()))) > 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "t1\td1\td2\nt1\td1\n",
            r"m.tsv:2: a triple is query_id TAB better document TAB worse document, got 't1\\td1'",
        ),
        ("t1 d1 d2\n", r"m.tsv:1: a triple is query_id TAB"),
        (
            "t1\td1\td2\nt1\td1\tx\n",
            r"m.tsv:2: document x is not in .* \(1 such documents\); the triples must speak of",
        ),
        ("t1\td1\td1\n", "a training triple of query t1 has document d1 twice"),
        ("elsewhere\td1\td2\n", "no training triple belongs to one of its"),
    ],
)
def test_files_of_triples_that_cannot_be(data, tmp_path, text, message):
    (tmp_path / "m.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        data(train_candidates=str(tmp_path / "m.tsv"))


def test_teacher(data, tmp_path):
    run = tmp_path / "teacher.trec"
    run.write_text("".join(f"t{i} Q0 d{j} 1 {j - i / 4} big\n" for i in range(3) for j in range(6)))
    made = data(train_candidates=None, teacher=str(run), standardise_labels=False)
    lists = lists_of(made.train_dataloader())
    truth = read_run(run).to_dict()
    assert set(lists) == {"t0", "t1", "t2"}
    for query_id, docs in lists.items():
        assert len(docs) == 4
        assert docs.items() <= truth[query_id].items()


def test_random_negatives_come_from_the_whole_collection(data):
    made = data(sampling=Sampling(docs_per_list=4, random=1.0, random_pool=50))
    docs = set()
    for epoch in range(5):
        made.trainer = At(epoch)
        docs |= {doc for docs in lists_of(made.train_dataloader()).values() for doc in docs}
    assert 45 < len(docs) <= N_DOCS


def test_subsets(data):
    made = data(train_queries=5, dev_queries=3, train_epoch_lists=2)
    epochs = []
    for epoch in range(5):
        made.trainer = At(epoch)
        epochs.append(set(lists_of(made.train_dataloader())))
    assert [len(queries) for queries in epochs] == [2] * 5
    assert len(set.union(*epochs)) == 5
    assert len(made.part("dev").qrels) == 3
    assert set(data(dev_queries=4).part("dev").qrels) > set(made.part("dev").qrels)
    assert set(data(dev_queries=3, seed=1).part("dev").qrels) != set(made.part("dev").qrels)


def test_prepared_data_need_no_texts_again(data, monkeypatch):
    first = lists_of(data().train_dataloader())

    def texts(self, doc_ids):
        raise AssertionError("texts were looked up again")

    monkeypatch.setattr(Collection, "texts", texts)
    assert lists_of(data().train_dataloader()) == first


def test_other_processes_get_an_encoder_of_a_few_bytes(data):
    made = data()
    encoder = made.train_dataloader().dataset
    copy = pickle.loads(pickle.dumps(encoder))
    spec = next(iter(made.train_dataloader().sampler))
    assert torch.equal(copy[spec].tokens.ids, encoder[spec].tokens.ids)


def test_signature_tells_data_apart(data, folder, tmp_path):
    runs = [tmp_path / "a.trec", tmp_path / "b.trec", tmp_path / "c.trec"]
    for path, last in zip(runs, ("d1", "d2", "d1"), strict=True):
        path.write_text(f"t1 Q0 d11 1 3.0 x\nt1 Q0 {last} 2 2.0 x\n")
    made = [
        data(),
        data(seed=1),
        data(max_length=41),
        data(sampling=Sampling(docs_per_list=5)),
        data(dev_queries=2),
        data(test=f"{folder}/dev"),
        data(train_candidates=str(runs[0])),
        data(train_candidates=str(runs[1])),
    ]
    assert len({one.signature for one in made}) == len(made)
    assert data().signature == made[0].signature
    assert len(made[0].signature) == 16
    assert data(train_candidates=str(runs[2])).signature == made[6].signature


def test_description_counts_what_the_loaders_give(data):
    made = data(max_length=30)
    docs = [one for batch in made.train_dataloader() for one in documents(batch)]
    facts = made.counts["train"]
    assert (facts["queries"], facts["lists"], facts["docs_per_list"]) == (N_TRAIN, N_TRAIN, 4)
    assert facts["tokens_per_doc"] == pytest.approx(np.mean([len(ids) for *_, ids, _ in docs]))
    full = np.mean([len(ids) == 30 for *_, ids, _ in docs])
    assert 0 < facts["truncated"] <= full
    train, dev = made.describe().splitlines()
    assert train.startswith("train: ")
    assert f"12 queries, 12 lists of 4.0 documents, {len(made.train_dataloader())} batches an epoch" in train
    assert f"{100 * facts['truncated']:.1f} % of them cut to 30" in train
    assert "5 queries, 5 lists of 8.0 documents" in dev
    assert made.trained_on == (made.train,)


def test_no_dev_no_validation(data):
    made = data(dev=None)
    assert made.val_dataloader() == []
    assert list(made.counts) == ["train"]


def test_setup_opens_what_a_stage_needs(data, folder):
    made = data(stage="validate", test=f"{folder}/train")
    assert list(made.counts) == ["dev"]
    with pytest.raises(ConfigError, match=r"TextData: train is not set up; call prepare_data\(\) and setup\(\) first"):
        made.train_dataloader()


def test_queries_that_are_cut_are_counted(data):
    usual = data(max_length=30)
    lengths = usual._encoders["train"].queries.lengths(usual._encoders["train"].query_rows)
    most = int(lengths.max()) - 1
    short = data(max_length=30, max_query_length=most)
    share = float((lengths > most).mean())
    assert usual.counts["train"]["truncated_queries"] == 0
    assert "of the queries cut" not in usual.describe()
    assert share > 0
    assert short.counts["train"]["truncated_queries"] == pytest.approx(share)
    assert f", {100 * share:.1f} % of the queries cut to {most}" in short.describe().splitlines()[0]
