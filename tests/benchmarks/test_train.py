"""The script that measures training steps, on a tiny model."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks.conftest import ChildHere


def test_measures_steps_of_ltr(measured_here, tiny_ranker, monkeypatch):
    import pytorch_lightning as pl
    import train

    import ltr.scorers

    # in this process, where what they make shows; a process of its own fails below
    asked, made = [], []

    def child(python, script, task, threads):
        asked.append(task)
        return ChildHere(python, script, task, threads)

    def noted(kind, setting):
        def make(*given, **settings):
            made.append(settings[setting])
            return kind(*given, **settings)

        return make

    monkeypatch.setattr(train, "Child", child)
    monkeypatch.setattr(ltr.scorers, "CrossEncoder", noted(ltr.scorers.CrossEncoder, "attention_dropout"))
    monkeypatch.setattr(pl, "Trainer", noted(pl.Trainer, "precision"))
    result, printed = measured_here(
        train, "--quick", f"--model={tiny_ranker}", "--only", "sentence", "ltr ListNet fp32", "ListNet bf16, equal"
    )
    assert [(task["bf16"], task.get("attention_dropout")) for task in asked] == [
        (False, None),
        (False, 0.1),
        (True, 0.1),
    ]
    assert made == [0.0, "32-true", 0.1, "32-true", 0.1, "bf16-mixed"]
    rows = {row["way"]: row for row in result["rows"]}
    # sentence-transformers is left out: it is not installed here
    assert list(rows) == ["ltr ListNet fp32", "ltr ListNet fp32, equal dropout", "ltr ListNet bf16, equal dropout"]
    assert all(row["pairs/s"] > 0 and row["peak MB"] > 50 for row in rows.values())
    assert all(row["x ST fp32"] is row["x ST bf16"] is row["memory / ST fp32"] is None for row in rows.values())
    # the first step is not counted
    assert [len(seconds) for way in result["seconds"].values() for seconds in way] == [1, 1, 1]
    assert "2 lists x 4 passages" in printed
    assert result["quick"] is True


def test_ratios_are_medians_over_rounds(speed):
    import train

    st, own = train.WAYS[0], train.WAYS[5]

    def answers(steps, peak):
        return [{"seconds": [s, s], "peak_mb": peak} for s in steps]

    rows = train.rows_of({st: answers([4, 6, 90], 3000), own: answers([2, 2, 2], 1500)}, 64, "seconds")
    assert [row["x ST fp32"] for row in rows] == [1, 3]
    assert [row["memory / ST fp32"] for row in rows] == [1, 0.5]
    assert rows[1]["pairs/s"] == 32
    assert rows[1]["x ST bf16"] is None


def test_a_way_that_fails_is_left_out_and_said(speed, tmp_path, capsys):
    import train

    way = train.Way("ltr ListNt", "none of the ways", {"loss": "ListNt"})
    task = {"model": str(tmp_path / "none"), "device": "cpu", "threads": 1, "max_length": 32, "steps": 1, "lists": 1, "docs": 1, "questions": []}  # fmt: skip
    assert train.measure({way: sys.executable}, task, 2) == {}
    assert "ltr ListNt: left out: KeyError: 'none of the ways'" in capsys.readouterr().err


def test_batches_carry_the_right_label(speed, tiny_ranker):
    from common.lists import Questions
    from common.texts import questions

    from ltr.data.tokens.pairs import load_tokenizer

    asked = questions(6, 4, "train")
    data = Questions(asked, load_tokenizer(tiny_ranker), 2, 256)
    batches = list(data.train_dataloader())
    assert [len(batch) for batch in batches] == [2, 2, 2]
    labels = [batch.pad(batch.labels).argmax(1).tolist() for batch in batches]
    assert [place for own in labels for place in own] == [q.positive for q in asked]
    assert all(int(batch.lengths.max()) <= 256 for batch in batches)
    with pytest.raises(IndexError):
        data.train_dataloader().dataset[3]
