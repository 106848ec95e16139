"""Scores of completions: against transformers' own logits, packed and padded, cached and online."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import pytest
import torch

from ltr.batch import TextLists, TokenRows
from ltr.data import PreferenceData
from ltr.errors import ConfigError, DataError
from ltr.links import Identity
from ltr.losses import DPO, IPO, ORPO, CompositeSoftmax, SimPO, fDPO
from ltr.scorers import PolicyRatio, load_scorer
from ltr.scorers.causal import branches, opening
from ltr.scorers.causal.log_probs import token_log_probs
from ltr.scorers.causal.policy_ratio import completion_tokens
from ltr.scorers.causal.references import weights_digest
from tests.scorers.causal.tiny import save_tiny_causal

RECORDS = [
    {
        "prompt": "how to join two paths",
        "responses": [{"text": t, "score": s} for t, s in (("split", 2.0), ("no", 0.0), ("the string is", 1.0))],
    },
    {"prompt": "is", "chosen": "yes the file", "rejected": "yes no"},
    {"prompt": "what", "a": "to split", "b": "a", "strength": 0},
]


@pytest.fixture
def batch(tiny_causal, tmp_path):
    return batch_of(tiny_causal, tmp_path)


def batch_of(model, tmp_path, **settings):
    file = tmp_path / "p.jsonl"
    file.write_text("\n".join(map(json.dumps, RECORDS)))
    data = PreferenceData(dev=str(file), tokenizer=str(model), **settings)
    (found,) = list(data.val_dataloader())
    return found


def plainly(model, batch):
    """[rows] log-probabilities of completions by transformers alone, row by row, in float64."""
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float64)
    found = []
    for a, b in zip(batch.tokens.offsets[:-1].tolist(), batch.tokens.offsets[1:].tolist(), strict=True):
        ids, marks = batch.tokens.ids[a:b], batch.tokens.marks[a:b]
        logs = network(ids[None]).logits[0].log_softmax(-1)
        found.append(sum(logs[t - 1, ids[t]] for t in range(1, len(ids)) if marks[t] == 1))
    return torch.stack(found)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "gemma", "gpt2"])
@pytest.mark.parametrize("length", ["sum", "mean"])
def test_scores_are_those_of_transformers(tmp_path, kind, length):
    folder = save_tiny_causal(tmp_path / kind, kind)
    batch = batch_of(folder, tmp_path)
    scorer = PolicyRatio(str(folder), None, beta=2.0, length=length).eval()
    assert scorer.packs == (kind != "gpt2")
    expected = 2 * plainly(folder, batch)
    if length == "mean":
        expected = expected / completion_tokens(batch.tokens)
    with torch.no_grad():
        torch.testing.assert_close(scorer(batch)[batch.mask].double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", ["phi3", "llama"])  # padded and packed
def test_a_long_row_does_not_turn_the_positions_of_short_ones(tmp_path, kind):
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4, "factor": 2.0}
    folder = save_tiny_causal(
        tmp_path / kind, kind, original_max_position_embeddings=7,
        rope_parameters={**rope, "rope_theta": 100.0, "original_max_position_embeddings": 7},
    )  # fmt: skip
    batch = batch_of(folder, tmp_path, form="plain")
    assert {bool(length > 7) for length in batch.tokens.lengths[:3]} == {True, False}
    scorer = PolicyRatio(str(folder), None, beta=1.0).eval()
    assert scorer.packs == (kind == "llama")
    found = scorer(batch)
    torch.testing.assert_close(found[batch.mask].double(), plainly(folder, batch), rtol=1e-5, atol=1e-4)
    found.sum().backward()


def test_positions_keep_their_digits_in_lower_precisions(tiny_causal):
    exact = PolicyRatio(str(tiny_causal), None, beta=1.0).eval()
    whole = {name: b for name, b in exact.named_buffers() if name.endswith("inv_freq")}
    assert whole
    scoring = exact.for_scoring(torch.device("cpu"), "bf16")
    trained = torch.nn.ModuleList([copy.deepcopy(exact)]).to(torch.bfloat16)[0]  # as Lightning does by bf16-true
    for made in (scoring, trained):
        assert next(made.parameters()).dtype == torch.bfloat16
        for name, held in made.named_buffers():
            if name in whole:
                assert torch.equal(held, whole[name])
    # transformers' own in that precision, far from the beginning of a row
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(tiny_causal, dtype=torch.bfloat16).model.rotary_emb
    at = torch.tensor([[250]])
    for found, expected in zip(
        scoring.network.model.rotary_emb(torch.zeros(1, dtype=torch.bfloat16), at),
        theirs(torch.zeros(1, dtype=torch.bfloat16), at),
        strict=True,
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("pad", [-1, 100_000, None])
def test_a_padding_mark_that_is_no_token_is_never_read(tmp_path, pad):
    folder = save_tiny_causal(tmp_path / "gpt2", "gpt2")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "pad_token_id": pad}))
    batch = batch_of(folder, tmp_path)
    with torch.no_grad():
        found = PolicyRatio(str(folder), None, beta=1.0).eval()(batch)[batch.mask]
    (folder / "config.json").write_text(json.dumps(settings))
    torch.testing.assert_close(found.double(), plainly(folder, batch), rtol=1e-5, atol=1e-4)


def test_tokens_that_the_model_does_not_know_are_told(tiny_causal, tmp_path):
    folder = save_tiny_causal(tmp_path / "model")
    tokenizer = PolicyRatio(str(folder), None).tokenizer
    words = len(tokenizer)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder)
    scorer = PolicyRatio(str(folder), None)
    rows = TokenRows(torch.tensor([20, words, 21]), torch.tensor([0, 0, 1]), torch.tensor([0, 3]))
    batch = TextLists(torch.tensor([0, 1]), torch.ones(1), tokens=rows)
    with pytest.raises(DataError, match=rf"a text holds the token {words} \('<new>'\), and .* knows {words} tokens"):
        scorer(batch)


def test_a_reference_that_is_gone_is_told(tiny_causal, tmp_path, batch):
    with pytest.raises(ConfigError, match=r"the reference \./gone, from whose log-probabilities .* cannot be opened"):
        PolicyRatio(str(tiny_causal), "./gone")(batch)


def test_a_mean_is_over_the_tokens_that_have_a_probability(tiny_causal):
    """A row's first token has none, even where it is the completion's, as behind an empty prompt."""
    rows = TokenRows(torch.tensor([20, 21, 22, 23, 24]), torch.tensor([1, 1, 1, 0, 1]), torch.tensor([0, 3, 5]))
    batch = TextLists(torch.tensor([0, 2]), torch.ones(2), tokens=rows)
    found = [PolicyRatio(str(tiny_causal), None, beta=1.0, length=one).eval()(batch)[0] for one in ("sum", "mean")]
    torch.testing.assert_close(found[0], found[1] * torch.tensor([2.0, 1.0]))


def test_packed_is_padded_and_neither_pieces_nor_shared_prefixes_matter(tiny_causal, batch, monkeypatch):
    def of(tokens=None, packs=True, shared=True):
        scorer = PolicyRatio(str(tiny_causal), None, beta=1.0)
        scorer.packs, scorer.batch_tokens = packs, tokens
        if not shared:
            monkeypatch.setattr(branches, "shared_prefixes", lambda b, t, rows: [([i], 0) for i in range(len(rows))])
        scores = scorer(batch)
        DPO()(scores, batch.pad(batch.labels / 2), batch.mask).backward()
        monkeypatch.undo()
        return scores.detach(), torch.cat([p.grad.flatten() for p in scorer.parameters()])

    scores, gradient = of()
    assert gradient.abs().max() > 1e-3
    for others in (of(tokens=1), of(tokens=40), of(packs=False), of(shared=False)):
        torch.testing.assert_close(others[0], scores, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(others[1], gradient, rtol=1e-4, atol=1e-5)


def test_responses_that_are_the_same_have_the_same_score(tiny_causal, tmp_path, monkeypatch):
    """Their whole rows are alike, and each is scored."""
    texts = [{"text": t, "score": 1.0} for t in ("split", "split")]
    monkeypatch.setitem(RECORDS[0], "responses", texts)
    batch = batch_of(tiny_causal, tmp_path)
    with torch.no_grad():
        scores = PolicyRatio(str(tiny_causal), None, beta=1.0).eval()(batch)
    torch.testing.assert_close(scores[batch.mask].double(), plainly(tiny_causal, batch), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("training", [False, True])  # pieces are computed again, or layers
@pytest.mark.parametrize("lora", [None, 2])
def test_checkpointing_changes_no_gradient(tiny_causal, batch, training, lora):
    if lora:
        pytest.importorskip("peft")
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        kept: list[int] = []
        scorer = PolicyRatio(str(tiny_causal), None, lora=lora, checkpointing=checkpointing, batch_tokens=60)
        scorer.train(training)
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t.numel()) or t, lambda t: t):
            scores = scorer(batch)
        scores.sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in scorer.parameters() if p.requires_grad])
        found.append((sum(kept), gradient))
    torch.testing.assert_close(found[0][1], found[1][1])
    assert found[1][0] < found[0][0] / 3


def test_layers_that_are_computed_again_hand_back_what_others_freed(tiny_causal, batch, monkeypatch):
    asked = []
    monkeypatch.setattr(opening, "settle", lambda: asked.append(1))
    scorer = PolicyRatio(str(tiny_causal), None, checkpointing=True).train()
    layers = scorer.network.config.num_hidden_layers
    for _ in range(2):
        asked.clear()
        scores = scorer(batch)
        before = len(asked)
        scores.sum().backward()
        assert layers <= before <= layers + 1  # the model may count as one
        assert len(asked) - before == layers
    assert copy.deepcopy(scorer.network) is not scorer.network  # as merging adapters does


@pytest.mark.parametrize("lora", [None, 2])
def test_training_starts_at_log_2(tiny_causal, batch, lora):
    if lora:
        pytest.importorskip("peft")
    scorer = PolicyRatio(str(tiny_causal), lora=lora).train()
    scores = scorer(batch)
    assert scores[batch.mask].abs().max() == 0
    labels = batch.pad(torch.tensor([1.0, 0, 0, 1, 2, 0, 1]))
    assert abs(float(DPO()(scores, labels, batch.mask).detach()) - math.log(2)) < 1e-6


@pytest.mark.parametrize(
    ("kind", "dropout", "lora"),
    [
        ("llama", {"attention_dropout": 0.3}, None),
        ("llama", {"attention_dropout": 0.3}, 2),
        ("gpt2", {"resid_pdrop": 0.3, "embd_pdrop": 0.3, "attn_pdrop": 0.3}, None),
        ("opt", {"dropout": 0.3, "layerdrop": 0.5, "word_embed_proj_dim": 32, "ffn_dim": 64}, None),
    ],
)
def test_training_starts_at_log_2_whatever_the_model_drops(tmp_path, kind, dropout, lora):
    """A policy that drops is another one at each step; what it was trained with is still said by what is saved."""
    if lora:
        pytest.importorskip("peft")
    folder = save_tiny_causal(tmp_path / kind, kind, **dropout)
    scorer = PolicyRatio(str(folder), lora=lora, lora_dropout=0.5 if lora else 0.0).train()
    batch = batch_of(folder, tmp_path)
    assert scorer(batch)[batch.mask].abs().max() == 0
    scorer.save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert {name: saved[name] for name in dropout} == dropout
    if lora:  # of the adapters it is the user's
        torch.nn.init.normal_(next(p for n, p in scorer.named_parameters() if "lora_B" in n))
        assert (scorer(batch) != scorer(batch)).any()


def test_another_reference_has_revisions_of_its_own(tiny_causal, tmp_path, monkeypatch):
    other, seen = save_tiny_causal(tmp_path / "other", seed=8), []
    opened = opening.open_model
    monkeypatch.setattr(opening, "open_model", lambda *given: seen.append((given[1], given[3])) or opened(*given))
    PolicyRatio(str(tiny_causal), str(other), revision="v2")._reference()
    PolicyRatio(str(tiny_causal), revision="v2")._reference()
    own = (str(tiny_causal), "v2")
    assert seen == [own, (str(other), None), own, own]


def test_under_autocast_training_starts_at_log_2_too(tiny_causal, batch):
    whole = PolicyRatio(str(tiny_causal)).eval()
    whole.reference_log_probs(batch)
    for table in whole._tables.values():
        table.write()  # those of float32 are no others' reference
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = PolicyRatio(str(tiny_causal)).train()(batch)
    assert scores[batch.mask].abs().max() < 1e-6


def test_references_are_kept_by_weights_and_rows(tiny_causal, tmp_path, batch, monkeypatch):
    other = save_tiny_causal(tmp_path / "other", seed=8)
    online = PolicyRatio(str(tiny_causal), str(other), beta=1.0).eval()
    with torch.no_grad():
        expected = online(batch)
    torch.testing.assert_close(
        expected[batch.mask].double(), plainly(tiny_causal, batch) - plainly(other, batch), rtol=1e-4, atol=1e-4
    )
    online.save(tmp_path / "saved")
    # known now: the reference is not computed again, nor by another process
    again = PolicyRatio(str(tiny_causal), str(other), beta=1.0).eval()
    monkeypatch.setattr(PolicyRatio, "_by_reference", lambda *args: pytest.fail("computed again"))
    with torch.no_grad():
        torch.testing.assert_close(again(batch), expected, rtol=0, atol=1e-5)
        # a model of the same name with other weights is another reference
        save_tiny_causal(other, seed=9)
        with pytest.raises(BaseException, match="computed again"):
            PolicyRatio(str(tiny_causal), str(other)).eval()(batch)


def test_a_reference_is_known_by_its_settings_and_the_base_of_its_adapters_too(tiny_causal, tmp_path):
    def key(folder):
        return weights_digest(str(folder), lambda: PolicyRatio(str(folder), None).network)

    other = save_tiny_causal(tmp_path / "other", seed=8)
    known = key(other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    assert key(other) != known
    pytest.importorskip("peft")
    PolicyRatio(str(other), lora=2).save(tmp_path / "saved")
    adapter = tmp_path / "saved" / "adapter"
    known = key(adapter)
    assert key(adapter) == known
    save_tiny_causal(other, seed=9)
    assert key(adapter) != known


def test_scores_of_a_reference_that_the_batch_brings_are_taken(tiny_causal, batch):
    prior = torch.arange(7.0)
    with torch.no_grad():
        plain = PolicyRatio(str(tiny_causal), None, beta=1.0).eval()(batch)
        found = PolicyRatio(str(tiny_causal), beta=1.0).eval()(replace(batch, prior=prior))
    torch.testing.assert_close(found[batch.mask], plain[batch.mask] - prior)


def test_a_reference_of_another_vocabulary_is_refused(tiny_causal, tmp_path, batch):
    other = save_tiny_causal(tmp_path / "other")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(other)
    model.resize_token_embeddings(model.config.vocab_size + 8, mean_resizing=False)
    model.save_pretrained(other)
    with pytest.raises(ConfigError, match="has another tokenizer or vocabulary"):
        PolicyRatio(str(tiny_causal), str(other))(batch)


def test_what_is_watched(tiny_causal, batch):
    scorer = PolicyRatio(str(tiny_causal), beta=0.5)
    scores = batch.pad(torch.tensor([1.0, 0, 2, 3, 5, 1, 4]))
    found = {name: float(value) for name, value in scorer.observed(batch, scores).items()}
    # a tie, which makes no pair and has two best; 2 below 3; 5 above 4 above 1
    assert found["accuracy"] == 0.75
    assert found["margin"] == pytest.approx((-1 + 4 + 1 + 3) / 4)
    assert found["reward_chosen"] == pytest.approx((1 + 0 + 2 + 5) / 4)
    assert found["reward_rejected"] == pytest.approx((3 + 1 + 4) / 3)
    assert found["kl"] == pytest.approx(16 / 7 / 0.5)
    assert found["tokens_chosen"] > 1


def test_completions_that_stand_alone_are_watched_by_their_labels(tiny_causal):
    rows = TokenRows(torch.arange(20, 29), torch.tensor([0, 1, 1] * 3), torch.tensor([0, 3, 6, 9]))
    batch = TextLists(torch.arange(4), torch.tensor([1.0, 0.0, 1.0]), tokens=rows)
    scorer = PolicyRatio(str(tiny_causal), beta=0.5)
    found = {name: float(value) for name, value in scorer.observed(batch, torch.tensor([[1.0], [2.0], [5.0]])).items()}
    assert (found["reward_chosen"], found["reward_rejected"]) == (3, 2)
    assert not found.keys() & {"margin", "accuracy"}, "of pairs, and there are none"


@pytest.mark.parametrize("lora", [None, 2])
def test_saves_as_a_folder_of_transformers(tiny_causal, tmp_path, batch, lora, monkeypatch):
    if lora:
        pytest.importorskip("peft")
    scorer = PolicyRatio(str(tiny_causal), beta=0.3, lora=lora).train()
    optimizer = torch.optim.SGD([p for p in scorer.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        SimPO()(scorer(batch), batch.pad(batch.labels / 2), batch.mask).backward()
        optimizer.step()
    scorer.eval().save(tmp_path / "out")
    with torch.no_grad():
        expected = scorer(batch)
        assert expected[batch.mask].abs().max() > 1e-3
        opened = load_scorer(tmp_path / "out")
        assert isinstance(opened, PolicyRatio)
        assert (opened.beta, opened.reference) == (0.3, str(tiny_causal))
        torch.testing.assert_close(opened(batch), expected, rtol=1e-4, atol=1e-5)
        moved = 0.3 * (plainly(tmp_path / "out", batch) - plainly(tiny_causal, batch))
        torch.testing.assert_close(expected[batch.mask].double(), moved, rtol=1e-3, atol=1e-4)
        # the best weights go back into what is trained, and a reference that is not known yet stays the start
        monkeypatch.setenv("LTR_CACHE", str(tmp_path / "nothing known"))
        fresh = PolicyRatio(str(tiny_causal), beta=0.3, lora=lora).eval()
        fresh.take_weights(tmp_path / "out")
        torch.testing.assert_close(fresh(batch), expected, rtol=1e-4, atol=1e-5)
        if lora:
            adapter = tmp_path / "out" / "adapter"
            torch.testing.assert_close(
                PolicyRatio(str(adapter), str(tiny_causal), beta=0.3).eval()(batch), expected, rtol=1e-4, atol=1e-5
            )


def test_adapters_of_another_model_are_refused(tiny_causal, tmp_path):
    pytest.importorskip("peft")
    save_tiny_causal(tmp_path / "deeper", num_hidden_layers=3)
    deeper = PolicyRatio(str(tmp_path / "deeper"), lora=2)
    deeper.save(tmp_path / "out")
    scorer = PolicyRatio(str(tiny_causal), lora=2)
    with pytest.raises(DataError, match=r"adapter_model.safetensors: .* does not belong to this model"):
        scorer.take_weights(tmp_path / "out")
    scorer.save(tmp_path / "out")
    with pytest.raises(DataError, match="does not belong to this model"):
        deeper.take_weights(tmp_path / "out")
    with pytest.raises(DataError, match=r"adapter_model.safetensors: .*size mismatch"):
        PolicyRatio(str(tiny_causal), lora=3).take_weights(tmp_path / "out")
    with pytest.raises(DataError, match="holds no adapters"):
        scorer.take_weights(tiny_causal)


def test_an_adapter_without_its_base_is_told(tiny_causal, tmp_path):
    pytest.importorskip("peft")
    scorer = PolicyRatio(str(tiny_causal), lora=2)
    scorer.save(tmp_path / "out")
    config = tmp_path / "out" / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": "/no/base"}))
    with pytest.raises(ConfigError, match="holds an adapter alone, and its base '/no/base' cannot be opened"):
        PolicyRatio(str(tmp_path / "out" / "adapter"))


@pytest.mark.parametrize("loss", [IPO(), CompositeSoftmax(Identity())], ids=repr)
def test_lists_train_a_policy(tiny_causal, batch, loss):
    scorer = PolicyRatio(str(tiny_causal), beta=1.0).train()
    optimizer = torch.optim.SGD(scorer.parameters(), lr=1e-3)
    costs = []
    for _ in range(4):
        optimizer.zero_grad()
        cost = loss(scorer(batch), batch.pad(batch.labels), batch.mask)
        cost.backward()
        optimizer.step()
        costs.append(float(cost.detach()))
    assert costs[-1] < costs[0]


def test_chunked_log_probabilities_and_their_gradients(monkeypatch):
    from ltr.scorers.causal import log_probs

    monkeypatch.setattr(log_probs, "NUMBERS", 30)
    states, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((7, 5), (11, 5), (11,)))
    targets, upon = torch.randint(0, 11, (7,)), torch.randn(7)
    gradients = []
    for found in (
        token_log_probs(states, weight, targets, bias),
        (states @ weight.t() + bias).log_softmax(-1).gather(-1, targets[:, None])[:, 0],
    ):
        gradients.append((found, *torch.autograd.grad((found * upon).sum(), (states, weight, bias))))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_no_matrix_of_tokens_and_words_is_kept(tiny_causal, batch, monkeypatch):
    from ltr.scorers.causal import log_probs

    monkeypatch.setattr(log_probs, "NUMBERS", 377 * 4)  # four tokens at a time
    scorer = PolicyRatio(str(tiny_causal), None).train()
    words, kept = scorer.network.get_output_embeddings().weight, []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        scores = scorer(batch)
    assert words.shape[0] == 377
    of_words = [t for t in kept if 377 in t.shape]
    assert of_words
    assert all(t.data_ptr() == words.data_ptr() for t in of_words), "the words themselves alone"
    scores.sum().backward()


NO_LOG_PROBABILITIES = "mean log-probabilities, and scores are not that with beta 0.1, a reference and length 'sum'"


@pytest.mark.parametrize(
    ("loss", "settings", "refused", "told"),
    [
        (fDPO("js"), {"beta": 0.1}, "by a beta of its own, 1, and the scorer's is 0.1", ""),
        (fDPO("js", beta=0.1), {"beta": 0.1}, "", ""),
        (fDPO("reverse_kl"), {"beta": 0.1}, "", ""),  # of which beta makes no part
        (ORPO(), {}, NO_LOG_PROBABILITIES, ""),
        (ORPO(), {"reference": None, "length": "mean", "beta": 1.0}, "", ""),
        (IPO(tau=0.5), {"beta": 0.1}, "", "it asks for what tau 0.05 asks for with beta 1"),
        (IPO(tau=0.5), {"beta": 1.0}, "", ""),
        (SimPO(), {}, "", "what is trained is DPO with a margin"),
        (SimPO(), {"reference": None, "length": "mean"}, "", ""),
        (DPO(), {}, "", ""),
    ],
    ids=repr,
)
def test_settings_of_a_loss_that_belong_to_other_scores(tiny_causal, caplog, loss, settings, refused, told):
    scorer = PolicyRatio(str(tiny_causal), **settings)
    if refused:
        with pytest.raises(ConfigError, match=refused):
            loss.check_scores(scorer.log_ratios)
    else:
        loss.check_scores(scorer.log_ratios)
    assert (told in caplog.text) if told else not caplog.text


def test_scores_of_other_scorers_are_no_log_probabilities(caplog):
    """To ORPO, which draws good ones up to 0, rewards are nothing; to the others they are rewards."""
    with pytest.raises(
        ConfigError, match="ORPO reads mean log-probabilities, and scores are no log-probabilities; train a"
    ):
        ORPO().check_scores(None)
    for loss in (DPO(), fDPO("js"), IPO(), SimPO()):
        loss.check_scores(None)
    assert not caplog.text


def test_refuses(tiny_causal, tmp_path, batch):
    with pytest.raises(ConfigError, match="length must be sum or mean, got 'tokens'"):
        PolicyRatio(str(tiny_causal), length="tokens")
    with pytest.raises(ConfigError, match="beta must be a finite number above 0"):
        PolicyRatio(str(tiny_causal), beta=0)
    with pytest.raises(ConfigError, match="PolicyRatio: no folder /no/model"):
        PolicyRatio("/no/model")
    with pytest.raises(ConfigError, match=r"must hold its weights as .*safetensors, found none"):
        PolicyRatio(str(tmp_path))
    bare = replace(batch, tokens=replace(batch.tokens, marks=torch.zeros_like(batch.tokens.marks)))
    with pytest.raises(DataError, match="row 0 has no token of a completion"):
        PolicyRatio(str(tiny_causal), None, length="mean")(bare)
