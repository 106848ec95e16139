"""A trained model beside a folder of drawn texts, for commands that need both; each test judges and ranks as it likes."""

import json
from pathlib import Path

import numpy as np
import torch

from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.tiny_model import WORDS, save_tiny


def write_home(home: Path, docs: int, queries: int, longest: int) -> tuple[np.random.Generator, dict, dict]:
    """``best``, and ``data`` with texts alone: the generator that drew them, documents and queries by id."""
    torch.manual_seed(2)
    CrossEncoder(str(save_tiny(home / "backbone", head=True))).save(home / "best", ModelSettings(60, 20))
    draw, data = np.random.default_rng(1), home / "data"
    data.mkdir()
    texts = {f"d{i}": " ".join(draw.choice(WORDS, draw.integers(5, longest))) for i in range(docs)}
    (data / "docs.jsonl").write_text("".join(json.dumps({"doc_id": d, "text": t}) + "\n" for d, t in texts.items()))
    asked = {f"q{i}": " ".join(draw.choice(WORDS, 4)) for i in range(queries)}
    (data / "queries.tsv").write_text("".join(f"{q}\t{t}\n" for q, t in asked.items()))
    return draw, texts, asked
