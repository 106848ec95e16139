"""A tokenizer with a chat template, whose padding mark is its end mark, as those of small language models are."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = [
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "is",
    "how",
    "what",
    "join",
    "two",
    "paths",
    "split",
    "string",
    "file",
    "yes",
    "no",
    "user",
    "assistant",
    "system",
]


def chat_tokenizer(template: str | None = TEMPLATE):
    """Words and bytes; ``<|im_end|>`` ends texts and pads them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|im_start|>", "<|im_end|>"]
    words = [w for word in WORDS if len(word) > 1 for w in (word, f"Ġ{word}")]
    ids = {piece: i for i, piece in enumerate([*special, *alphabet, *words])}
    merges: list[tuple[str, str]] = []
    for word in words:  # each word by merging letter after letter; what lies between is a piece too
        for end in range(2, len(word) + 1):
            if (word[: end - 1], word[end - 1]) not in merges:
                merges.append((word[: end - 1], word[end - 1]))
            ids.setdefault(word[:end], len(ids))
    tokenizer = Tokenizer(models.BPE(ids, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    made.chat_template = template
    return made


def save_chat_tokenizer(folder: Path, template: str | None = TEMPLATE) -> Path:
    """The same as files."""
    chat_tokenizer(template).save_pretrained(folder)
    return folder
