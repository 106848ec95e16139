"""A saved model opens in transformers and sentence-transformers with the same scores, and knows its settings."""

import json
import os
import stat

import numpy as np
import pytest
import torch

from ltr.batch import TextLists, TokenRows
from ltr.errors import ConfigError, DataError
from ltr.io import files
from ltr.scorers.text import saving
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings

PAIRS = [
    ("how to join two paths", "join the paths and return the path"),
    ("sort list", "what is a list in python"),
    ("open", "open close read write file text of the document"),
]


@pytest.fixture
def scorer(tiny_model) -> CrossEncoder:
    torch.manual_seed(3)
    return CrossEncoder(str(tiny_model)).eval()


@pytest.fixture
def folder(scorer, tmp_path):
    scorer.save(tmp_path / "best", ModelSettings(48, 16, 0.25, trained_on=["tiny/train"]))
    return tmp_path / "best"


def scores_of(scorer: CrossEncoder) -> np.ndarray:
    encoded = [scorer.tokenizer(*pair) for pair in PAIRS]
    offsets = torch.tensor([0, *np.cumsum([len(e["input_ids"]) for e in encoded])])
    batch = TextLists(
        torch.tensor([0, len(PAIRS)]),
        tokens=TokenRows(
            torch.tensor([i for e in encoded for i in e["input_ids"]]),
            torch.tensor([i for e in encoded for i in e["token_type_ids"]]),
            offsets,
        ),
    )
    with torch.inference_mode():
        return scorer(batch)[0].numpy()


def test_opens_in_transformers_with_the_same_scores(scorer, folder):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(*map(list, zip(*PAIRS, strict=True)), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        scores = model(**inputs).logits[:, 0].numpy()
    np.testing.assert_allclose(scores, scores_of(scorer), atol=1e-5)
    assert np.ptp(scores) > 0.01


def test_opens_in_sentence_transformers_with_the_same_scores(scorer, folder):
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="pip install 'ltr[test]' brings it")
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    scores = model.predict(PAIRS, show_progress_bar=False)
    np.testing.assert_allclose(scores, scores_of(scorer), atol=1e-5)


def test_opens_again_in_ltr(scorer, folder):
    again = CrossEncoder(str(folder)).eval()
    assert not again.new_head
    np.testing.assert_allclose(scores_of(again), scores_of(scorer), atol=1e-6)
    assert ModelSettings.read(folder) == ModelSettings(48, 16, 0.25, trained_on=("tiny/train",))
    assert again.tokenizer.model_max_length == 48
    assert set(json.loads((folder / "ltr.json").read_text())["versions"]) == {"ltr", "torch", "transformers"}


def test_the_folder_holds_safetensors_only_and_others_may_read_it(folder):
    names = {p.name for p in folder.iterdir()} - {"special_tokens_map.json", "vocab.txt"}  # of transformers 4
    assert names == {"config.json", "ltr.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    plain = folder.parent / "plain"
    plain.write_text("")
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {stat.S_IMODE(plain.stat().st_mode)}


def test_tokenizers_are_written_in_words_of_transformers_4_too(scorer, tmp_path):
    """Its servers refused TokenizersBackend, and special tokens in a list."""
    scorer.tokenizer.add_special_tokens({"additional_special_tokens": ["[Q]", "[D]"]})
    saving.write_tokenizer(scorer.tokenizer, tmp_path)
    held = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert held["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert held["additional_special_tokens"] == ["[Q]", "[D]"]
    assert not held.get("extra_special_tokens")  # transformers 4 writes {}
    from transformers import AutoTokenizer

    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("join [Q] paths", "a")["input_ids"] == scorer.tokenizer("join [Q] paths", "a")["input_ids"]
    assert set(again.all_special_tokens) == set(scorer.tokenizer.all_special_tokens)
    assert again.decode(again("join [Q]")["input_ids"], skip_special_tokens=True) == "join"


def test_saving_twice_replaces_and_leaves_nothing_beside(scorer, folder):
    with torch.no_grad():
        scorer.model.classifier.bias += 1
    scorer.save(folder, ModelSettings(32, 8))
    assert ModelSettings.read(folder).max_length == 32
    np.testing.assert_allclose(scores_of(CrossEncoder(str(folder)).eval()), scores_of(scorer), atol=1e-6)
    assert [p.name for p in folder.parent.iterdir()] == ["best"]
    assert not hasattr(scorer.model.config, "sentence_transformers")


def test_a_folder_is_on_the_disk_before_it_has_its_name(scorer, folder, monkeypatch):
    synced, sync, swap = set(), os.fsync, files._swap

    def noted(handle):
        synced.add(os.fstat(handle).st_ino)
        sync(handle)

    def swapped(new, place):
        assert {path.stat().st_ino for path in new.iterdir()} <= synced
        swap(new, place)
        synced.add(None)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(files, "_swap", swapped)
    scorer.save(folder, ModelSettings(60, 20))
    assert None in synced


def test_where_a_link_points_is_replaced_and_the_link_stays(scorer, folder):
    link = folder.parent / "link"
    link.symlink_to(folder)
    scorer.save(link, ModelSettings(32, 8))
    assert link.is_symlink()
    assert ModelSettings.read(folder).max_length == 32
    assert {p.name for p in folder.parent.iterdir()} == {"best", "link"}


def test_a_place_that_cannot_be_is_told(scorer, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write .*/file/best: File exists; nothing was written"):
        scorer.save(tmp_path / "file" / "best", ModelSettings(32, 8))


def test_a_failed_save_leaves_the_old_folder(scorer, folder, monkeypatch):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(self, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving.ModelSettings, "write", full)
    with pytest.raises(DataError, match=r"cannot write .*best: No space left on device; the old one is as it was"):
        scorer.save(folder, ModelSettings(32, 8))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["best"]


def test_more_tokens_than_positions_are_refused_before_anything_is_written(scorer, tmp_path):
    with pytest.raises(ConfigError, match="reads at most 64 tokens, got texts of up to 256"):
        scorer.save(tmp_path / "new", ModelSettings())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_length": 32, "max_query_length": 32}, "1 <= max_query_length < max_length, got 32 and 32"),
        ({"max_query_length": 0}, "1 <= max_query_length < max_length, got 0 and 256"),
        ({"interpolation": 1.5}, r"interpolation must be a weight from 0 to 1, got 1\.5"),
        ({"passages": "last"}, "passages must be first, max or mean, got 'last'"),
        ({"passages": "max", "stride": 0}, "stride must be at least 1, got 0"),
        ({"passages": "max", "max_passages": -1}, "max_passages must be at least 1, got -1"),
        ({"stride": 9}, r"stride is for documents that are read in passages, .* or leave stride out \(got 9\)"),
        ({"max_passages": 9}, r"max_passages is for documents that are read in passages, and passages is first"),
    ],
)
def test_settings_that_cannot_work(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ModelSettings(**settings)


def test_how_long_documents_are_read_is_kept(tmp_path):
    for given in (ModelSettings(passages="mean", stride=90, max_passages=3), ModelSettings(passages="max")):
        given.write(tmp_path)
        assert ModelSettings.read(tmp_path) == given


def test_an_ltr_json_from_before_passages_reads_beginnings(tmp_path):
    (tmp_path / "ltr.json").write_text('{"max_length": 48, "max_query_length": 16, "interpolation": null}')
    assert ModelSettings.read(tmp_path) == ModelSettings(48, 16, passages="first", stride=None, max_passages=None)


def test_a_model_from_elsewhere_has_default_settings(tmp_path):
    assert ModelSettings.read(tmp_path) == ModelSettings()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"max_length": "long"}', '{"max_length": 2, "max_query_length": 9}', '{"passages": 1}']
)
def test_a_damaged_ltr_json(tmp_path, content):
    (tmp_path / "ltr.json").write_text(content)
    with pytest.raises(DataError, match=r"ltr\.json: not the settings of a model saved by ltr: "):
        ModelSettings.read(tmp_path)
