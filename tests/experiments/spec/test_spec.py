"""Specs are read whole before anything runs; what is wrong in them is told with file and line."""

import pytest
import yaml

from ltr.errors import ConfigError, DataError
from ltr.experiments.spec.plan import groups
from ltr.experiments.spec.reading import read_spec
from ltr.experiments.spec.spec import folder_name
from tests.experiments.specs import write


def test_a_spec_is_read_and_its_yaml_reads_back_the_same(read, tmp_path):
    spec = read()
    assert spec.seeds == [0, 1]
    assert spec.losses["Selective"].placeholders == ["center"]
    assert list(spec.space("Selective")) == ["lr", "center"]
    (tmp_path / "again.yaml").write_text(spec.yaml())
    assert read_spec(tmp_path / "again.yaml") == spec


def test_overrides_change_what_they_name(read):
    spec = read("seeds=[4, 5]", "trainer.max_epochs=7", "data.toy.init_args.max_length=48", "tuning.trials=1")
    assert (spec.seeds, spec.trainer["max_epochs"], spec.tuning.trials) == ([4, 5], 7, 1)
    assert spec.data["toy"]["init_args"]["max_length"] == 48


def test_numbers_may_be_written_with_an_exponent_alone(read):
    spec = read("model.lr=3e-4", "model.head_lr=10x", "losses.Selective.search.center.high=1e1")
    assert spec.model["lr"] == 3e-4
    assert spec.losses["Selective"].search["center"].high == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.lr=fast", "model: lr is a number, got 'fast'"),
        ("model.warmup=[1]", r"model: warmup is a number, got \[1\]"),
        ("model.weight_decay=true", "model: weight_decay is a number, got True"),
        ("model.head_lr=10y", "head_lr is a number, or a multiple of lr such as 10x, got '10y'"),
        ("model.head_lr=x", "head_lr is a number, or a multiple of lr such as 10x, got 'x'"),
    ],
)
def test_rates_that_are_no_numbers(read, text, said):
    with pytest.raises(ConfigError, match=said):
        read(text)


def test_a_multiple_needs_the_rate_that_it_multiplies(read):
    with pytest.raises(ConfigError, match="head_lr 10x is a multiple of lr, and there is none"):
        groups(read("model={head_lr: 10x}", "tuning.search={}"))[0].example()
    for told, rate in (("10x", 0.02), (".5x", 0.001), ("0.5x", 0.001), ("2.x", 0.004)):
        found = groups(read(f"model={{head_lr: {told}, lr: 2e-3}}", "tuning.search={}"))[0].example().model["head_lr"]
        assert found == pytest.approx(rate)


def test_placeholders_are_filled():
    from ltr.experiments.spec.spec import LossSpec

    loss = LossSpec("Matching(Sigmoid(center={c}, width={w}))")
    assert loss.filled({"c": -1.5, "w": 2.0, "lr": 1}) == "Matching(Sigmoid(center=-1.5, width=2.0))"


def test_variables_stay_in_the_spec_and_must_be_set(read, values, monkeypatch, tiny_folder):
    args = values["data"]["toy"]["init_args"]
    args["train"] = "${LTR_TEST_HOME}/train"
    with pytest.raises(ConfigError, match=r"spec.yaml:7: the environment holds no LTR_TEST_HOME; set it"):
        read()
    monkeypatch.setenv("LTR_TEST_HOME", str(tiny_folder))
    assert read().data["toy"]["init_args"]["train"] == "${LTR_TEST_HOME}/train"
    from ltr.experiments.spec.building import build

    assert build("data", read().data["toy"], tokenizer="x").train == f"{tiny_folder}/train"
    monkeypatch.delenv("LTR_TEST_HOME")
    with pytest.raises(ConfigError, match="holds no LTR_TEST_HOME here; set it where cells run"):
        build("data", {"class_path": "ltr.data.TextData", "init_args": {"train": "${LTR_TEST_HOME}/train"}})


def change(key, value):
    def act(values):
        at = values
        *parts, last = key.split("/")
        for part in parts:
            at = at[part]
        if value is None:
            del at[last]
        else:
            at[last] = value

    return act


WRONG = [
    (
        change("losses/ListNet", "ListNt()"),
        r"spec.yaml:\d+: loss 'ListNet': .*no link or loss 'ListNt'; did you mean 'ListNet'",
    ),
    (change("losses/ListNet", "Sigmoid()"), "must be a loss, got the Sigmoid"),
    (change("losses/ListNet", {"los": "ListNet()"}), "is an expression such as ListNet"),
    (change("losses/ListNet", {"loss": "ListNet()", "serch": {}}), r"has no 'serch'; did you mean 'search'"),
    (change("losses/ListNet", {"loss": "Matching(Exp(width={w}))"}), r"\{w\} needs a range under search"),
    (change("losses/Selective/search/wdth", {"low": 0, "high": 1}), "'wdth', which is neither in the expression"),
    (change("losses/Selective/search/center", {"low": 0}), r"spec.yaml:\d+: search of 'center': a search needs"),
    (change("scorers/tiny/class_path", "CrossEncodr"), r"spec.yaml:\d+: scorers 'tiny': .*did you mean 'CrossEncoder'"),
    (change("scorers/tiny/init_args", {"modle": "x"}), "CrossEncoder takes no 'modle'; did you mean 'model'"),
    (
        change("scorers/tiny/init_args/layers", "three"),
        r"spec.yaml:\d+: scorers 'tiny': layers: must be a whole number or null, got 'three'",
    ),
    (change("scorers/tiny/class_path", "ltr.data.TextData"), "ltr.data.TextData is no Scorer"),
    (change("scorers/tiny", "CrossEncoder"), r"scorers 'tiny': .*write CrossEncoder\(...\), with parentheses"),
    (change("scorers/tiny", ["CrossEncoder"]), r"a class_path and init_args are needed, got \['CrossEncoder'\]"),
    (change("data/toy/class_path", "TextDta"), r"spec.yaml:\d+: data 'toy': .*did you mean 'TextData'"),
    (change("measures", ["mrr@10", "ndgc@10"]), r"spec.yaml:\d+: .*ndgc.*did you mean 'ndcg'"),
    (change("monitor", "nonsense"), r"spec.yaml:\d+: "),
    (change("tradeoff", ["rmse_top.2"]), "tradeoff takes two of the measures"),
    (change("baseline", "ListNett"), "baseline 'ListNett' is not in the spec; did you mean 'ListNet'"),
    (change("seeds", [1, 1]), r"hold one twice: two cells would share a folder"),
    (change("seeds", []), "seeds are a list of whole numbers"),
    (change("seeds", "many"), "seeds are a list of whole numbers"),
    (change("tuning/seed", 0), "tuning.seed 0 is one of the seeds"),
    (change("tuning/trials", 0), r"tuning.trials must be a whole number of at least 1, got 0"),
    (change("tuning/budget", 3), "tuning has no 'budget'"),
    (change("losses/listnet", "ListNet()"), r"'ListNet' and 'listnet' would share the folder 'listnet'; rename one"),
    (change("model", {"lrr": 1}), r"spec.yaml:\d+: model has no 'lrr'; did you mean 'lr'"),
    (change("trainer/max_epoch", 2), r"spec.yaml:\d+: trainer has no 'max_epoch'; did you mean 'max_epochs'"),
    (change("losses/Selective/model", {"loss": 1}), r"spec.yaml:\d+: losses.Selective.model has no 'loss'"),
    (change("epochs", 3), "a benchmark has no 'epochs'"),
    (change("baseline", None), "a benchmark needs 'baseline'"),
    (change("data", ["toy"]), "data is a mapping from names to what they stand for"),
]


@pytest.mark.parametrize(("act", "said"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_what_is_wrong_is_told(act, said, values, read):
    act(values)
    with pytest.raises(ConfigError, match=said):
        read()


def test_lines_are_those_of_the_file(tmp_path, values):
    values["losses"]["Selective"] = "CompositeSoftmx()"
    path = write(tmp_path / "spec.yaml", values)
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("  Selective:"))
    with pytest.raises(ConfigError, match=rf"spec.yaml:{line}: "):
        read_spec(path)


def test_a_name_that_stands_twice(tmp_path):
    (tmp_path / "spec.yaml").write_text("name: a\nlosses:\n  L: ListNet()\n  L: RankNet()\n")
    with pytest.raises(ConfigError, match=r"spec.yaml:4: 'L' stands here a second time \(first in line 3\)"):
        read_spec(tmp_path / "spec.yaml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"baseline": 2.5}, "baseline 2.5 is not in the spec"),
        ({"model": {1.5: 3}}, "model has no 1.5; known: "),
        ({2: 3}, "a benchmark has no 2; known"),
    ],
)
def test_numbers_in_place_of_names(tmp_path, values, change, said):
    with pytest.raises(ConfigError, match=said):
        read_spec(write(tmp_path / "spec.yaml", values | change))


def test_files_that_are_no_spec(tmp_path):
    with pytest.raises(DataError, match="benchmark spec: no file"):
        read_spec(tmp_path / "none.yaml")
    (tmp_path / "spec.yaml").write_text("a: [1\nb: 2\n")
    with pytest.raises(ConfigError, match=r"spec.yaml:2: this is no YAML"):
        read_spec(tmp_path / "spec.yaml")
    (tmp_path / "spec.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match="a benchmark spec is a mapping"):
        read_spec(tmp_path / "spec.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trainr.max_epochs=1", "there is no trainr; did you mean 'trainer'"),
        ("name.x=1", "name holds no settings, but 'tiny'"),
        ("seeds=[1", "is no YAML value"),
    ],
)
def test_overrides_that_fit_nowhere(read, text, said):
    with pytest.raises(ConfigError, match=said):
        read(text)


def test_folder_names():
    assert folder_name("Sigmoid (center 2)") == "sigmoid_center_2"
    assert folder_name("../..") == folder_name("") == "_"


def test_spec_yaml_is_plain(read):
    assert yaml.safe_load(read().yaml())["losses"]["Selective"]["search"] == {"center": {"low": 0.0, "high": 2.0}}
