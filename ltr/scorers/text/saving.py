"""Saving a model as the folder that transformers and sentence-transformers open."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from ltr.io.files import building
from ltr.scorers import views
from ltr.scorers.text.loading import quiet
from ltr.settings.texts import ModelSettings


def save(model: Any, tokenizer: Any, settings: ModelSettings, folder: Path) -> None:
    """Write weights (safetensors), configuration, tokenizer and ``ltr.json``, then put the folder in its place."""
    with building(folder) as beside:
        # sentence-transformers would put a sigmoid on a single logit
        written_model: Any = views.beside(model)
        written_model.config = copy.deepcopy(model.config)
        written_model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.linear.Identity"}
        with quiet():
            written_model.save_pretrained(beside)
        write_tokenizer(cutting(tokenizer, settings.max_length), beside)
        settings.write(beside)


def cutting(tokenizer: Any, max_length: int) -> Any:
    """A copy by which those who know nothing of ``ltr.json`` cut texts at the same length, and at the same end."""
    written = copy.deepcopy(tokenizer)
    written.model_max_length, written.truncation_side = max_length, "right"
    return written


def write_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write a tokenizer's files in words that transformers 4 reads, too, as servers that stay with it need.

    What version 5 calls ``TokenizersBackend`` and lists as ``extra_special_tokens`` was ``PreTrainedTokenizerFast`` and
    ``additional_special_tokens``; both versions read those.
    """
    tokenizer.save_pretrained(folder)
    place = folder / "tokenizer_config.json"
    held = json.loads(place.read_text(encoding="utf-8"))
    if held.get("tokenizer_class") == "TokenizersBackend":
        held["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(held.get("extra_special_tokens"), list):
        held["additional_special_tokens"] = held.pop("extra_special_tokens")
    place.write_text(json.dumps(held, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
