"""Language models as rerankers and rewards: prompts, answers, pooling by length, prefixes computed once."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from ltr.data import PreferenceData
from ltr.data.tokens.reader import TextEncoder, Texts
from ltr.errors import ConfigError
from ltr.inference import Reranker
from ltr.scorers import CausalScorer, ModelSettings, PolicyRatio, load_scorer
from ltr.scorers.causal import branches
from ltr.scorers.causal.prompts import PROMPTS, Frame, Prompt, prompt_for, prompt_of
from tests.data.preferences.chat import chat_tokenizer
from tests.scorers.causal.tiny import save_tiny_causal

QUERIES = ["how to join two paths", "is"]
DOCS = [["split the string", "a file", "no"], ["what is two", "yes"]]
#: the tokenizer's answers
ANSWERS = {"yes": "yes", "no": "no"}


def batch_of(scorer, docs=DOCS, **settings):
    lists = [
        Texts(str(i), q, [f"d{j}" for j in range(len(own))], own)
        for i, (q, own) in enumerate(zip(QUERIES, docs, strict=True))
    ]
    (batch,) = scorer.reader(ModelSettings(**settings)).batches(lists)
    return batch


def test_the_score_is_the_logit_of_yes_less_that_of_no(tiny_causal):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_causal), AutoTokenizer.from_pretrained(tiny_causal)
    scorer = CausalScorer(str(tiny_causal), "Q: {query} D: {document} ?", **ANSWERS).eval()
    batch = batch_of(scorer)
    yes, no = (tokenizer.convert_tokens_to_ids(one) for one in ("yes", "no"))
    with torch.no_grad():
        found = scorer(batch)
        for i, query in enumerate(QUERIES):
            for j, doc in enumerate(DOCS[i]):
                pieces = ["Q: ", query, " D: ", doc, " ?"]
                ids = [t for piece in pieces for t in tokenizer(piece, add_special_tokens=False)["input_ids"]]
                logits = network(torch.tensor([ids])).logits[0, -1]
                assert float(found[i, j]) == pytest.approx(float(logits[yes] - logits[no]), abs=1e-4)


def test_a_prefix_is_computed_once_and_changes_no_score(tiny_causal, monkeypatch):
    scorer = CausalScorer(str(tiny_causal), "Q: {query} D: {document} ?", **ANSWERS).eval()
    batch = batch_of(scorer)
    seen = []
    line_of = branches.line_of
    monkeypatch.setattr(branches, "line_of", lambda *args: seen.append(line_of(*args)) or seen[-1])
    with torch.no_grad():
        found = scorer(batch)
        monkeypatch.setattr(branches, "shared_prefixes", lambda b, t, rows: [([i], 0) for i in range(len(rows))])
        alone = scorer(batch)
        few = scorer(batch, 1)
    shared, plain = seen[0], seen[1]
    assert shared.branches[0].prefix >= 10
    assert len(shared.ids) < len(plain.ids) - 20
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(few, alone, rtol=1e-5, atol=1e-5)


def test_documents_are_cut_and_neither_query_nor_prompt(tiny_causal):
    scorer = CausalScorer(str(tiny_causal), "Q: {query} D: {document} ?", **ANSWERS)
    whole, cut = (scorer.rows_of(batch_of(scorer, max_length=n, max_query_length=10)) for n in (60, 12))
    for a, b in zip(range(len(whole)), range(len(cut)), strict=True):
        one, other = (
            (t.ids[t.offsets[i] : t.offsets[i + 1]], t.marks[t.offsets[i] : t.offsets[i + 1]])
            for t, i in ((whole, a), (cut, b))
        )
        assert one[0][one[1] != 1].tolist() == other[0][other[1] != 1].tolist()
        docs = one[0][one[1] == 1].tolist(), other[0][other[1] == 1].tolist()
        assert docs[0][: len(docs[1])] == docs[1]
    assert len(cut.ids) < len(whole.ids)
    assert scorer.max_positions == 256 - scorer.frame.tokens


def test_rewards_read_the_last_token_by_length_not_by_padding(tiny_causal, tmp_path):
    """The padding mark is the end mark: what looks for padding would not read the end."""
    file = tmp_path / "p.jsonl"
    file.write_text(
        "\n".join(
            json.dumps({"prompt": p, "chosen": c, "rejected": r})
            for p, c, r in (("is", "yes", "no"), ("how to", "join the paths", "a"))
        )
    )
    (batch,) = list(PreferenceData(dev=str(file), tokenizer=str(tiny_causal), form="plain").val_dataloader())
    scorer = CausalScorer(str(tiny_causal), prompt=None).eval()
    assert scorer.new_head
    from transformers import AutoModelForCausalLM

    body = AutoModelForCausalLM.from_pretrained(tiny_causal).model
    bounds = batch.tokens.offsets.tolist()
    with torch.no_grad():
        expected = torch.stack(
            [
                scorer.network.score(body(batch.tokens.ids[a:b][None]).last_hidden_state[0, -1])[0]
                for a, b in pairwise(bounds)
            ]
        )
        for packs in (True, False):
            scorer.packs = packs
            torch.testing.assert_close(scorer(batch)[batch.mask], expected, rtol=1e-5, atol=1e-5)
        # the end mark is read: without it scores differ
        shorter = replace(batch, tokens=type(batch.tokens).of(*_without_last(batch.tokens)))
        assert (scorer(shorter)[batch.mask] - expected).abs().min() > 1e-3


def _without_last(tokens):
    keep = torch.ones_like(tokens.ids, dtype=torch.bool)
    keep[tokens.offsets[1:] - 1] = False
    offsets = tokens.offsets - torch.arange(len(tokens.offsets))
    return tokens.ids[keep].numpy(), tokens.marks[keep].numpy(), offsets.numpy()


def test_ranks_texts_from_a_saved_folder(tiny_causal, tmp_path):
    scorer = CausalScorer(str(tiny_causal), "Q: {query} D: {document} ?", **ANSWERS).eval()
    scorer.save(tmp_path / "out", ModelSettings(40, 16))
    opened = load_scorer(tmp_path / "out")
    assert isinstance(opened, CausalScorer)
    assert opened.arguments == scorer.arguments
    ranker = Reranker.load(tmp_path / "out", precision="32")
    ranked = ranker.rank(QUERIES[0], DOCS[0])
    with torch.no_grad():
        expected = scorer(batch_of(scorer))[0]
    assert [one.score for one in ranked] == pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-4)


def test_a_language_model_from_elsewhere_is_asked_by_the_prompt_of_its_family(
    tiny_causal, tiny_model, tmp_path, caplog
):
    folders = {"Qwen3-Reranker-0.6B": "qwen3-reranker", "mxbai-rerank-large-v2": "mxbai-rerank-v2", "llama": "plain"}
    for name, prompt in folders.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text((tiny_causal / "config.json").read_text())
        assert prompt_for(str(tmp_path / name)) == prompt
    assert prompt_for(str(tiny_model)) is None
    assert prompt_for("hub/id") is None
    with pytest.raises(ConfigError, match="the answer yes must be one token, got ' yes'"):
        Reranker.load(tiny_causal)  # whose tokenizer knows no answer with a space before it
    assert "is a language model; it is asked by the prompt 'plain' of CausalScorer" in caplog.text


def test_adapters_train_alone(tiny_causal):
    pytest.importorskip("peft")
    scorer = CausalScorer(str(tiny_causal), prompt=None, lora=2).train()
    names = [name for name, p in scorer.network.named_parameters() if p.requires_grad]
    assert all("lora_" in name or name.startswith("score.") for name in names)
    assert {len(part) > 0 for part in scorer.parts().values()} == {True}


@pytest.mark.parametrize("name", PROMPTS)
def test_published_prompts_put_the_query_before_the_document(name):
    before, between, after = PROMPTS[name].pieces
    assert before + between + after
    assert "{" not in before + between + after


@pytest.mark.parametrize("document", ["the string", ""])
@pytest.mark.parametrize(
    ("single", "pair"),
    [
        ("$A", "$A $B:1"),
        ("B $A", "B $A B:1 $B:1"),
        ("B $A", "B $A $B:1"),
        ("$A E", "$A E $B:1 E:1"),
        ("$A E", "$A $B:1 E:1"),
        ("B $A E", "B $A E B:1 $B:1 E:1"),
    ],
)
def test_a_frame_stands_around_texts_without_the_marks_of_their_tokenizer(single, pair, document):
    from tokenizers.processors import TemplateProcessing

    tokenizer = chat_tokenizer()
    named = {"B": "<|im_start|>", "E": "<|im_end|>"}
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=single,
        pair=pair,
        special_tokens=[{"id": m, "ids": [i], "tokens": [t]} for i, (m, t) in enumerate(named.items())],
    )
    frame = Frame(Prompt("<|im_start|>{query} to {document} is", "yes", "no"), tokenizer)
    batch = TextEncoder(tokenizer, ModelSettings(40, 20)).batch([Texts("q", "join two", ("d",), (document,))])
    found = frame.around(batch.tokens)
    assert tokenizer.decode(found.ids) == f"<|im_start|>join two to {document} is"
    assert tokenizer.decode(found.ids[found.marks == 0]) == "join two"
    assert tokenizer.decode(found.ids[found.marks == 1]) == document


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prompt": "qwen"}, "no prompt 'qwen'; it is one of plain, qwen3-reranker"),
        ({"prompt": "{document} {query}"}, "document. must stand behind .query. in a prompt"),
        ({"prompt": "{query}"}, "a prompt holds .query. and .document. once each"),
        ({"yes": "certainly"}, "the answer yes must be one token, got 'certainly', which is"),
        ({"yes": "yes", "no": "yes"}, "yes and no must be different tokens"),
        ({"prompt": None, "yes": "yes"}, "instruction, yes and no belong to a prompt, and there is none"),
        ({"batch_tokens": 0}, "batch_tokens must be at least 1, got 0"),
    ],
)
def test_refuses(tiny_causal, settings, said):
    with pytest.raises(ConfigError, match=said):
        CausalScorer(str(tiny_causal), **{**(ANSWERS if settings.get("prompt", "") is not None else {}), **settings})


def test_encoders_are_refused(tiny_model):
    with pytest.raises(ConfigError, match="is a bert model, which is no causal language model"):
        CausalScorer(str(tiny_model))


def test_settings_take_the_place_of_a_prompts_own():
    made = prompt_of("qwen3-reranker", None, "never", "Find code")
    assert (made.yes, made.no, made.instruction) == ("yes", "never", "Find code")
    assert "<Instruct>: Find code\n" in made.pieces[0]


def reward_model(folder, tensors=None, **settings):
    """A tiny reward model, saved; ``tensors`` makes other weights of its own."""
    from safetensors.torch import load_file, save_file
    from transformers import LlamaConfig, LlamaForSequenceClassification

    from tests.data.preferences.chat import chat_tokenizer

    tokenizer = chat_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(tokenizer), pad_token_id=1, **{"num_labels": 1, **sizes, **settings})
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if tensors is not None:
        weights = load_file(folder / "model.safetensors")
        save_file(tensors(weights), folder / "model.safetensors", {"format": "pt"})
    return str(folder)


@pytest.mark.parametrize("opened", [PolicyRatio, lambda source: CausalScorer(source, yes="yes", no="no")])
def test_a_model_without_a_vocabulary_head_has_no_words(tmp_path, opened):
    with pytest.raises(ConfigError, match=r"have no vocabulary head \(lm_head\), so that its words would be random"):
        opened(reward_model(tmp_path / "reward"))


@pytest.mark.parametrize("name", ["value_head.weight", "v_head.summary.weight", "score.2.weight"])
def test_a_reward_head_of_another_make_does_not_begin_anew(tmp_path, name):
    source = reward_model(
        tmp_path / "reward", lambda held: {name if k == "score.weight" else k: v for k, v in held.items()}
    )
    with pytest.raises(ConfigError, match=rf"holds {name}, a head of another make"):
        CausalScorer(source, prompt=None)
    assert CausalScorer(reward_model(tmp_path / "plain"), prompt=None).network.score.weight.shape == (1, 32)


@pytest.mark.parametrize(
    ("kind", "settings"), [("ctrl", {"n_embd": 32, "dff": 64, "n_layer": 1, "n_head": 4}), ("granite", {})]
)
def test_an_architecture_without_such_a_head_is_told(tmp_path, kind, settings):
    folder = save_tiny_causal(tmp_path / kind, kind, **settings)
    with pytest.raises(ConfigError, match=f"CausalScorer: {kind} models have no scoring head in transformers"):
        CausalScorer(str(folder), prompt=None)


def test_a_head_of_several_scores_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"the head in .* has another shape than that of one score"):
        CausalScorer(reward_model(tmp_path / "two", num_labels=2), prompt=None)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("kept", [["score"], None])
def test_an_adapter_brings_its_head_or_a_new_one_is_told(tmp_path, tiny_causal, caplog, kept):
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(tiny_causal, num_labels=1)
    # without a kind of task peft does not know of the head
    config = peft.LoraConfig(
        task_type="SEQ_CLS" if kept else None, r=2, target_modules=["q_proj"], modules_to_save=kept
    )
    adapted = peft.get_peft_model(model, config)
    head = model.score.weight.detach() if kept is None else model.score.modules_to_save["default"].weight.detach()
    adapted.save_pretrained(tmp_path / "adapter")
    chat_tokenizer().save_pretrained(tmp_path / "adapter")
    caplog.set_level("INFO")
    opened = CausalScorer(str(tmp_path / "adapter"), prompt=None)
    assert opened.new_head is (kept is None)
    assert torch.equal(opened.network.score.weight, head) is (kept is not None)
    assert ("has no scoring head: score.weight starts from random values" in caplog.text) is (kept is None)


def test_joints_that_are_other_tokens_than_published_are_told(tiny_causal, caplog, monkeypatch):
    CausalScorer(str(tiny_causal), prompt="qwen3-reranker", yes="yes", no="no")
    assert not caplog.text  # this tokenizer never joins a space to a word
    monkeypatch.setitem(PROMPTS, "qwen3-reranker", Prompt("file:\nho{query}\n{document} is", "yes", "no"))
    CausalScorer(str(tiny_causal), prompt="qwen3-reranker")
    assert "the prompt qwen3-reranker and the texts are put together token by token" in caplog.text
