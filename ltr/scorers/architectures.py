"""What is known of transformers' architectures beyond what their interface says.

Found by scoring pairs together and each alone, unpadded (``tests/scorers/test_architectures.py``).
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor

from ltr.batch import TokenRows
from ltr.errors import ConfigError

#: kinds that give a text the same score with padding behind it; all others get texts of equal length together. The mask does
#: not keep padding out of what mixes neighbours (convolutions: ConvBERT, CANINE, Nyströmformer), all tokens (FNet's Fourier
#: transform) or random groups (YOSO), nor out of the place that a head reads (XLNet's last)
TAKE_PADDING = frozenset(
    [
        "albert",
        "bart",
        "bert",
        "big_bird",
        "biogpt",
        "bloom",
        "camembert",
        "ctrl",
        "data2vec-text",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "ernie",
        "esm",
        "eurobert",
        "falcon",
        "flaubert",
        "funnel",
        "gemma",
        "gpt2",
        "gpt_bigcode",
        "gpt_neo",
        "gpt_neox",
        "gptj",
        "gte",
        "ibert",
        "jina_embeddings_v3",
        "layoutlm",
        "llama",
        "longformer",
        "luke",
        "markuplm",
        "mbart",
        "megatron-bert",
        "mistral",
        "mobilebert",
        "modernbert",
        "mpnet",
        "mpt",
        "mra",
        "mt5",
        "mvp",
        "nomic_bert",
        "openai-gpt",
        "opt",
        "phi",
        "qwen2",
        "qwen3",
        "reformer",
        "rembert",
        "roberta",
        "roberta-prelayernorm",
        "roc_bert",
        "roformer",
        "squeezebert",
        "t5",
        "umt5",
        "xlm",
        "xlm-roberta",
        "xlm-roberta-xl",
    ]
)
#: kinds that compute in no lower precision, with what stands in the way
IN_FLOAT32_ALONE = {
    "fnet": "its Fourier transform",
    "mra": "its attention",
    "openai-gpt": "its projections",
}


def check(config: Any, model: Any, source: str) -> None:
    """Raise ConfigError for a model that cannot score documents of any length together with others."""
    takes = inspect.signature(model.forward).parameters
    # what a decoder keeps of the tokens before; transformers 5.24 renamed it
    if config.pad_token_id is None and not {"past_key_values", "cache"}.isdisjoint(takes):
        raise ConfigError(
            f"CrossEncoder: {source} is a decoder ({config.model_type}), which reads its score from the last token that is "
            "no padding, and its config.json names no padding: set pad_token_id there to the id of a token that no text ends "
            "with, and pad_token in the tokenizer"
        )
    if config.model_type == "nystromformer" and config.num_landmarks != config.segment_means_seq_len:
        raise ConfigError(
            f"CrossEncoder: {source} is a Nyströmformer with {config.num_landmarks} landmarks of segments of "
            f"{config.segment_means_seq_len} tokens, which reads texts of exactly that length; ltr scores texts of any length: "
            "take one whose num_landmarks equals its segment_means_seq_len, or another architecture"
        )


def apart(config: Any, tokens: TokenRows) -> Tensor | None:
    """[documents] numbers: documents of different ones must not be computed in one padded batch; None where all may."""
    if config.model_type not in TAKE_PADDING:
        return tokens.lengths
    if getattr(config, "is_encoder_decoder", False):
        # such models look for the last end-of-text token, and take only texts with equally many
        ends = tokens.ids.eq(config.eos_token_id).cumsum(0)
        starts = tokens.offsets[:-1]
        return ends[tokens.offsets[1:] - 1] - ends[starts] + tokens.ids[starts].eq(config.eos_token_id).long()
    return None
