"""Folders of sentence-transformers as they really come: the scores that it gives, or a refusal with the reason."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from ltr import Reranker
from ltr.errors import ConfigError, DataError
from ltr.scorers import BiEncoder, CrossEncoder, LateInteraction, Sparse, load_scorer
from ltr.scorers.opening import load_retriever
from ltr.settings import TwinSettings
from tests.tiny_model import save_mlm, save_tiny

QUERY = "how to join Two Paths, sort the list and read the file"
DOCS = ["Join two paths, read the file", "sort A list of numbers and search the index", "open the file."]
LENGTHS, MODULES = "sentence_bert_config.json", "modules.json"
MAKERS = {"BiEncoder": "SentenceTransformer", "Sparse": "SparseEncoder", "LateInteraction": "MultiVectorEncoder"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A folder of each kind, as sentence-transformers leaves it: without ltr.json."""
    home = tmp_path_factory.mktemp("folders")
    torch.manual_seed(0)
    backbone, mlm = str(save_tiny(home / "tiny")), save_mlm(home / "words")
    for model in (BiEncoder(backbone), Sparse(mlm), LateInteraction(backbone, dim=8, query_length=8)):
        folder = home / type(model).__name__
        model.save(folder, TwinSettings(60, 60))
        (folder / "ltr.json").unlink()
    return home


@pytest.fixture
def made(saved, tmp_path):
    """Gives a copy of the folder of a kind."""
    return lambda kind: Path(shutil.copytree(saved / kind, tmp_path / kind))


def edited(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def put_inside(folder: Path) -> None:
    """As versions before 3 saved them: the encoder in a folder of its own, beside those of the other modules."""
    (folder / "0_Transformer").mkdir()
    for path in [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(("modules", "config_sent"))]:
        path.rename(folder / "0_Transformer" / path.name)
    edited(folder / MODULES, lambda modules: modules[0].update(path="0_Transformer"))


def alike(folder: Path, kind: str) -> None:
    """Both read and compare texts the same way."""
    theirs = getattr(pytest.importorskip("sentence_transformers", minversion="6"), MAKERS[kind])(
        str(folder), device="cpu"
    )
    plain = {"convert_to_sparse_tensor": False} if kind == "Sparse" else {}
    wanted = theirs.similarity(theirs.encode_query([QUERY], **plain), theirs.encode_document(DOCS, **plain)).view(-1)
    found = Reranker.load(folder, "cpu", "32").score([(QUERY, text) for text in DOCS])
    torch.testing.assert_close(torch.tensor(found), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", list(MAKERS))
def test_an_encoder_in_a_folder_of_its_own_has_its_modules_beside_it(made, kind):
    folder = made(kind)
    put_inside(folder)
    alike(folder, kind)


def test_a_module_beside_the_encoder_is_looked_at(made):
    folder = made("Sparse")
    put_inside(folder)
    edited(folder / "1_SpladePooling" / "config.json", lambda config: config.update(pooling_strategy="sum"))
    with pytest.raises(ConfigError, match="pools by sum of relu; ltr pools by max of relu"):
        load_scorer(folder)


@pytest.mark.parametrize("kind", ["BiEncoder", "Sparse"])
def test_queries_and_documents_have_lengths_of_their_own(made, kind):
    folder = made(kind)
    edited(folder / LENGTHS, lambda lengths: lengths.update(query_length=5, document_length=6))
    alike(folder, kind)
    model = load_scorer(folder)
    assert model.usual_settings() == TwinSettings(6, 5)
    assert model.for_scoring(torch.device("cpu"), "32").usual_settings() == TwinSettings(6, 5)
    assert model.usual_settings(4) == TwinSettings(4, 4)
    assert model.usual_settings(40) == TwinSettings(40, 5)


@pytest.mark.parametrize("kind", ["BiEncoder", "Sparse"])
def test_a_folder_that_says_a_length_is_read_so_far_whatever_its_tokenizer_says(made, kind):
    folder = made(kind)
    edited(folder / "tokenizer_config.json", lambda facts: facts.update(model_max_length=5))
    edited(folder / LENGTHS, lambda lengths: lengths.update(max_seq_length=9))
    alike(folder, kind)
    assert load_scorer(folder).usual_settings() == TwinSettings(9, 9)


def test_lengths_stand_under_older_names_too(made):
    folder = made("BiEncoder")
    edited(folder / LENGTHS, lambda lengths: lengths.update(max_seq_length=6))
    (folder / LENGTHS).rename(folder / "sentence_roberta_config.json")
    alike(folder, "BiEncoder")


@pytest.mark.parametrize("length", [0, 8, 30])
def test_queries_that_are_longer_than_they_are_filled_to_are_read_whole_by_both(saved, tmp_path, length):
    """A fixed filling cuts them there, wherever it was meant to."""
    model = LateInteraction(str(saved / "tiny"), dim=8, query_length=length)
    model.save(tmp_path / "own", TwinSettings(40, 20))
    alike(tmp_path / "own", "LateInteraction")
    (tmp_path / "own" / "ltr.json").unlink()
    alike(tmp_path / "own", "LateInteraction")
    if length == 8:
        edited(tmp_path / "own" / LENGTHS, lambda lengths: lengths["query_expansion"].update(strategy="fixed"))
        assert load_scorer(tmp_path / "own").usual_settings().max_query_length == 8
        alike(tmp_path / "own", "LateInteraction")
        edited(tmp_path / "own" / LENGTHS, lambda lengths: lengths["query_expansion"].update(token="[SEP]"))
        with pytest.raises(
            ConfigError, match=r"fills queries by .*\[SEP\].*; ltr fills them to a fixed length with \[MASK\]"
        ):
            load_scorer(tmp_path / "own")


def test_a_projection_is_found_wherever_its_module_stands(made):
    folder = made("LateInteraction")
    (folder / "1_Dense").rename(folder / "7_Dense")
    edited(folder / MODULES, lambda modules: modules[1].update(path="7_Dense"))
    alike(folder, "LateInteraction")
    (folder / "7_Dense" / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"there is no 7_Dense/model.safetensors, the projection of its token vectors"):
        load_scorer(folder)


def test_the_projection_of_a_hub_model_is_fetched(made, tmp_path, monkeypatch):
    """It was drawn at random, without a word."""
    own = made("LateInteraction")
    repository = tmp_path / "hub" / "models--org--late"
    shutil.copytree(own, repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(
        "transformers.utils.hub.TRANSFORMERS_CACHE", str(tmp_path / "hub"), raising=False
    )  # version 4's
    wanted, found = load_scorer(own), load_retriever("org/late")
    assert torch.equal(found.projection.weight, wanted.projection.weight)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.insert(2, m[1]), "has 2 modules Dense one after the other"),
        (lambda m: m.pop(3), "has the modules Transformer, Dense, MultiVectorMask; a model of token vectors is"),
        (lambda m: m.insert(1, m.pop(3)), "has the modules Transformer, Normalize, Dense, MultiVectorMask; a model of"),
    ],
)
def test_other_modules_of_token_vectors_are_refused(made, change, sentence):
    folder = made("LateInteraction")
    edited(folder / MODULES, change)
    with pytest.raises(ConfigError, match=sentence):
        load_scorer(folder)


def test_models_of_the_first_implementation_are_refused(made, tmp_path):
    """Their projection, which this class does not read, was drawn at random."""
    folder = save_tiny(tmp_path / "first")
    edited(folder / "config.json", lambda config: config.update(architectures=["HF_ColBERT"]))
    with pytest.raises(ConfigError, match=r"first was saved by Stanford's ColBERT.* the projection would be random"):
        LateInteraction(str(folder))


def test_filling_that_is_not_ours_can_be_left_out(made):
    """As the message of its refusal says."""
    folder = made("LateInteraction")
    edited(folder / LENGTHS, lambda lengths: lengths["query_expansion"].update(attend=False))
    with pytest.raises(ConfigError, match=r"lets all tokens see the mask tokens \(attend\); set query_length 0"):
        LateInteraction(str(folder))
    with pytest.raises(ConfigError, match=r"set query_length 0"):
        LateInteraction(str(folder), query_length=8)
    assert LateInteraction(str(folder), query_length=0).query_length == 0


@pytest.mark.parametrize(
    ("place", "change", "sentence"),
    [
        ("1_Dense", {"activation_function": "torch.nn.modules.activation.Tanh"}, "projects its states by .*Tanh"),
        ("1_Dense", {"use_residual": True}, "projects its states by .*use_residual"),
        ("1_Dense", {"bias": True}, "ltr projects them without a bias, an activation function or what comes in"),
        ("2_MultiVectorMask", {"skiplist_tasks": ["query", "document"]}, "ltr leaves words out in documents alone"),
        ("2_MultiVectorMask", {"keep_only_token_ids": [7]}, "leaves tokens out by .*keep_only_token_ids"),
    ],
)
def test_modules_of_token_vectors_that_do_something_else_are_refused(made, place, change, sentence):
    folder = made("LateInteraction")
    edited(folder / place / "config.json", lambda config: config.update(change))
    with pytest.raises(ConfigError, match=sentence):
        load_scorer(folder)


@pytest.fixture
def cross(tmp_path) -> Path:
    """A cross-encoder's folder, as sentence-transformers leaves it."""
    theirs = pytest.importorskip("sentence_transformers", minversion="6")
    torch.manual_seed(0)
    theirs.CrossEncoder(str(save_tiny(tmp_path / "m", head=True)), device="cpu").save_pretrained(
        str(tmp_path / "cross")
    )
    return tmp_path / "cross"


@pytest.mark.parametrize("kind", [*MAKERS, "CrossEncoder"])
def test_a_tokenizer_with_settings_of_its_own_is_refused(made, request, kind):
    folder = request.getfixturevalue("cross") if kind == "CrossEncoder" else made(kind)
    # says what is so anyway
    edited(folder / LENGTHS, lambda lengths: lengths.update(processing_kwargs={"text": {"truncation": True}}))
    assert type(load_scorer(folder)).__name__ == kind
    if kind != "CrossEncoder":
        alike(folder, kind)
    edited(folder / LENGTHS, lambda lengths: lengths.update(processing_kwargs={"text": {"max_length": 6}}))
    with pytest.raises(ConfigError, match=r"gives its tokenizer settings of its own .*'max_length': 6"):
        load_scorer(folder)


def test_pairs_are_read_as_far_as_a_cross_encoders_folder_says(cross):
    theirs = pytest.importorskip("sentence_transformers", minversion="6")
    edited(cross / LENGTHS, lambda lengths: lengths.update(max_seq_length=20))
    pairs = [(QUERY.lower()[:24], text * 3) for text in DOCS]
    wanted = theirs.CrossEncoder(str(cross), device="cpu").predict(pairs, activation_fn=torch.nn.Identity())
    ranker = Reranker.load(cross, "cpu", "32")
    assert ranker.settings.max_length == 20
    assert ranker.score(pairs) == pytest.approx(wanted.tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", [*MAKERS, "CrossEncoder"])
def test_texts_that_are_lower_cased_before_the_tokenizer_are_refused(made, tmp_path, request, kind):
    """Unless the tokenizer does so anyway, as that of most such models."""
    theirs = pytest.importorskip("sentence_transformers", minversion="6")
    folder = request.getfixturevalue("cross") if kind == "CrossEncoder" else made(kind)
    edited(folder / LENGTHS, lambda lengths: lengths.update(do_lower_case=True))
    assert type(load_scorer(folder)).__name__ == kind
    edited(folder / "tokenizer.json", lambda tokenizer: tokenizer["normalizer"].update(lowercase=False))
    with pytest.raises(ConfigError, match=r"lower-cases texts before its tokenizer reads them .do_lower_case in"):
        load_scorer(folder)
    if kind == "BiEncoder":  # the way that the message shows
        theirs.SentenceTransformer(str(folder), device="cpu").save(str(tmp_path / "again"))
        alike(tmp_path / "again", kind)


@pytest.mark.parametrize("kind", [*MAKERS, "CrossEncoder"])
def test_a_tokenizer_that_keeps_the_end_of_a_text_is_told(made, tmp_path, caplog, kind):
    """ltr keeps the beginning, also in what it saves."""
    folder = save_tiny(tmp_path / "cross", head=True) if kind == "CrossEncoder" else made(kind)
    model = load_scorer(folder) if kind != "CrossEncoder" else CrossEncoder(str(folder))
    assert model.tokenizer is not None
    assert "truncation_side" not in caplog.text
    edited(folder / "tokenizer_config.json", lambda config: config.update(truncation_side="left"))
    model = type(model)(str(folder))
    assert model.tokenizer.truncation_side == "left"
    assert f"{kind}: the tokenizer of {folder} keeps the end of a text that is too long" in caplog.text
    caplog.clear()
    model.save(tmp_path / "saved", model.usual_settings(32))
    assert load_scorer(tmp_path / "saved").tokenizer.truncation_side == "right"
    assert "truncation_side" not in caplog.text
