"""Preferences as benchmarks of quality read them: the beginning of responses, and vectors that are computed once."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from benchmarks.quality import preference_sets
from benchmarks.quality.preference_sets import FrozenPreferences, OpeningPreferences
from ltr.data import PreferenceData
from ltr.data.overlap import overlaps
from ltr.data.preferences.table import read_preferences
from ltr.errors import ConfigError
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.measures.yardsticks import LONGEST, yardsticks
from tests.scorers.causal.tiny import save_tiny_causal
from tests.tiny_model import WORDS, tiny_model  # noqa: F401

TEXTS = [word for word in WORDS if len(word) > 2]


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    """Twenty prompts in ten pairs of records, three responses each, one of them long."""
    rng = np.random.default_rng(0)

    def said(n: int) -> str:
        return " ".join(rng.choice(TEXTS, n))

    rows = []
    for i in range(20):
        responses = [{"id": f"r{j}", "text": said(n), "score": j - 1.0, "win": j / 2} for j, n in enumerate((2, 30, 4))]
        rows.append({"prompt_id": f"p{i}", "prompt": f"{said(5)} {i // 2}", "responses": responses})
    for i in range(1, 20, 2):
        rows[i]["prompt"] = rows[i - 1]["prompt"]  # two lists of one prompt
    path = tmp_path_factory.mktemp("preferences") / "train.jsonl.gz"
    with gzip.open(path, "wt") as out:
        out.write("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def frozen(file: str, model, **settings) -> FrozenPreferences:
    parts = {"train": f"{file}[:60%]", "dev": f"{file}[60%:]"}
    return FrozenPreferences(**parts, model=str(model), max_length=24, response_tokens=8, gain="win", **settings)


def test_long_responses_leave_the_prompt_in_sight(file, tiny_model):  # noqa: F811
    whole = PreferenceData(test=file, tokenizer=str(tiny_model), max_length=24).encoder("test")
    data = OpeningPreferences(test=file, tokenizer=str(tiny_model), max_length=24, response_tokens=8)
    assert whole.lengths[1][1] == 1  # the long response takes the prompt's place
    responses, prompts = data.encoder("test").lengths
    assert responses.max() == 8
    assert prompts[1] == min(24 - data.encoder("test").template.overhead - 8, whole.prompts.lengths[0]) > 1
    long = int((whole.responses.lengths > 8).sum())
    cut = data.cut("test")
    assert cut["responses"] == long >= 20
    said = f"at 24 tokens {cut['prompts']} prompts lose their beginning and {long} responses their end"
    assert said in data.describe()  # before training, of what is read
    shorter = OpeningPreferences(test=file, tokenizer=str(tiny_model), max_length=24, response_tokens=7)
    assert shorter.signature != data.signature


def test_responses_are_encoded_once_in_blocks_that_survive(file, tiny_model, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("LTR_CACHE", str(tmp_path))
    monkeypatch.setattr(preference_sets, "BLOCK", 8)
    preference_sets._encoded.cache_clear()
    first = frozen(file, tiny_model).table("train").features
    blocks = sorted(tmp_path.glob("frozen/*/*.npy"))
    assert [b.name for b in blocks] == ["0.npy", "1.npy", "2.npy"]
    blocks[1].unlink()
    asked = []
    vectors = preference_sets._vectors
    monkeypatch.setattr(preference_sets, "_vectors", lambda *a: asked.append(a[2]) or vectors(*a))
    preference_sets._encoded.cache_clear()
    again = frozen(file, tiny_model).table("train").features
    assert asked == [[1]]
    np.testing.assert_array_equal(again, first)


def test_vectors_stand_beside_their_responses_and_lengths(file, tiny_model):  # noqa: F811
    data, known = frozen(file, tiny_model), read_preferences(file, None, "win")
    for part in ("train", "dev"):
        table, labels = data.table(part), data.labels_of(part)
        rows = table.lines - 1
        np.testing.assert_array_equal(labels.lengths, known.characters[rows])
        np.testing.assert_array_equal(labels.gains, known.gains[rows])
        np.testing.assert_allclose(table.features[:, -1], np.log1p(known.characters[rows]), rtol=1e-6)
        assert labels.query_ids == [known.prompt_ids[i] for i in rows[::3] // 3]
    # one response alone has the vector that it has among others, up to the rounding of bfloat16
    alone = OpeningPreferences(test=file, tokenizer=str(tiny_model), max_length=24, response_tokens=8)
    vectors = next(preference_sets._vectors(alone, preference_sets.reader(str(tiny_model), None), [0]))
    np.testing.assert_allclose(data.read(file).features[:, :-1], vectors, atol=1e-6)
    (longest,) = (e for e in yardsticks(data.labels_of("dev"), [LabelMeasure("best_of")]) if e.run == LONGEST)
    assert longest.means["best_of"] == 0.5  # the second response of each list


def test_a_language_model_gives_the_state_of_the_last_token(file, tmp_path):
    from transformers import AutoModelForCausalLM

    model = save_tiny_causal(tmp_path / "causal")
    settings = {
        "train": f"{file}[:60%]",
        "dev": f"{file}[60%:]",
        "model": str(model),
        "max_length": 40,
        "response_tokens": 8,
    }
    made = FrozenPreferences(**settings, gain="win", causal=True)
    found = made.read(file).features
    data = OpeningPreferences(test=file, tokenizer=str(model), max_length=40, response_tokens=8)
    encoder = data.encoder("test")
    tokens = encoder[encoder.drawn().take(np.array([3]))].tokens
    network = AutoModelForCausalLM.from_pretrained(model).eval()
    for i in range(3):
        row = tokens.ids[tokens.offsets[i] : tokens.offsets[i + 1]]
        state = network.base_model(input_ids=row[None]).last_hidden_state[0, -1].detach().numpy()
        np.testing.assert_allclose(found[9 + i, :-1], state, atol=0.05, rtol=0.05)  # bfloat16
        assert abs(state).max() > 0.5
    with pytest.raises(ConfigError, match="a causal model's vectors are of the last token; got pooling 'mean'"):
        FrozenPreferences(**settings, causal=True, pooling="mean")
    assert made.signature != FrozenPreferences(**settings, gain="win").signature


def test_lists_of_a_prompt_are_in_one_share(file, tiny_model):  # noqa: F811
    data, known = frozen(file, tiny_model), read_preferences(file)
    prompt = dict(zip(known.prompt_ids, known.prompts, strict=True))
    train, dev = ({prompt[one] for one in data.table(part).query_ids} for part in ("train", "dev"))
    assert len(train) == 6
    assert len(dev) == 4
    assert not train & dev
    assert overlaps(data) == []


def test_labels_are_standardised_or_shares_of_votes(file, tiny_model):  # noqa: F811
    labels = frozen(file, tiny_model).labels_of("train").labels
    assert labels.mean() == pytest.approx(0, abs=1e-12)
    assert labels.std() == pytest.approx(1)
    shares = frozen(file, tiny_model, learn="shares").labels_of("train").labels
    assert sorted(set(shares.tolist())) == [0, 0.5, 1]
    halved = frozen(file, tiny_model, learn="shares", lowest=-1.0, highest=3.0).labels_of("train").labels
    assert sorted(set(halved.tolist())) == [0.25, 0.375, 0.5]


def test_whatever_changes_the_numbers_changes_the_signature_and_the_cache(file, tiny_model, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("LTR_CACHE", str(tmp_path))
    preference_sets._encoded.cache_clear()
    parts = {"train": f"{file}[:60%]", "dev": f"{file}[60%:]", "model": str(tiny_model), "max_length": 24}
    usual = {"response_tokens": 8, "gain": "win", "learn": "shares", "lowest": 0.0, "highest": 1.0}
    others = {
        "response_tokens": 5,
        "gain": "score",
        "learn": "labels",
        "lowest": -1.0,
        "highest": 2.0,
        "pooling": "first",
    }
    made = [FrozenPreferences(**parts, **usual | {name: value}) for name, value in others.items()]
    assert len({one.signature for one in (FrozenPreferences(**parts, **usual), *made)}) == len(others) + 1
    shorter, whole = made[0], FrozenPreferences(**parts, **usual)
    assert not np.array_equal(whole.table("train").features, shorter.table("train").features)
    changed = tmp_path / "train.jsonl.gz"
    with gzip.open(file, "rt") as source, gzip.open(changed, "wt") as out:
        out.write(source.read())
    first = FrozenPreferences(
        f"{changed}[:60%]", **{k: v for k, v in parts.items() if k not in ("train", "dev")}, **usual
    )
    before = first.table("train").features
    with gzip.open(file, "rt") as source:
        rows = [json.loads(line) for line in source]
    for row in rows:
        row["responses"] = row["responses"][::-1]
    with gzip.open(changed, "wt") as out:
        out.write("".join(json.dumps(row) + "\n" for row in rows))
    again = FrozenPreferences(
        f"{changed}[:60%]", **{k: v for k, v in parts.items() if k not in ("train", "dev")}, **usual
    )
    np.testing.assert_allclose(again.table("train").features[:3], before[:3][::-1], atol=1e-2)
