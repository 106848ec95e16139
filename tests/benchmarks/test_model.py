"""The model that speed is measured with is trained once, and told how well it ranks."""

from __future__ import annotations

import json

import pytest


def test_trained_once_and_kept(speed, tiny_ranker, tmp_path, monkeypatch):
    from common import model

    folder = model.model_folder(tmp_path, str(tiny_ranker), steps=2)
    assert folder.parent == tmp_path
    assert folder.name.startswith("ranker-2-steps-")
    facts = json.loads((folder / model.FACTS).read_text())
    assert 0 < facts["mrr"] <= 1
    assert facts["mrr_of_chance"] == pytest.approx(0.1268)
    assert (folder / "ltr.json").exists()
    monkeypatch.setattr(model, "train", None)
    assert model.model_folder(tmp_path, str(tiny_ranker), steps=2) == folder
    # nothing half-made is left, and other texts would need another model
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    monkeypatch.setattr(model, "questions", lambda *_: ["other texts"])
    with pytest.raises(TypeError):
        model.model_folder(tmp_path, str(tiny_ranker), steps=2)


def test_chance_finds_the_right_passage_early_now_and_then(speed):
    from common import model

    assert model.chance_mrr(2) == 0.75


def test_places_of_the_right_passages_are_averaged(speed):
    from types import SimpleNamespace

    from common import model

    def rank_many(queries, docs):
        # every list as it came: the right passage stands at its own place
        return [[SimpleNamespace(index=i, rank=i + 1) for i in range(len(own))] for own in docs]

    asked = model.questions(5, 32, "test", seed=1)
    wanted = sum(1 / (q.positive + 1) for q in asked) / 5
    assert model.ranked(SimpleNamespace(rank_many=rank_many), 5) == round(wanted, 4)
