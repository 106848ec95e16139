"""Distillation token by token: equal to the dense formula, value and gradient, whatever the chunks."""

from __future__ import annotations

import json

import pytest
import pytorch_lightning as pl
import torch

from ltr.data import PreferenceData
from ltr.errors import ConfigError
from ltr.links import Identity, Softplus
from ltr.losses import CompositeSoftmax, InfoNCE, KLDistillation, RankNet, RunningCenter
from ltr.scorers import TokenStudent, load_scorer
from ltr.scorers.causal import token_student
from ltr.training import RankingModule
from ltr.training.costs import cost_of
from ltr.training.defaults import quieten
from tests.scorers.causal.tiny import save_tiny_causal


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return save_tiny_causal(tmp_path_factory.mktemp("teacher") / "big", seed=11, num_hidden_layers=3)


@pytest.fixture
def data(tiny_causal, tmp_path):
    records = [
        {"prompt": "how to join two paths", "completion": "split the string", "label": 1},
        {"prompt": "how to join two paths", "completion": "no", "label": 0},
        {"prompt": "what is the file", "completion": "yes it is a file of paths", "label": 1},
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, records)))
    file = str(tmp_path / "p.jsonl")
    return PreferenceData(file, file, tokenizer=str(tiny_causal), max_length=100, docs_per_list=None, lists_per_batch=2)


def densely(student, teacher, batch, loss):
    """The cost by [tokens, vocabulary] matrices of transformers alone, row by row."""
    from transformers import AutoModelForCausalLM

    other = AutoModelForCausalLM.from_pretrained(teacher).eval()
    mine, theirs = [], []
    for a, b in zip(batch.tokens.offsets[:-1].tolist(), batch.tokens.offsets[1:].tolist(), strict=True):
        ids, marks = batch.tokens.ids[a:b][None], batch.tokens.marks[a:b]
        chosen = [t - 1 for t in range(1, b - a) if marks[t] == 1]
        mine.append(student(ids).logits[0, chosen].log_softmax(-1))
        theirs.append(other(ids).logits[0, chosen].log_softmax(-1).detach())
    scores, labels = torch.cat(mine), torch.cat(theirs)
    return loss(scores, labels, torch.ones_like(scores, dtype=torch.bool))


LOSSES = [
    KLDistillation(),
    CompositeSoftmax(Identity() + 4.0 * Softplus(center=-3.0)),
    CompositeSoftmax(Softplus(center=-2.0), "matching"),
]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("settings", [{}, {"batch_tokens": 30}, {"checkpointing": True}])
def test_equals_the_dense_formula_and_its_gradient(tiny_causal, teacher, data, monkeypatch, loss, settings):
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(token_student, "NUMBERS", 377 * 3)  # three tokens at a time
    (batch,) = list(data.val_dataloader())
    plain = AutoModelForCausalLM.from_pretrained(tiny_causal)
    expected = densely(plain, teacher, batch, loss)
    expected.mean().backward()
    student = TokenStudent(str(tiny_causal), str(teacher), **settings).train()
    loss.reduction = "none"
    widths = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: widths.append(t.numel() * (t.shape[-1:] == (377,))) or t, lambda t: t
    ):
        found = cost_of(student, loss, batch)
    loss.reduction = "mean"
    assert found.count == len(batch.tokens.marks.nonzero())
    torch.testing.assert_close(found.total / found.count, expected.mean(), rtol=1e-5, atol=1e-5)
    (found.total / found.count).backward()
    for (name, one), other in zip(student.network.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5, msg=lambda said, n=name: f"{n}: {said}")
    # nothing of the size of the vocabulary is kept for the gradient
    assert max(widths) == 0


def test_a_teacher_of_another_make_teaches_at_the_same_tokens_and_drops_nothing(tiny_causal, data, tmp_path):
    """One that reads rows in padded batches, where the student packs them; and that had dropout in its own training."""
    from transformers import AutoModelForCausalLM

    other = save_tiny_causal(tmp_path / "gpt2", "gpt2", seed=3, resid_pdrop=0.5, embd_pdrop=0.5)
    (batch,) = list(data.val_dataloader())
    loss = KLDistillation()
    expected = densely(AutoModelForCausalLM.from_pretrained(tiny_causal), other, batch, loss)
    student = TokenStudent(str(tiny_causal), str(other)).train()
    loss.reduction = "none"
    found = cost_of(student, loss, batch)
    assert not student._held[0].packs
    torch.testing.assert_close(found.total / found.count, expected.mean(), rtol=1e-5, atol=1e-5)


def test_a_student_equal_to_its_teacher_costs_nothing(tiny_causal, data):
    (batch,) = list(data.val_dataloader())
    for loss in LOSSES:
        loss.reduction = "none"
        student = TokenStudent(str(tiny_causal), str(tiny_causal))
        cost = cost_of(student, loss, batch).total
        cost.backward()
        loss.reduction = "mean"
        assert abs(cost.item()) < 1e-4
        assert max(p.grad.abs().max() for p in student.parameters()) < 1e-4


def test_trains_saves_and_opens(tiny_causal, teacher, data, tmp_path):
    quieten()
    pl.seed_everything(0, verbose=False)
    student = TokenStudent(str(tiny_causal), str(teacher))
    trainer = pl.Trainer(
        max_steps=8, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    (batch,) = list(data.val_dataloader())
    before = cost_of(student, CompositeSoftmax(Identity(), reduction="none"), batch).total.item()
    trainer.fit(RankingModule(student, CompositeSoftmax(Identity()), lr=3e-3, measures=["pair_accuracy"]), data)
    with torch.no_grad():
        after = cost_of(student, CompositeSoftmax(Identity(), reduction="none"), batch).total.item()
        assert after < 0.7 * before
        student.eval().save(tmp_path / "saved", data.inputs)
        opened = load_scorer(tmp_path / "saved")
        assert isinstance(opened, TokenStudent)
        assert opened.teacher == str(teacher)
        torch.testing.assert_close(opened(batch), student(batch))
    # the teacher is no part of what is saved
    assert {path.name for path in (tmp_path / "saved").glob("*.safetensors")} == {"model.safetensors"}


def test_refuses(tiny_causal, tmp_path, data):
    (batch,) = list(data.val_dataloader())
    with pytest.raises(ConfigError, match=r"RankNet: a student of tokens compares distributions"):
        cost_of(TokenStudent(str(tiny_causal), str(tiny_causal)), RankNet(reduction="none"), batch)
    with pytest.raises(ConfigError, match=r"InfoNCE: a student of tokens has a teacher's log-probabilities for labels"):
        cost_of(TokenStudent(str(tiny_causal), str(tiny_causal)), InfoNCE(reduction="none"), batch)
    running = CompositeSoftmax(RunningCenter(Softplus()), reduction="none")
    with pytest.raises(
        ConfigError, match=r"CompositeSoftmax: a student of tokens needs a link whose center stands still"
    ):
        cost_of(TokenStudent(str(tiny_causal), str(tiny_causal)), running, batch)
    other = save_tiny_causal(tmp_path / "other")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(other)
    model.resize_token_embeddings(model.config.vocab_size + 8, mean_resizing=False)
    model.save_pretrained(other)
    with pytest.raises(ConfigError, match=r"TokenStudent: the teacher .* has another tokenizer or vocabulary"):
        cost_of(TokenStudent(str(tiny_causal), str(other)), KLDistillation(reduction="none"), batch)
