"""Tiny models of many architectures: each document's score is what transformers gives for that pair alone, unpadded.

With texts that hold special tokens too: the padding token in a text is read like any token (the mask is all ones), but
architectures that count positions from the padding id upwards (RoBERTa and its kin) leave it out of the count, in training
as in transformers' own scoring. That is the right score, since it is the one that the model was trained to give.
"""

import inspect

import pytest
import torch

from ltr.batch import TextLists, TokenRows
from ltr.errors import ConfigError
from ltr.inference.scoring import prepared
from ltr.scorers import architectures
from ltr.scorers.text.cross_encoder import CrossEncoder
from tests.tiny_model import save_tokenizer

USUAL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
LLAMA = {**USUAL, "num_key_value_heads": 2}
GEMMA = {**LLAMA, "head_dim": 8}
EMBEDDING = {**USUAL, "embedding_size": 32}
XLM = {"emb_dim": 32, "n_layers": 2, "n_heads": 4}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
    "eos_token_id": 3,
}
BART = {
    **{f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in (("layers", 2), ("attention_heads", 4))},
    **{"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "eos_token_id": 3},
}
#: architecture -> its sizes
KINDS = {
    **dict.fromkeys(
        ["albert", "bert", "big_bird", "camembert", "canine", "data2vec-text", "deberta", "deberta-v2", "electra", "ernie", "esm", "gte", "ibert", "jina_embeddings_v3", "layoutlm", "luke", "markuplm", "megatron-bert", "mpnet", "nomic_bert", "gpt_neox", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "yoso", "phi", "biogpt"],
        USUAL,
    ),
    **dict.fromkeys(("llama", "mistral", "qwen2"), LLAMA),
    **dict.fromkeys(("gemma", "qwen3"), GEMMA),
    **dict.fromkeys(("gpt2", "openai-gpt", "gpt_bigcode"), GPT),
    **dict.fromkeys(("bart", "mbart", "mvp"), BART),
    **dict.fromkeys(("t5", "mt5", "umt5"), T5),
    **dict.fromkeys(("xlm", "flaubert"), XLM),
    **dict.fromkeys(("convbert", "squeezebert"), EMBEDDING),
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "ctrl": {**GPT, "dff": 64},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "eurobert": {**USUAL, "num_key_value_heads": 4},
    "falcon": USUAL,
    "fnet": {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64},
    "funnel": {"d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64, "block_sizes": [1, 1], "num_decoder_layers": 1},
    "gpt_neo": {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    "longformer": {**USUAL, "attention_window": [8, 8]},
    "mobilebert": {
        **USUAL, "embedding_size": 32, "intra_bottleneck_size": 32, "true_hidden_size": 32, "num_feedforward_networks": 1,
    },
    "modernbert": {**USUAL, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4},
    "nystromformer": {**USUAL, "num_landmarks": 64, "segment_means_seq_len": 64},
    "opt": {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 32},
    "reformer": {
        "hidden_size": 32, "num_attention_heads": 4, "feed_forward_size": 64, "attn_layers": ["local", "local"],
        "attention_head_size": 8, "axial_pos_embds": False, "is_decoder": False,
    },
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
}  # fmt: skip
#: computed in the fused engine, packed, padded with a head apart, as a whole, at equal lengths, by numbers of ends
QUICK = ("roberta", "bert", "mpnet", "gpt2", "convbert", "fnet", "bart")


def save(kind, folder, **settings):
    from transformers import AutoConfig, AutoModelForSequenceClassification

    given = {"vocab_size": 160, "pad_token_id": 0, "num_labels": 1, **KINDS[kind], **settings}
    if kind != "xlnet":  # which refuses to hear of it
        given["max_position_embeddings"] = 64
    config = AutoConfig.for_model(kind, **given)
    for name in ("initializer_range", "init_std"):
        if hasattr(config, name):
            setattr(config, name, 0.3)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = AutoModelForSequenceClassification.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return str(folder)


def documents(special):
    """Token and segment ids; ``special``: with padding, mask and separators among the text's, in some more than in others."""
    draw = torch.Generator().manual_seed(1)
    found = []
    for number, length in enumerate((9, 23, 40, 9, 12, 40, 31)):
        ids = torch.randint(5, 160, (length,), generator=draw)
        ids[0], ids[4], ids[-1] = 2, 3, 3
        if special:
            ids[2], ids[6], ids[-2] = 4, 0, 0
            ids[5] = 3 if number % 3 else 0
        found.append((ids, (torch.arange(length) > 4).long()))
    return found


def batch_of(docs):
    offsets = torch.tensor([0, *(len(ids) for ids, _ in docs)]).cumsum(0)
    ids, segments = (torch.cat(parts) for parts in zip(*docs, strict=True))
    return TextLists(torch.tensor([0, len(docs)]), tokens=TokenRows(ids, segments, offsets))


def alone(model, docs):
    """What transformers gives for each document by itself."""
    found = []
    for ids, segments in docs:
        inputs = {"input_ids": ids[None], "attention_mask": torch.ones_like(ids)[None]}
        if getattr(model.config, "type_vocab_size", 0) > 1 and model.config.model_type != "distilbert":
            inputs["token_type_ids"] = segments[None]
        if "attention_mask" not in inspect.signature(model.forward).parameters:  # FNet's in transformers 4
            del inputs["attention_mask"]
        found.append(model(**inputs).logits[0, 0])
    return torch.stack(found)


def check(kind, folder):
    from transformers import AutoModelForSequenceClassification

    save(kind, folder)
    scorer = CrossEncoder(str(folder), batch_tokens=200).eval()
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()  # itself, with its own attention
    with torch.no_grad():
        for special in (False, True):
            docs = documents(special)
            wanted = alone(model, docs)
            assert wanted.std() > 0.003
            for one in (scorer, prepared(scorer, "cpu", "32")):
                torch.testing.assert_close(one(batch_of(docs))[0], wanted, rtol=5e-4, atol=1e-4)


@pytest.mark.parametrize("kind", QUICK)
def test_scores_are_transformers_own(kind, tmp_path):
    check(kind, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_scores_are_transformers_own_whatever_the_architecture(kind, tmp_path):
    check(kind, tmp_path)


@pytest.mark.slow
def test_architectures_that_are_said_to_take_padding_are_all_tried():
    # MRA needs kernels that are not there without a GPU, and scores every text alike
    assert architectures.TAKE_PADDING - set(KINDS) == {"mra"}


def test_the_padding_token_in_a_text_moves_the_scores_of_a_model_that_counts_positions_past_it(tmp_path):
    """By hand: positions of <s> a <pad> b </s> are 1 above the padding id, 2, the padding id itself, 3, 4."""
    from ltr.scorers.text.microbatches import row
    from ltr.scorers.text.packed import inputs_of

    model = CrossEncoder(save("roberta", tmp_path)).model
    ids = torch.tensor([2, 9, 0, 8, 3, 2, 0, 0, 3])
    line = row(batch_of([(ids[:5], ids[:5]), (ids[5:], ids[5:])]).tokens, torch.tensor([0, 1]))
    assert inputs_of(model.config, line, False)["position_ids"].tolist() == [[1, 2, 0, 3, 4, 1, 0, 0, 2]]
    model.config.pad_token_id = 1  # as they have it
    assert inputs_of(model.config, line, False)["position_ids"].tolist() == [[2, 3, 4, 5, 6, 2, 3, 4, 5]]


def test_an_architecture_that_computes_in_float32_alone(tmp_path, monkeypatch):

    scorer = CrossEncoder(save("fnet", tmp_path)).eval()
    with pytest.raises(
        ConfigError, match=r"in float32 alone: its Fourier transform in transformers takes no bfloat16; take"
    ):
        prepared(scorer, "cpu", "bf16")
    monkeypatch.setattr("ltr.scorers.base.multiplies_bf16", lambda device: True)
    assert prepared(scorer, "cpu", "auto") is scorer


def test_a_decoder_without_a_padding_token(tmp_path):
    folder = save("gpt2", tmp_path, pad_token_id=None)
    with pytest.raises(
        ConfigError, match=r"is a decoder \(gpt2\), .* its config.json names no padding: set pad_token_id"
    ):
        CrossEncoder(folder)


def test_a_nystromformer_that_reads_one_length_alone(tmp_path):
    folder = save("nystromformer", tmp_path, num_landmarks=8)
    with pytest.raises(
        ConfigError, match="with 8 landmarks of segments of 64 tokens, which reads texts of exactly that"
    ):
        CrossEncoder(folder)


@pytest.mark.parametrize("kind", ["roberta", pytest.param("convbert", marks=pytest.mark.slow)])
def test_a_compiled_model_reads_segments_too(kind, tmp_path):
    scorer = CrossEncoder(save(kind, tmp_path)).eval()
    batch = batch_of(documents(False))
    with torch.no_grad():
        wanted = scorer(batch)
        names = {part: len(own) for part, own in scorer.parts().items()}
        scorer.model = torch.compile(scorer.model, backend="eager")
        torch.testing.assert_close(scorer(batch), wanted, rtol=1e-5, atol=1e-5)
        batch.tokens.marks.zero_()
        assert (scorer(batch) - wanted).abs().max() > 1e-3, "they matter here"
    assert {part: len(own) for part, own in scorer.parts().items()} == names
    from ltr.scorers.text.loading import takes_segments

    assert takes_segments(scorer.model)


@pytest.mark.parametrize(
    ("forward", "takes"),
    [
        (lambda input_ids, attention_mask=None: None, True),
        (lambda input_ids, **others: None, True),
        (lambda input_ids: None, False),
    ],
)
def test_a_mask_is_left_out_only_where_nothing_would_take_it(forward, takes):
    """Else padding would be read as text by a model whose forward is wrapped."""
    from ltr.scorers.text.loading import takes_mask

    model = torch.nn.Module()
    model.forward = forward
    assert takes_mask(model) is takes
