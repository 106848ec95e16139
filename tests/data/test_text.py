import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from ltr.data.collection import Collection, load
from ltr.data.sampling import Sampling
from ltr.data.text import TextData
from ltr.errors import ConfigError, DataError
from ltr.io.trec import read_run
from tests.data.tokenizers import WORDS, saved_tokenizer

N_DOCS, N_TRAIN, N_DEV = 60, 12, 6
FIRST = {f"t{i}": [f"d{(5 * i + j) % N_DOCS}" for j in range(10)] for i in range(N_TRAIN)}
FIRST |= {f"v{i}": [f"d{(7 * i + j) % N_DOCS}" for j in range(8)] for i in range(N_DEV - 1)}  # none for the last


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A plain folder of documents of very different lengths; the third candidate of each query is relevant."""
    path = tmp_path_factory.mktemp("collection")
    words = WORDS.split()
    texts = {f"d{i}": " ".join(words[j % len(words)] for j in range(i, i + 1 + 3 * (i % 13))) for i in range(N_DOCS)}
    (path / "docs.jsonl").write_text("".join(json.dumps({"doc_id": d, "text": t}) + "\n" for d, t in texts.items()))
    queries = [f"t{i}" for i in range(N_TRAIN)] + [f"v{i}" for i in range(N_DEV)]
    (path / "queries.tsv").write_text(
        "".join(f"{q}\t{' '.join(words[i : i + 2 + i % 4])}\n" for i, q in enumerate(queries))
    )
    for split, letter in (("train", "t"), ("dev", "v")):
        lines = [f"{q} 0 {docs[2]} 2\n{q} 0 {docs[0]} -1\n" for q, docs in FIRST.items() if q[0] == letter]
        (path / f"qrels.{split}.trec").write_text("".join(lines) + ("v5 0 d1 1\n" if letter == "v" else ""))
    ranked = [(q, d, r) for q, docs in FIRST.items() for r, d in enumerate(docs, 1)]
    (path / "run.first.trec").write_text("".join(f"{q} Q0 {d} {r} {100 - r} first\n" for q, d, r in ranked))
    return path


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> str:
    return saved_tokenizer(tmp_path_factory.mktemp("model"))


@pytest.fixture
def data(folder, tokenizer):
    """Makes TextData of the folder, ready to load."""

    def make(stage=None, **options):
        defaults = {
            "train": f"{folder}/train",
            "dev": f"{folder}/dev",
            "train_candidates": "first",
            "dev_candidates": "first",
            "tokenizer": tokenizer,
            "max_length": 40,
            "max_query_length": 12,
            "sampling": Sampling(docs_per_list=4),
            "lists_per_batch": 4,
        }
        made = TextData(**(defaults | options))
        made.prepare_data()
        made.setup(stage)
        return made

    return make


def documents(batch):
    """(query id, document id, label, token ids, segment ids) of each document of a batch."""
    owners = np.repeat(batch.query_ids, batch.list_offsets.diff().numpy())
    cuts = batch.doc_offsets[1:-1].tolist()
    return list(
        zip(
            owners.tolist(),
            batch.doc_ids,
            batch.labels.tolist(),
            [part.tolist() for part in batch.input_ids.tensor_split(cuts)],
            [part.tolist() for part in batch.segment_ids.tensor_split(cuts)],
            strict=True,
        )
    )


def lists_of(loader):
    """{query: {document: label}}, every query once."""
    found: dict[str, dict[str, float]] = {}
    for batch in loader:
        for query_id, doc_id, label, *_ in documents(batch):
            found.setdefault(query_id, {})[doc_id] = label
    return found


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
    assert {q: made.dev_run[q][0].tolist() for q in made.dev_run} == expected
    assert set(made.dev_qrels) == {*expected, "v5"}  # without candidates, yet judged
    assert made.dev_qrels["v0"] == {FIRST["v0"][2]: 2, FIRST["v0"][0]: -1}
    lengths = [batch.lengths.float().mean().item() for batch in data(eval_tokens_per_batch=200).val_dataloader()]
    assert lengths == sorted(lengths)
    assert len(lengths) > 1


def test_all_candidates(data):
    assert all(len(docs) == 8 for docs in lists_of(data(dev_top=None).val_dataloader()).values())


def test_test_follows_dev(data, folder):
    made = data(stage="test", test=f"{folder}/train", dev_top=3)
    lists = lists_of(made.test_dataloader())
    assert {q: list(docs) for q, docs in lists.items()} == {q: FIRST[q][:3] for q in FIRST if q.startswith("t")}
    assert made.test_run["t1"][0].tolist() == FIRST["t1"][:3]
    assert made.test_qrels["t1"][FIRST["t1"][2]] == 2


def test_judged_documents_as_candidates(data):
    made = data(train_candidates="qrels", dev_candidates="qrels", sampling=Sampling(docs_per_list=None))
    for lists in (lists_of(made.train_dataloader()), lists_of(made.val_dataloader())):
        lists.pop("v5", None)
        assert lists == {q: {FIRST[q][2]: 2.0, FIRST[q][0]: 0.0} for q in lists}


def test_bm25_is_searched_once(data, monkeypatch):
    made = data(train_candidates="bm25", dev_candidates="bm25", dev_top=7)
    assert all(len(made.dev_run[q][0]) <= 7 for q in made.dev_run)
    expected = {q: made.dev_run[q][0].tolist() for q in made.dev_run}
    monkeypatch.setattr("ltr.data.text_parts.retrieve", None)
    again = data(train_candidates="bm25", dev_candidates="bm25", dev_top=7)
    assert {q: again.dev_run[q][0].tolist() for q in again.dev_run} == expected
    assert again.dev_run.name == "bm25"


def test_triples(data, monkeypatch):
    triples = [("t1", "d1", "d2"), ("t1", "d1", "d3"), ("t5", "d4", "d5"), ("elsewhere", "d1", "d2")]
    monkeypatch.setattr(Collection, "docpairs", lambda self: iter(triples))
    made = data(train_candidates="docpairs")
    (batch,) = made.train_dataloader()
    found = {(q, d, label) for q, d, label, *_ in documents(batch)}
    assert found == {("t1", "d1", 1), ("t1", "d2", 0), ("t1", "d3", 0), ("t5", "d4", 1), ("t5", "d5", 0)}
    assert batch.list_offsets.diff().tolist() == [2, 2, 2]


def test_teacher(data, tmp_path):
    run = tmp_path / "teacher.trec"
    run.write_text("".join(f"t{i} Q0 d{j} 1 {j - i / 4} big\n" for i in range(3) for j in range(6)))
    made = data(train_candidates=None, teacher=str(run))
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
        made.trainer = _At(epoch)
        docs |= {doc for docs in lists_of(made.train_dataloader()).values() for doc in docs}
    assert 45 < len(docs) <= N_DOCS


class _At:
    """What a loader asks a trainer."""

    def __init__(self, epoch, rank=0, ranks=1):
        self.current_epoch, self.global_rank, self.world_size = epoch, rank, ranks


def test_subsets(data):
    made = data(train_queries=5, dev_queries=3, train_epoch_lists=2)
    epochs = []
    for epoch in range(5):
        made.trainer = _At(epoch)
        epochs.append(set(lists_of(made.train_dataloader())))
    assert [len(queries) for queries in epochs] == [2] * 5
    assert len(set.union(*epochs)) == 5
    assert len(made.dev_qrels) == 3
    assert set(data(dev_queries=4).dev_qrels) > set(made.dev_qrels)
    assert set(data(dev_queries=3, seed=1).dev_qrels) != set(made.dev_qrels)


# ---------------------------------------------------------------------- epochs, workers, processes


class Recorder(pl.LightningModule):
    """Learns nothing, remembers every training list as (epoch, batch, query, documents)."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[tuple] = []

    def training_step(self, batch, batch_idx):
        bounds = batch.list_offsets.tolist()
        for query_id, first, end in zip(batch.query_ids, bounds, bounds[1:], strict=False):
            self.seen.append((self.current_epoch, batch_idx, query_id, tuple(batch.doc_ids[first:end])))
        return self.layer(torch.ones(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trained(made, epochs, folder, resume=None, **options):
    recorder = Recorder()
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, default_root_dir=folder, num_sanity_val_steps=0, **quiet, **options
    )
    trainer.fit(recorder, datamodule=made, ckpt_path=resume)
    return recorder.seen, trainer


# Lightning recommends workers wherever there are none
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_epochs_draw_anew_with_and_without_workers_and_after_resuming(data, tmp_path):
    alone, _ = trained(data(), 3, tmp_path / "a")
    with_workers, _ = trained(data(workers=1), 3, tmp_path / "b")
    assert with_workers == alone
    _, trainer = trained(data(), 1, tmp_path / "c")
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    resumed, _ = trained(data(), 3, tmp_path / "d", resume=tmp_path / "one.ckpt")
    assert resumed == [one for one in alone if one[0] >= 1]
    by_epoch = [{one[2]: one[3] for one in alone if one[0] == epoch} for epoch in range(3)]
    assert all(len(lists) == N_TRAIN for lists in by_epoch)
    assert by_epoch[0] != by_epoch[1] != by_epoch[2] != by_epoch[0]


def test_two_processes_see_the_batches_of_one(data):
    made = data(sampling=Sampling(docs_per_list=3))
    made.trainer = _At(1)
    alone = [sorted(batch.query_ids) for batch in made.train_dataloader()]
    shares, dev = [], []
    for rank in range(2):
        made.trainer = _At(1, rank, 2)
        shares.append([batch.query_ids for batch in made.train_dataloader()])
        dev.append(set(lists_of(made.val_dataloader())))
    assert [sorted(first + second) for first, second in zip(*shares, strict=True)] == alone
    assert all(map(all, shares))
    assert dev[0] | dev[1] == {f"v{i}" for i in range(N_DEV - 1)}
    assert not dev[0] & dev[1]


def test_lightning_puts_no_sampler_of_its_own_in_front(data):
    from torch.utils.data import DistributedSampler

    made = data()
    for loader in (made.train_dataloader(), made.val_dataloader()):
        assert isinstance(loader.sampler, DistributedSampler)


def test_token_budget(data):
    made = data(lists_per_batch=None, tokens_per_batch=300)
    loader = made.train_dataloader()
    sums = [len(batch.input_ids) for batch in loader]
    assert len(sums) == len(loader) > 2
    assert max(sums) < 300 + 4 * 40


# ---------------------------------------------------------------------- cache, signature, counts


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
    assert torch.equal(copy[spec].input_ids, encoder[spec].input_ids)


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


# ---------------------------------------------------------------------- configuration and bad input


@pytest.mark.parametrize(
    "sampling",
    [
        ["--data.sampling.docs_per_list=5"],
        ['--data.sampling={"class_path": "ltr.data.Sampling", "init_args": {"docs_per_list": 5}}'],
    ],
)
def test_configuration_from_the_command_line(sampling):
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_subclass_arguments(pl.LightningDataModule, "data")
    sizes = ["--data.lists_per_batch=null", "--data.tokens_per_batch=9"]
    config = parser.parse_args(["--data=ltr.data.TextData", "--data.train=x", *sizes, *sampling])
    made = parser.instantiate(config).data
    assert made.sampling == Sampling(docs_per_list=5)
    assert (made.train, made.tokens_per_batch, made.lists_per_batch) == ("x", 9, None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dev_top": 0}, "dev_top must be at least 1, got 0"),
        ({"train_queries": 0}, "train_queries must be at least 1, got 0"),
        ({"dev_queries": -1}, "dev_queries must be at least 1, got -1"),
        ({"train_epoch_lists": 0}, "train_epoch_lists must be at least 1, got 0"),
        ({"eval_tokens_per_batch": 0}, "eval_tokens_per_batch must be at least 1, got 0"),
        ({"seed": -1}, "seed and workers must not be negative, got -1 and 0"),
        ({"tokens_per_batch": 5}, "either lists_per_batch or tokens_per_batch"),
        ({"train": None, "dev": None}, "name a collection to train, dev or test on, got none"),
        ({"tokenizer": None}, "tokenizer is not set; give the model's hub id or folder"),
        ({"max_length": 14}, "leave room for the document"),
        ({"teacher": "x"}, "leave train_candidates out, got train_candidates first and teacher x"),
        ({"train_candidates": "bm25", "sampling": Sampling(top=None)}, "BM25 would rank the whole collection"),
        ({"train_epoch_lists": 99}, "train_epoch_lists: an epoch has at most one list per query, 12, got 99"),
    ],
)
def test_settings_that_cannot_work(data, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        data(**options).train_dataloader()


def test_parts_that_are_not_set(data):
    made = data(train=None)
    with pytest.raises(ConfigError, match="TextData: train is not set; name a collection"):
        made.train_dataloader()
    with pytest.raises(ConfigError, match="TextData: test is not set; name a collection"):
        _ = made.test_run


def test_unknown_documents_in_runs_are_named_with_the_file(data, tmp_path):
    run = tmp_path / "bad.trec"
    run.write_text("t1 Q0 d1 1 2.0 x\nt1 Q0 nowhere 2 1.0 x\nv1 Q0 nowhere 1 1.0 x\n")
    for options in ({"train_candidates": str(run)}, {"dev_candidates": str(run)}):
        with pytest.raises(DataError, match=r"bad.trec:2: document nowhere is not in"):
            data(**options)
    with pytest.raises(DataError, match=r"bad.trec:2: document nowhere is not in"):
        data(train_candidates=None, teacher=str(run))


def test_unknown_judged_documents_are_named(data, folder, tmp_path):
    import shutil

    other = shutil.copytree(folder, tmp_path / "other")
    with open(other / "qrels.train.trec", "a") as file:
        file.write("t3 0 nowhere 1\n")
    with pytest.raises(DataError, match="no document with id 'nowhere'"):
        data(train=f"{other}/train")


def test_queries_without_text_are_named(data, folder, tmp_path):
    import shutil

    other = shutil.copytree(folder, tmp_path / "other")
    queries = (other / "queries.tsv").read_text()
    for query_id, options in (("t3", {"train": f"{other}/train"}), ("v2", {"dev": f"{other}/dev"})):
        text = next(line for line in queries.splitlines() if line.startswith(f"{query_id}\t"))
        (other / "queries.tsv").write_text(queries.replace(text, f"{query_id}\t "))
        with pytest.raises(DataError, match=rf"other/\w+: query {query_id} has no text; .*ltr data check"):
            data(**options)


def test_judged_queries_without_text_are_counted(data, folder, tmp_path, caplog):
    import shutil

    other = shutil.copytree(folder, tmp_path / "other")
    with open(other / "qrels.dev.trec", "a") as file:
        file.write("unknown 0 d1 1\n")
    made = data(dev=f"{other}/dev")
    assert "unknown" not in made.dev_qrels
    assert f"{other}/dev: 1 of 7 judged queries are not among its queries and are left out: unknown" in caplog.text


def test_teachers_without_numbers(data, tmp_path):
    run = tmp_path / "nan.trec"
    run.write_text("t1 Q0 d1 1 2.0 x\nt1 Q0 d2 2 nan x\n")
    with pytest.raises(DataError, match=r"nan.trec:2: .*finite.* got 'nan'"):
        data(train_candidates=None, teacher=str(run))


def test_nothing_to_train_or_evaluate_on(data, tmp_path):
    run = tmp_path / "few.trec"
    run.write_text("t1 Q0 d7 1 2.0 x\nv1 Q0 d1 1 1.0 x\n")  # d7 is the relevant one of t1
    with pytest.raises(DataError, match="no query gives a training list: 12 without negatives"):
        data(train_candidates=str(run))
    run.write_text("v0 Q0 d7 1 2.0 x\n")
    with pytest.raises(DataError, match=r"none of its 2 judged queries has candidates from .*few.trec"):
        data(dev_candidates=str(run), dev_queries=2, seed=next(s for s in range(99) if not _chosen(s, {"v0"})))


def _chosen(seed, queries):
    from ltr.data.sampling import subset

    return queries & set(subset([f"v{i}" for i in range(N_DEV)], 2, seed))


def test_too_many_processes(data):
    made = data()
    made.trainer = _At(0, 0, 6)
    with pytest.raises(DataError, match="evaluation: each of 6 processes needs a query, got 5 queries"):
        made.val_dataloader()
