"""Logits are those of transformers, whatever an architecture does to the product of states and words."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ltr.batch import TextLists, TokenRows
from ltr.errors import ConfigError
from ltr.inference import Reranker
from ltr.losses import KLDistillation
from ltr.scorers import CausalScorer, ModelSettings, PolicyRatio, TokenStudent
from ltr.scorers.causal.log_probs import token_log_probs
from ltr.scorers.causal.vocabulary import CAPS, DIVIDED, PLAIN, TIMES, Vocabulary, vocabulary_of
from ltr.training.costs import cost_of
from tests.scorers.causal.tiny import save_tiny_causal

GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4}
#: kind -> its settings, and how it makes logits
KINDS = {
    "granite": ({"logits_scaling": 8.0, "attention_multiplier": 0.1}, Vocabulary(1 / 8)),
    "cohere": ({"logit_scale": 0.0625}, Vocabulary(0.0625)),
    "gemma2": ({"head_dim": 8, "final_logit_softcapping": 3.0}, Vocabulary(1.0, 3.0)),
    # has such a setting and leaves it unused
    "mpt": ({"d_model": 32, "n_heads": 4, "n_layers": 2, "expansion_ratio": 2, "logit_scale": 0.5}, Vocabulary()),
    "codegen": (GPT, Vocabulary()),  # with a bias
}
ROW = torch.tensor([20, 21, 22, 23, 24, 25])


@pytest.fixture(scope="module", params=list(KINDS))
def model(request, tmp_path_factory):
    """(folder of a tiny model of a kind, how it makes logits, transformers' own)."""
    from transformers import AutoModelForCausalLM

    settings, made = KINDS[request.param]
    folder = save_tiny_causal(tmp_path_factory.mktemp("kinds") / request.param, request.param, **settings)
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    bias = getattr(network.get_output_embeddings(), "bias", None)
    assert (bias is not None) == (request.param == "codegen")
    if bias is not None:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            bias.normal_()
        network.save_pretrained(folder)
    return str(folder), made, network


@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_architectures_that_are_not_tried_make_plain_logits(tmp_path, monkeypatch, kind):
    from transformers import AutoModelForCausalLM

    more = {"head_dim": 8} if kind in ("qwen3", "gemma") else {}
    network = AutoModelForCausalLM.from_pretrained(save_tiny_causal(tmp_path, kind, **more))
    # whatever a configuration of it may hold
    for name in (*TIMES, *DIVIDED, *CAPS):
        setattr(network.config, name, 3.0)
    assert vocabulary_of("x", "y", network) == Vocabulary()
    monkeypatch.setattr("ltr.scorers.causal.vocabulary.PLAIN", frozenset())
    assert vocabulary_of("x", "y", network.train()) == Vocabulary()
    assert network.training, "a trial leaves the model as it was"


def batch() -> TextLists:
    rows = TokenRows(ROW, torch.tensor([0, 0, 1, 1, 1, 1]), torch.tensor([0, 6]))
    return TextLists(torch.tensor([0, 1]), torch.ones(1), tokens=rows)


def test_a_prompted_score_is_the_difference_of_two_logits(model):
    folder, made, network = model
    prompt = "user\n{query}\nfile:\n{document}\n?"
    scorer = CausalScorer(folder, prompt=prompt, yes="yes", no="no").eval()
    assert scorer.vocabulary == made
    query, text = "how to join two paths", "split the string"
    found = Reranker(scorer, ModelSettings(60, 20), "cpu", "32").score([(query, text)])
    before, between, after = scorer.frame.pieces
    words = [scorer.tokenizer(one, add_special_tokens=False)["input_ids"] for one in (query, text)]
    with torch.no_grad():
        logits = network(input_ids=torch.tensor([[*before, *words[0], *between, *words[1], *after]])).logits[0, -1]
    assert found.tolist() == pytest.approx([float(logits[scorer.frame.yes] - logits[scorer.frame.no])], abs=1e-4)


def test_log_probabilities_are_those_of_transformers(model):
    folder, _, network = model
    with torch.no_grad():
        wanted = network(input_ids=ROW[None]).logits[0].float().log_softmax(-1)
        sums = sum(float(wanted[i - 1, ROW[i]]) for i in range(2, 6))
        assert float(PolicyRatio(folder, reference=None, beta=1.0).eval()(batch())) == pytest.approx(sums, abs=1e-3)
        student = TokenStudent(folder, folder).eval()
        assert float(student(batch())) == pytest.approx(sums / 4, abs=1e-3)
        # of itself it learns its own entropy
        cost = cost_of(student, KLDistillation(reduction="none"), batch()).total
    assert float(cost) == pytest.approx(0.0, abs=1e-3)


def test_references_that_were_kept_without_the_scale_are_not_used(model, tiny_causal):
    folder, made, _ = model
    names = {kind: PolicyRatio(kind, beta=1.0)._table(torch.device("cpu")).name for kind in (folder, str(tiny_causal))}
    assert names[folder].endswith("-logits") == (made != Vocabulary())
    assert not names[str(tiny_causal)].endswith("-logits")


@pytest.mark.parametrize(("scale", "cap"), [(0.25, None), (1.0, 2.0), (3.0, 2.0)])
def test_chunked_log_probabilities_of_shaped_logits_and_their_gradients(monkeypatch, scale, cap):
    monkeypatch.setattr("ltr.scorers.causal.log_probs.NUMBERS", 30)
    torch.manual_seed(0)
    states, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((7, 5), (11, 5), (11,)))
    targets, upon = torch.randint(0, 11, (7,)), torch.randn(7)
    logits = scale * (states @ weight.t() + bias)
    logits = logits if cap is None else cap * torch.tanh(logits / cap)
    gradients = []
    for found in (
        token_log_probs(states, weight, targets, bias, scale, cap),
        logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0],
    ):
        gradients.append((found, *torch.autograd.grad((found * upon).sum(), (states, weight, bias))))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_model_that_sees_what_it_should_foretell_is_refused(tmp_path):
    folder = str(save_tiny_causal(tmp_path / "generation", "bert-generation"))
    with pytest.raises(ConfigError, match=r"PolicyRatio: .* \(bert-generation\) reads the tokens behind a token, too"):
        PolicyRatio(folder)
    PolicyRatio(str(save_tiny_causal(tmp_path / "decoder", "bert-generation", is_decoder=True)))


def test_a_model_that_makes_logits_in_another_way_is_refused():
    class Squared(nn.Module):
        config = SimpleNamespace(model_type="squared", logit_scale="no number")

        def __init__(self):
            super().__init__()
            self.words, self.table = nn.Linear(5, 11, bias=False), nn.Embedding(11, 5)

        @property
        def base_model(self):
            return lambda input_ids, **more: SimpleNamespace(last_hidden_state=self.table(input_ids))

        def get_output_embeddings(self):
            return self.words

        def forward(self, input_ids, **more):
            return SimpleNamespace(logits=self.words(self.table(input_ids)).square())

    with pytest.raises(
        ConfigError, match=r"PolicyRatio: here \(squared\) makes more of its last states than logits of"
    ):
        vocabulary_of("PolicyRatio", "here", Squared())
