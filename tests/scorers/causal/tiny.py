"""A tiny causal language model with random weights, whose padding mark is its end mark."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.data.preferences.chat import chat_tokenizer


def save_tiny_causal(folder: Path, kind: str = "llama", seed: int = 7, **settings) -> Path:
    """Save one of an architecture with its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = chat_tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    if kind == "gpt2":
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
    end = tokenizer.eos_token_id
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), intermediate_size=64, max_position_embeddings=256, pad_token_id=end,
        eos_token_id=end, bos_token_id=tokenizer.bos_token_id, tie_word_embeddings=True, **{**sizes, **settings},
    )  # fmt: skip
    config.initializer_range = 0.3
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
