"""Training in which the documents of a batch are candidates of all its queries: by id, over all processes."""

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import distributed, multiprocessing, nn

from ltr.batch import DIRECTIONS, TokenRows, TwinLists
from ltr.data import Reading, Sampling, TextData
from ltr.errors import ConfigError, LtrError
from ltr.inference import Reranker
from ltr.links import Identity, Softplus
from ltr.losses import CompositeSoftmax, InfoNCE, Positives, RunningCenter
from ltr.losses.in_batch import in_batch
from ltr.scorers import BiEncoder, CrossEncoder, LateInteraction, Sparse
from ltr.settings import TwinSettings
from ltr.training import RankingModule
from ltr.training.costs import cost_of
from ltr.training.in_batch import columns_of
from ltr.training.link_watch import LinkWatch
from tests.tiny_model import save_mlm

#: list -> (documents with labels, documents known to be relevant); ids are the keys
LISTS = [({3: 1, 8: 0}, [3]), ({5: 1, 6: 1, 9: 0}, [5, 6, 3]), ({3: 1}, [3, 9]), ({7: 1, 8: 0}, [7, 100])]


def tokens_of(number: int) -> torch.Tensor:
    """The tokens of a document (or, from 1000 on, of a query): the same wherever it stands."""
    random = torch.Generator().manual_seed(number)
    return torch.randint(5, 100, (3 + number % 4,), generator=random)


def rows(numbers) -> TokenRows:
    texts = [tokens_of(n) for n in numbers]
    offsets = torch.tensor([0, *torch.tensor([len(t) for t in texts]).cumsum(0)])
    ids = torch.cat(texts)
    return TokenRows(ids, torch.zeros_like(ids), offsets)


def batch_of(which, name="") -> TwinLists:
    own = [LISTS[i] for i in which]
    keys = sorted({doc for docs, _ in own for doc in docs})
    offsets = [torch.tensor([0, *torch.tensor([len(one[k]) for one in own]).cumsum(0)]) for k in (0, 1)]
    return TwinLists(
        offsets[0],
        torch.tensor([float(label) for docs, _ in own for label in docs.values()]),
        rows=torch.tensor([keys.index(doc) for docs, _ in own for doc in docs]),
        queries=rows([1000 + i for i in which]),
        docs=rows(keys),
        keys=torch.tensor(keys),
        relevant=torch.tensor([doc for _, known in own for doc in known]),
        relevant_offsets=offsets[1],
        in_batch=True,
        directions=DIRECTIONS if name == "directions" else DIRECTIONS[:1],
    )


def test_known_positives_are_masked_by_id_and_copies_are_no_columns():
    batch = batch_of(range(4))
    columns = columns_of(batch, batch.keys)
    ids = batch.keys.tolist()
    assert ids == [3, 5, 6, 7, 8, 9]  # document 3 is a positive of two lists, and one column
    bounds = columns.hidden_offsets.tolist()
    hidden = [{ids[at] for at in columns.hidden[a:b].tolist()} for a, b in pairwise(bounds)]
    assert hidden == [set(), {3}, {9}, set()]  # 9 is judged relevant to the third query, and a negative of the second
    assert [ids[at] for at in columns.places.tolist()] == [doc for docs, _ in LISTS for doc in docs]
    assert columns.labels.tolist() == batch.labels.tolist()


def gradients(scorer, loss, batch, factor=1.0):
    scorer.zero_grad()
    cost = cost_of(scorer, loss, batch, progress=1.0)
    (cost.total * factor).backward()
    found = {name: p.grad.clone() for name, p in scorer.named_parameters() if p.grad is not None}
    return float(cost.total.detach()), int(cost.count), found


def by_hand(scorer, batch):
    """InfoNCE over the dense matrix at temperature .1: all columns but those known to be relevant elsewhere."""
    scores = scorer.encode_queries(batch.queries) @ scorer.encode_docs(batch.docs).T / 0.1
    ids, total = batch.keys.tolist(), torch.zeros(())
    for i, (docs, known) in enumerate(LISTS):
        negatives = [at for at, doc in enumerate(ids) if doc not in known and docs.get(doc, 0) == 0]
        positives = [ids.index(doc) for doc, label in docs.items() if label > 0]
        for at in positives:
            logits = torch.cat([scores[i, [at]], scores[i, negatives]])
            total = total - logits.log_softmax(0)[0] / len(positives)
    return total


def test_the_cost_is_that_of_the_dense_matrix(tiny_model):
    scorer = BiEncoder(str(tiny_model), dropout=0.0).train()
    batch = batch_of(range(4))
    loss = InfoNCE(0.1, reduction="none")
    total, count, found = gradients(scorer, loss, batch)
    wanted = by_hand(scorer, batch)
    assert (total, count) == (pytest.approx(wanted.item(), rel=1e-5), 4)
    scorer.zero_grad()
    wanted.backward()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, scorer.get_parameter(name).grad, rtol=1e-4, atol=1e-5)


def test_the_temperature_is_kept_when_gradients_are_cached(tiny_model):
    """Through the whole cost, dropout on: cached gradients are the true ones at each temperature, of loss and of scale."""
    kept = {}
    for temperature in (0.05, 1.0):
        for cached in (False, True):
            scorer = BiEncoder(str(tiny_model), dropout=0.3, scaled=True, checkpointing=cached, batch_docs=2).train()
            torch.manual_seed(1)
            _, _, kept[cached] = gradients(scorer, InfoNCE(temperature, reduction="none"), batch_of(range(4)))
        assert kept[True].keys() == kept[False].keys()
        for name, gradient in kept[True].items():
            scale = float(gradient.abs().max().clamp(min=1))
            torch.testing.assert_close(gradient, kept[False][name], rtol=1e-5, atol=1e-5 * scale)
        kept[temperature] = kept[True]["log_scale"]
    assert abs(kept[0.05] - kept[1.0]) > 0.1 * abs(kept[1.0])


def test_shorter_vectors_are_trained_too(tiny_model):
    loss = InfoNCE(0.1, reduction="none")
    plain = BiEncoder(str(tiny_model), dropout=0.0)
    batch = batch_of(range(4))
    several = BiEncoder(str(tiny_model), dropout=0.0, widths=[8, 16])
    queries, docs = plain.encode_queries(batch.queries), plain.encode_docs(batch.docs)
    columns = columns_of(batch, batch.keys)
    cut = [[nn.functional.normalize(v[:, :w], dim=-1) for v in (queries, docs)] for w in (8, 16, 32)]
    wanted = torch.stack([in_batch(loss, *pair, columns)[0] for pair in cut]).mean()
    torch.testing.assert_close(cost_of(several, loss, batch).total, wanted)
    batch.in_batch = False
    assert len(several.trained_scores(batch)) == 3


@pytest.mark.parametrize("shared", [True, False])
def test_a_running_centre_follows_whole_vectors_once_a_step(tiny_model, shared):
    """Shorter vectors are other scores, and would move it on, once for each width."""
    batch = batch_of(range(4))
    batch.in_batch = shared
    centers = []
    for widths in (None, [8, 16]):
        scorer = BiEncoder(str(tiny_model), dropout=0.0, widths=widths)
        transform = RunningCenter(Identity() + Softplus(width=0.1), of="positives", momentum=0.5)
        loss = CompositeSoftmax(transform, targets=Positives(), reduction="none").train()
        loss.transform.center.fill_(-1.0), loss.transform.started.fill_(True)
        cost_of(scorer, loss, batch)
        centers.append(float(loss.transform.center))
        assert loss.transform.training
    assert centers[0] == centers[1] != -1.0


def test_four_directions_stand_in_one_list(tiny_model):
    """By the formula: one softmax over documents, other queries, and both as seen from the relevant document."""
    scorer = BiEncoder(str(tiny_model), dropout=0.0)
    batch = batch_of(range(4))
    batch.directions = DIRECTIONS
    loss = InfoNCE(0.1, reduction="none")
    q, d = scorer.encode_queries(batch.queries), scorer.encode_docs(batch.docs)
    ids, total = batch.keys.tolist(), torch.zeros(())
    for i, (docs, known) in enumerate(LISTS):
        positives = [ids.index(doc) for doc, label in docs.items() if label > 0]
        own = {ids.index(doc) for doc in docs} | {ids.index(doc) for doc in known if doc in ids}
        strangers = [at for at in range(len(ids)) if at not in own]
        negatives = [ids.index(doc) for doc, label in docs.items() if label == 0] + strangers
        first = positives[0]
        asked = {j for j, (_, theirs) in enumerate(LISTS) if ids[first] in theirs} | {i}
        others = [j for j in range(4) if j not in asked]
        against = [q[i] @ d[negatives].T, q[i] @ q[others].T, d[first] @ q[others].T, d[first] @ d[strangers].T]
        for at in positives:
            total = total - torch.cat([q[[i]] @ d[at], *against]).div(0.1).log_softmax(0)[0] / len(positives)
    torch.testing.assert_close(cost_of(scorer, loss, batch).total, total, rtol=1e-5, atol=1e-5)


def _share(rank: int, folder: str, *models: str) -> None:
    """One process of two: its gradient after DDP's mean, of the loss times the number of processes."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {}
    for name, (scorer, loss) in cases(*models).items():
        total, count, own = gradients(scorer, loss, batch_of([[0, 1], [2, 3]][rank], name), factor=2.0)
        sums = torch.tensor([total, float(count)])
        distributed.all_reduce(sums)
        for gradient in own.values():
            distributed.all_reduce(gradient)
            gradient /= 2
        center = float(loss.transform.center) if name == "running" else 0.0
        found[name] = (*sums.tolist(), center, own)
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    distributed.destroy_process_group()


def cases(model: str, mlm: str):
    """name -> (scorer, loss): what two processes must have as one has it."""
    found = {name: (BiEncoder(model, dropout=0.0).train(), loss) for name, loss in losses().items()}
    sparse = Sparse(mlm, query_flops=0.5, doc_flops=0.25, dropout=0.0)
    torch.manual_seed(0)  # the projection is drawn
    late = LateInteraction(model, dim=8, query_length=0, dropout=0.0)  # texts of the two are of other lengths
    return {
        **found,
        "flops": (sparse.train(), InfoNCE(0.5, reduction="none")),
        "late": (late.train(), InfoNCE(0.5, reduction="none")),
    }


def losses():
    running = RunningCenter(Identity(width=0.1) + Softplus(width=0.1), of="positives")
    made = {
        "plain": InfoNCE(0.1),
        "directions": InfoNCE(0.1),
        "running": CompositeSoftmax(running, targets=Positives()),
    }
    for loss in made.values():
        loss.reduction = "none"
    return made


def test_two_processes_have_the_gradient_of_one(tiny_model, tmp_path):
    """Gathered with gradient: neither doubled nor without the others' part; copies on both processes count once.

    FLOPS are those of the texts of both: the square of a mean over all is no mean of squares over each.
    """
    models = str(tiny_model), save_mlm(tmp_path)
    multiprocessing.spawn(_share, (str(tmp_path), *models), nprocs=2)
    shares = [torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1)]
    for name, (scorer, loss) in cases(*models).items():
        total, count, wanted = gradients(scorer, loss, batch_of(range(4), name))
        for share in shares:
            assert share[name][:2] == (pytest.approx(total, rel=1e-6), count)
            if name == "running":
                assert share[name][2] == pytest.approx(float(loss.transform.center), rel=1e-6)
            # what cancels (biases of keys) is rounded as what it is the sum of
            scale = max(1.0, *(float(gradient.abs().max()) for gradient in wanted.values()))
            for parameter, gradient in wanted.items():
                torch.testing.assert_close(share[name][3][parameter], gradient, rtol=1e-6, atol=1e-6 * scale)


def test_a_batch_without_keys_is_refused(tiny_model):
    batch = batch_of(range(2))
    batch.relevant = None
    with pytest.raises(LtrError, match="a batch with in_batch needs keys, relevant, relevant_offsets and rows"):
        columns_of(batch, batch.keys)


# from a folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twelve queries that share their words with one document each; query 1 has two relevant documents."""
    path = tmp_path_factory.mktemp("collection")
    words = [
        "join",
        "two",
        "paths",
        "split",
        "string",
        "file",
        "read",
        "write",
        "list",
        "sort",
        "number",
        "open",
        "close",
    ]
    docs = {f"d{i}": f"how to {words[i]} {words[(i + 1) % 13]} the {words[(5 * i) % 13]}" for i in range(13)}
    (path / "docs.jsonl").write_text("".join(json.dumps({"doc_id": d, "text": t}) + "\n" for d, t in docs.items()))
    queries = {f"q{i}": f"{words[i]} {words[(i + 1) % 13]}" for i in range(12)}
    (path / "queries.tsv").write_text("".join(f"{q}\t{t}\n" for q, t in queries.items()))
    judged = [f"q{i} 0 d{i} 1\n" for i in range(12)]
    (path / "qrels.train.trec").write_text("".join([*judged[:8], "q1 0 d2 1\n"]))
    (path / "qrels.dev.trec").write_text("".join(judged[8:]))
    return path


def data_of(folder, model, **options):
    defaults = {
        "train": f"{folder}/train", "dev": f"{folder}/dev", "tokenizer": str(model), "max_length": 20, "dev_top": 5,
        "max_query_length": 12, "lists_per_batch": 4, "sampling": Sampling(docs_per_list=1, in_batch=True),
    }  # fmt: skip
    return TextData(**(defaults | options))


def trained(data, scorer, loss=None, epochs=1, **options):
    module = RankingModule(scorer, loss or InfoNCE(0.1), lr=1e-3, measures=["mrr@10"], **options)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return module


def test_a_bi_encoder_trains_on_the_documents_of_its_batches(folder, tiny_model):
    pl.seed_everything(0, verbose=False)
    scorer = BiEncoder(str(tiny_model), query_prompt="what is ", dropout=0.0)
    data, loss = data_of(folder, tiny_model), InfoNCE(0.1)
    data.apart = scorer.apart
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    loss.reduction = "none"
    before = cost_of(scorer, loss, batch).total.item()
    module = trained(data, scorer, loss, epochs=12)
    assert 0 < module.values["mrr@10"] <= 1
    assert cost_of(scorer.eval(), loss, batch).total.item() < 0.7 * before
    assert batch.in_batch
    assert batch.n_docs == len(batch) == 4
    known = dict(zip(batch.query_ids, batch.relevant_offsets.diff().tolist(), strict=True))
    assert all(count == (2 if query_id == "q1" else 1) for query_id, count in known.items())
    prompt = scorer.tokenizer("what is ", add_special_tokens=False)["input_ids"]
    starts = batch.queries.offsets[:-1]
    assert all(batch.queries.ids[s + 1 : s + 3].tolist() == prompt for s in starts)


def test_hard_negatives_and_several_positives_come_from_a_run(folder, tiny_model):
    data = data_of(folder, tiny_model, sampling=Sampling(docs_per_list=4, positives=2, top=6, in_batch=True))
    data.apart = BiEncoder(str(tiny_model)).apart
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.n_docs > len(batch.docs) >= 5  # lists share documents, which are encoded once
    assert batch.labels.sum() >= 4
    assert data.inputs.batch is TwinLists


def test_lists_of_their_own_train_too(folder, tiny_model):
    data = data_of(folder, tiny_model, sampling=Sampling(docs_per_list=3, top=6))
    module = trained(data, BiEncoder(str(tiny_model), widths=[8]))
    assert module.trainer.global_step == 2


def test_a_centre_among_the_negatives_is_warned_of(folder, tiny_model, caplog, monkeypatch):
    monkeypatch.setattr("ltr.training.link_watch.STEPS", 2)
    scorer, said = BiEncoder(str(tiny_model)), "below the positives' mean score"
    for center, warned in ((-0.5, True), (2.0, False)):
        caplog.clear()
        loss = CompositeSoftmax(Identity(width=0.1) + Softplus(center=center), targets=Positives())
        trained(data_of(folder, tiny_model, lists_per_batch=3), scorer, loss)
        assert any(said in record.getMessage() for record in caplog.records) is warned


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (InfoNCE(), True),
        (InfoNCE(0.05), False),
        (CompositeSoftmax(RunningCenter(Softplus(), of="positives"), targets=Positives()), True),
        (CompositeSoftmax(Identity(width=0.05), targets=Positives()), False),
    ],
)
def test_cosines_that_are_too_near_for_a_loss_are_told_once(caplog, loss, told):
    """InfoNCE without a temperature gives the best document of eight at most .51 of the weight."""
    watch = LinkWatch(loss)
    for _ in range(2):
        watch.cosines(8)
    said = "cosines lie from -1 to 1, so that over 8 documents it cannot fall below"
    assert caplog.text.count(f"{type(loss).__name__}: {said}") == told
    if told and isinstance(loss, InfoNCE):
        assert f"{said} 0.666 of the 2.08 that it is where all are equal" in caplog.text


@pytest.mark.parametrize(("options", "told"), [({}, True), ({"scaled": True}, False), ({"similarity": "dot"}, False)])
def test_scores_with_a_scale_are_no_cosines(folder, tiny_model, caplog, options, told):
    trained(data_of(folder, tiny_model, lists_per_batch=8), BiEncoder(str(tiny_model), **options), InfoNCE())
    assert ("InfoNCE: cosines lie from -1 to 1" in caplog.text) == told


def test_batches_that_teach_nothing_are_told(folder, tiny_model, caplog):
    """A token each: every batch holds one list, which has no negatives; it trained on, at loss 0."""
    for tokens, told in ((8, 1), (200, 0)):
        caplog.clear()
        trained(data_of(folder, tiny_model, lists_per_batch=None, tokens_per_batch=tokens), BiEncoder(str(tiny_model)))
        assert (
            caplog.text.count("InfoNCE: nothing was learnt in the last 8 steps: no list of them has documents") == told
        )


def test_a_trained_bi_encoder_reranks(folder, tiny_model, tmp_path):
    scorer = BiEncoder(str(tiny_model), query_prompt="what is ")
    scorer.save(tmp_path / "model", TwinSettings(20, 12))
    ranker = Reranker.load(tmp_path / "model", precision="32")
    docs = ["join two paths", "sort the list"]
    found = ranker.rank("join", docs)
    reader = scorer.eval().reader(TwinSettings(20, 12))
    with torch.no_grad():
        scores = scorer.encode_queries(reader.queries(["join"])) @ scorer.encode_docs(reader.docs(docs)).T
    assert [one.score for one in found] == pytest.approx(sorted(scores[0].tolist(), reverse=True), rel=1e-5)


def test_what_cannot_train_so_is_refused(folder, tiny_model, tmp_path):
    with pytest.raises(ConfigError, match="in_batch is for scorers that read queries and documents apart"):
        trained(data_of(folder, tiny_model), CrossEncoder(str(tiny_model)))
    run = tmp_path / "run.trec"
    run.write_text("".join(f"q{i} Q0 d{j} {j} {-j} t\n" for i in range(8) for j in range(1, 4)))
    with pytest.raises(ConfigError, match="a teacher scores the documents of a list for its query alone"):
        trained(data_of(folder, tiny_model, teacher=str(run)), BiEncoder(str(tiny_model)))
    with pytest.raises(
        ConfigError, match="in_batch takes the documents of a batch's other lists for negatives, and lists_per"
    ):
        data_of(folder, tiny_model, lists_per_batch=1)
    with pytest.raises(ConfigError, match="Sampling: docs_per_list must be at least 1, or null for all, got 0"):
        Sampling(docs_per_list=0, in_batch=True)
    with pytest.raises(ConfigError, match=r"directions must be query_to_doc and others of .*, got \['doc_to_doc'\]"):
        Sampling(in_batch=True, directions=["doc_to_doc"])
    with pytest.raises(ConfigError, match="need in_batch, which is false"):
        Sampling(directions=DIRECTIONS)
    with pytest.raises(ConfigError, match="passages must be first, got max"):
        trained(data_of(folder, tiny_model, reading=Reading("max")), BiEncoder(str(tiny_model)))
    with pytest.raises(ConfigError, match="max_query_length must be at least 3"):
        trained(data_of(folder, tiny_model, max_query_length=2), BiEncoder(str(tiny_model)))
