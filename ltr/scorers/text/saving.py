"""Saving a model as the folder that transformers and sentence-transformers open."""

from __future__ import annotations

import copy
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
        # those who know nothing of ltr.json cut texts at the same length
        written = copy.deepcopy(tokenizer)
        written.model_max_length = settings.max_length
        written.save_pretrained(beside)
        settings.write(beside)
