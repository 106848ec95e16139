"""A saved scorer on features: the same scores from raw features, nothing that runs code, bad folders told."""

import json

import numpy as np
import pytest
import torch

from ltr.errors import ConfigError, DataError
from ltr.scorers import AttentionScorer, CrossEncoder, FeatureSettings, LinearScorer, MLPScorer, load_scorer
from tests.scorers.features.test_scorers import N, batch

MAKERS = [
    LinearScorer,
    lambda: MLPScorer(hidden=[6], activation="tanh", dropout=0.2),
    lambda: AttentionScorer(width=8, layers=1, heads=2),
]


def fitted(make=MAKERS[0]):
    torch.manual_seed(4)
    scorer = make()
    scorer.fit_to(FeatureSettings(N, True, shift=np.linspace(-1, 1, N), scale=np.linspace(1, 3, N)))
    return scorer


@pytest.mark.parametrize("make", MAKERS, ids=["linear", "mlp", "attention"])
def test_what_was_saved_scores_the_same(make, tmp_path):
    scorer = fitted(make)
    scorer.save(tmp_path / "model", FeatureSettings(trained_on=("a.txt",), feature_names=tuple("abcde")))
    opened = load_scorer(tmp_path / "model")
    assert type(opened) is type(scorer)
    assert not opened.training
    assert torch.equal(opened(batch()), scorer.eval()(batch()))
    assert opened.arguments == scorer.arguments
    opened.fit_to(FeatureSettings(N, False, shift=np.zeros(N), scale=np.ones(N)))  # keeps its own statistics
    assert torch.equal(opened(batch()), scorer(batch()))
    settings = FeatureSettings.read(tmp_path / "model")
    assert settings.feature_names == tuple("abcde")
    assert settings.trained_on == ("a.txt",)
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"model.safetensors", "ltr.json"}


def test_saving_again_replaces_the_folder(tmp_path):
    fitted().save(tmp_path / "model")
    fitted(MAKERS[1]).save(tmp_path / "model")
    assert isinstance(load_scorer(tmp_path / "model"), MLPScorer)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_an_interrupted_save_leaves_the_old_model(tmp_path, monkeypatch):
    scorer = fitted()
    scorer.save(tmp_path / "model")

    def broken(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(FeatureSettings, "write", broken)
    with pytest.raises(KeyboardInterrupt):
        fitted(MAKERS[1]).save(tmp_path / "model")
    monkeypatch.undo()
    assert isinstance(load_scorer(tmp_path / "model"), LinearScorer)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_nothing_to_save_yet(tmp_path):
    with pytest.raises(
        ConfigError, match="LinearScorer: there is nothing to save before the number of features is known"
    ):
        LinearScorer().save(tmp_path / "model")


def changed(folder, **values):
    found = json.loads((folder / "ltr.json").read_text())
    (folder / "ltr.json").write_text(json.dumps(found | values))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"scorer": "LinearScrer"}, "no scorer 'LinearScrer' is known; did you mean 'LinearScorer'"),
        (
            {"scorer": "os.system"},
            "its scorer is os.system, which is not part of ltr, and a model folder alone may not choose",
        ),
        ({"arguments": {"hidden": [3]}}, r"ltr.json and model.safetensors do not belong together: .*hidden"),
        ({"n_features": 4}, r"ltr.json and model.safetensors do not belong together: .*"),
        ({"scorer": ["LinearScorer"]}, r"ltr.json: not the settings .*: scorer is the name of a class, got \['LinearS"),
        (
            {"trained_on": "abc"},
            r"ltr.json: not the settings of a model .*trained_on must be a list of names, got 'abc'",
        ),
        ({"feature_names": 3}, r"ltr.json: not the settings of a model saved by ltr: 'int' object is not iterable"),
    ],
)
def test_settings_that_do_not_fit(values, sentence, tmp_path):
    fitted().save(tmp_path / "model")
    changed(tmp_path / "model", **values)
    with pytest.raises(DataError, match=sentence):
        load_scorer(tmp_path / "model")


def test_scorers_of_ltr_may_be_named_by_their_paths(tmp_path):
    fitted().save(tmp_path / "model")
    changed(tmp_path / "model", scorer="ltr.scorers.LinearScorer")
    assert isinstance(load_scorer(tmp_path / "model"), LinearScorer)


def test_files_that_are_missing_or_broken(tmp_path):
    with pytest.raises(DataError, match=r"is no model that ltr saved: no file .*ltr.json"):
        load_scorer(tmp_path / "none")
    fitted().save(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(DataError, match=r"do not belong together: .*"):
        load_scorer(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"is no saved model: no file .*model.safetensors"):
        load_scorer(tmp_path / "model")
    (tmp_path / "model" / "ltr.json").write_text('{"max_length": 3}')
    with pytest.raises(ConfigError, match=r"CrossEncoder: the folder .* holds no config.json, so it is no saved model"):
        load_scorer(tmp_path / "model")  # settings that name no scorer are a cross-encoder's
    with pytest.raises(DataError, match="not the settings of a model saved by ltr: it has no scorer"):
        FeatureSettings.read(tmp_path / "model")


def test_a_cross_encoder_says_what_such_a_folder_is(tmp_path):
    fitted().save(tmp_path / "model")
    with pytest.raises(
        ConfigError, match=r"holds no config.json.*; it holds a scorer on features: open it with ltr.inference"
    ):
        CrossEncoder(str(tmp_path / "model"))
