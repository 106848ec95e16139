"""Folders that hold an adapter alone: opened on their base as peft opens them, or refused."""

from __future__ import annotations

import inspect
import json
import shutil

import pytest
import torch

from ltr.batch import TextLists, TokenRows
from ltr.data.tokens.pairs import load_tokenizer
from ltr.errors import ConfigError, DataError
from ltr.scorers import CausalScorer, PolicyRatio, load_scorer
from tests.data.preferences.chat import chat_tokenizer
from tests.scorers.causal.tiny import save_tiny_causal

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*(tie_word_embeddings|tied|is_gradient_checkpointing|save_embedding_layers)"
)
ROW = torch.tensor([20, 21, 22, 23, 24, 25, 30, 31])
BATCH = TextLists(
    torch.tensor([0, 1]), torch.ones(1), tokens=TokenRows(ROW, torch.tensor([0] * 3 + [1] * 5), torch.tensor([0, 8]))
)


def moved(model):
    """The model with what it trains away from where it starts."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def save_adapter(folder, base, **settings):
    """Save an adapter on a base; the log-probability that peft's own model gives the row."""
    from transformers import AutoModelForCausalLM

    known = {"task_type": "CAUSAL_LM", "r": 2, "target_modules": ["q_proj", "up_proj"], **settings}
    model = moved(peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), peft.LoraConfig(**known)))
    model.save_pretrained(folder)
    with torch.no_grad():
        logs = model(ROW[None]).logits[0].log_softmax(-1)
    return float(sum(logs[t - 1, ROW[t]] for t in range(3, 8)))


def score(folder):
    """What a policy that is opened from a folder gives the row."""
    with torch.no_grad():
        return float(PolicyRatio(str(folder), None, beta=1.0).eval()(BATCH))


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        pytest.param(
            {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
            marks=pytest.mark.skipif(
                "ensure_weight_tying" not in inspect.signature(peft.LoraConfig).parameters,
                reason="this version of peft ties no adapters",
            ),
        ),
        {"modules_to_save": ["embed_tokens"]},
        {"trainable_token_indices": {"embed_tokens": [20, 21]}},
    ],
    ids=["head", "words", "both", "saved words", "some words"],
)
def test_an_adapter_of_words_that_the_head_shares_changes_what_it_changed(tiny_causal, tmp_path, settings):
    wanted = save_adapter(tmp_path / "adapter", tiny_causal, **settings)
    chat_tokenizer().save_pretrained(tmp_path / "adapter")
    assert score(tmp_path / "adapter") == pytest.approx(wanted, abs=1e-3)
    PolicyRatio(str(tmp_path / "adapter"), None, beta=1.0).save(tmp_path / "out")
    assert score(tmp_path / "out") == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("kind", ["policy", "reward"])
def test_an_adapter_that_was_trained_on_an_adapter_names_it_as_its_base(tiny_causal, tmp_path, kind):
    made = PolicyRatio if kind == "policy" else CausalScorer
    settings = {"reference": None} if kind == "policy" else {"prompt": None}
    first = made(str(tiny_causal), lora=2, **settings)
    moved(first.model)
    first.save(tmp_path / "first")
    second = made(str(tmp_path / "first" / "adapter"), lora=2, **settings)
    moved(second.model)
    second.eval().save(tmp_path / "second")
    with torch.no_grad():
        wanted = float(second(BATCH))
        assert float(load_scorer(tmp_path / "second")(BATCH)) == pytest.approx(wanted, abs=1e-3)
        alone = made(str(tmp_path / "second" / "adapter"), **settings).eval()
        assert float(alone(BATCH)) == pytest.approx(wanted, abs=1e-3)


def test_an_adapter_without_a_tokenizer_has_that_of_its_base(tiny_causal, tmp_path):
    save_adapter(tmp_path / "adapter", tiny_causal)
    wanted = chat_tokenizer()("join two paths")["input_ids"]
    assert PolicyRatio(str(tmp_path / "adapter")).tokenizer("join two paths")["input_ids"] == wanted
    assert load_tokenizer(str(tmp_path / "adapter"))("join two paths")["input_ids"] == wanted


def test_the_base_is_of_the_revision_that_the_adapter_names(tiny_causal, tmp_path, monkeypatch):
    from transformers import AutoConfig

    save_adapter(tmp_path / "adapter", tiny_causal)
    rewrite(tmp_path / "adapter", revision="v2")
    asked, opened = [], AutoConfig.from_pretrained
    monkeypatch.setattr(
        AutoConfig, "from_pretrained", lambda *a, **k: (asked.append(k.get("revision")), opened(*a, **k))[1]
    )
    PolicyRatio(str(tmp_path / "adapter"))
    assert asked[0] == "v2"


def rewrite(folder, **settings):
    place = folder / "adapter_config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **settings}))


def test_an_adapter_of_another_base_is_refused(tiny_causal, tmp_path):
    adapter = tmp_path / "adapter"
    save_adapter(adapter, tiny_causal)
    for name, settings, said in (
        ("shallow", {"num_hidden_layers": 1}, r"layers\.1\.\S+ is in one of them alone"),
        ("wide", {"hidden_size": 64}, "size mismatch"),
        ("gpt2", {"kind": "gpt2"}, "Target modules"),
    ):
        rewrite(adapter, base_model_name_or_path=str(save_tiny_causal(tmp_path / name, **settings)))
        with pytest.raises(
            ConfigError, match=rf"PolicyRatio: the adapter in .* does not fit its base .*{name}.*{said}"
        ):
            PolicyRatio(str(adapter))


def test_adapters_that_cannot_be_read_or_merged_are_refused(tiny_causal, tmp_path):
    from transformers import AutoModelForCausalLM

    adapter = tmp_path / "adapter"
    save_adapter(adapter, tiny_causal)
    rewrite(adapter, base_model_name_or_path=None)
    with pytest.raises(ConfigError, match=r"its adapter_config\.json names no base \(base_model_name_or_path\)"):
        PolicyRatio(str(adapter))
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(DataError, match=r"adapter_config\.json: it must be JSON"):
        PolicyRatio(str(adapter))
    shutil.rmtree(adapter)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_causal), config).save_pretrained(adapter)
    with pytest.raises(ConfigError, match="an adapter of the kind PROMPT_TUNING, which cannot be merged"):
        PolicyRatio(str(adapter))
