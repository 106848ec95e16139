"""A benchmark small enough for a test, of real parts: tiny model, tiny folder."""

from pathlib import Path

import yaml


def content(folder: Path, model: Path, where: Path) -> dict:
    return {
        "name": "tiny",
        "folder": str(where),
        "data": {
            "toy": {
                "class_path": "ltr.data.TextData",
                "init_args": {
                    "train": f"{folder}/train", "dev": f"{folder}/dev", "test": f"{folder}/dev",
                    "train_candidates": "first", "dev_candidates": "first", "max_length": 32, "max_query_length": 16,
                    "lists_per_batch": 2,
                },
            }
        },
        "scorers": {"tiny": {"class_path": "ltr.scorers.CrossEncoder", "init_args": {"model": str(model)}}},
        "losses": {
            "ListNet": "ListNet()",
            "Selective": {
                "loss": "CompositeSoftmax(Identity() + Softplus(center={center}), targets=Positives())",
                "search": {"center": {"low": 0.0, "high": 2.0}},
            },
        },
        "seeds": 2,
        "tuning": {"trials": 2, "search": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}},
        "trainer": {"max_epochs": 2, "accelerator": "cpu"},
        "monitor": "mrr@10",
        "measures": ["mrr@10", "ndcg@10"],
        "baseline": "ListNet",
    }  # fmt: skip


def write(path: Path, values: dict) -> Path:
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path
