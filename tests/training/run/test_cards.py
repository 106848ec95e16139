"""A trained model's card: there with the weights, complete at the end, and the user's own once edited."""

import pytest

from ltr.report.cards.sealed import is_own
from ltr.training.run.records import read_manifest
from ltr.training.run.saved_models import save_model
from tests.training.run.test_run_folder import run


@pytest.fixture(scope="module")
def finished(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cards") / "run"
    return folder, run(tiny_model, folder, interpolate="dev")[0]


def test_the_best_model_says_what_it_is_worth(finished):
    folder, results = finished
    text = (folder / "best" / "README.md").read_text()
    assert not is_own(text)
    assert read_manifest(folder)["results"] == {"dev": results[0].content()}
    for row in results[0].content()["rows"]:
        mean = row["mean"]
        assert f"{mean['value']:.4f} [{mean['low']:.4f}, {mean['high']:.4f}]" in text
    assert "the first stage's weight" in text  # which was chosen after the weights were saved


def test_the_last_model_claims_no_measure(finished):
    folder, _ = finished
    text = (folder / "last" / "README.md").read_text()
    assert "whatever the validations said" in text
    assert "Measures" not in text


def test_a_card_that_was_edited_stays_when_the_training_goes_on(tiny_model, tmp_path):
    folder = tmp_path / "run"
    run(tiny_model, folder, max_epochs=1)
    card = folder / "best" / "README.md"
    card.write_text(card.read_text() + "\nMy own words.\n")
    edited = card.read_bytes()
    run(tiny_model, folder, resumed=True)
    assert card.read_bytes() == edited
    assert not is_own((folder / "last" / "README.md").read_text())


def test_a_card_that_was_edited_moves_along_with_new_weights(tiny_model, tmp_path):
    _, callback, made, _ = run(tiny_model, tmp_path / "run", max_epochs=1)
    card = tmp_path / "run" / "best" / "README.md"
    card.write_bytes(b"mine\r\n")
    made.scorer.model.classifier.bias.data.add_(1.0)
    before = (tmp_path / "run" / "best" / "model.safetensors").read_bytes()
    save_model(callback.folder, made, "best")
    assert (tmp_path / "run" / "best" / "model.safetensors").read_bytes() != before
    assert card.read_bytes() == b"mine\r\n"
