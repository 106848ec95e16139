"""``ltr fit``: every shipped configuration builds and trains; errors come before step 1 and name the nearest thing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ltr.cli.main import main
from ltr.cli.training import fit
from ltr.errors import ConfigError, DataError
from ltr.expressions import value_of
from ltr.training.run.records import read_metrics
from tests.cli.feature_files import write_fold, write_log
from tests.scorers.causal.tiny import save_tiny_causal

ROOT = Path(__file__).parents[3]
RECIPES = sorted((ROOT / "configs" / "recipes").glob("*.yaml"))
FRAGMENTS = sorted(p for p in (ROOT / "configs").glob("*/*.yaml") if p.parent.name not in ("recipes", "benchmarks"))

# what Lightning says about tiny loaders and short trainings is not news here
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
]


#: data modules whose documents are described by numbers
ON_FEATURES = {"ltr.data.LetorData": "letor", "ltr.data.EngagementData": "engagement"}


def data_of(configuration: Path) -> str:
    """The class of a configuration's data."""
    return yaml.safe_load(configuration.read_text()).get("data", {}).get("class_path", "")


@pytest.fixture
def common(tmp_path):
    """Arguments of every training here."""
    return [
        "--data.lists_per_batch=2",
        "--trainer.precision=32-true",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        f"--run.folder={tmp_path}/run",
    ]


@pytest.fixture
def small(common, tiny_model, tiny_folder):
    """Arguments that put tiny data and a tiny model into any recipe on texts."""
    return [
        f"--model.scorer.model={tiny_model}",
        f"--data.train={tiny_folder}/train",
        f"--data.dev={tiny_folder}/dev",
        "--data.max_length=32",
        "--data.max_query_length=16",
        *common,
    ]


@pytest.fixture
def numbers(common, tmp_path):
    """Arguments that put tiny data into any recipe on features, by its name."""
    log_file = write_log(tmp_path / "log.csv")
    return {
        "letor": [f"--data.fold={write_fold(tmp_path / 'Fold1')}", *common],
        "engagement": [f"--data.train={log_file}[:50%]", f"--data.dev={log_file}[50%:]", *common],
    }


@pytest.fixture
def preferences(common, tmp_path, tiny_model):
    """Arguments that put tiny preferences and a tiny model into any recipe on them."""
    for part in ("train", "dev"):
        records = [
            {
                "prompt": f"{part} {i}",
                "responses": [{"text": "a " * (1 + (i + j) % 5), "score": (7 * i + j) % 5} for j in range(4)],
            }
            for i in range(4)
        ]
        (tmp_path / f"{part}.jsonl").write_text("\n".join(map(json.dumps, records)))

    def arguments(recipe: Path) -> list[str]:
        told = recipe.read_text()
        causal = "PolicyRatio" in told or "TokenStudent" in told
        if "lora:" in told:
            pytest.importorskip("peft")
        model = save_tiny_causal(tmp_path / "causal") if causal else tiny_model
        own = [
            f"--model.scorer.model={model}",
            f"--data.train={tmp_path}/train.jsonl",
            f"--data.dev={tmp_path}/dev.jsonl",
        ]
        if "teacher:" in told:
            own.append(f"--model.scorer.teacher={model}")
        return [*own, "--data.max_length=32", *common]

    return arguments


def instead(recipe: Path, tiny_folder: Path) -> list[str]:
    """Tiny data in place of what a recipe names beyond train and dev."""
    data = yaml.safe_load(recipe.read_text())["data"]["init_args"]
    found = [f"--data.dev_candidates={tiny_folder}/run.first.trec"]
    if "teacher" in data:
        found.append(f"--data.teacher={tiny_folder}/run.first.trec")
    else:
        found.append(f"--data.train_candidates={tiny_folder}/run.first.trec")
    for name in ("train_epoch_lists", "dev_queries"):
        if name in data:
            found.append(f"--data.{name}=2")
    if "test" in data:
        found += [f"--data.test={tiny_folder}/dev", f"--data.test_candidates={tiny_folder}/run.first.trec"]
    return found


def test_validation_in_passages_is_kept_with_the_model(small, tiny_folder, tmp_path):
    reading = ["--data.reading.passages=max", "--data.reading.stride=8", "--data.reading.max_passages=3"]
    steps = ["--trainer.max_steps=2", "--trainer.max_epochs=-1", "--trainer.val_check_interval=1"]
    candidates = ["--data.train_candidates=first", "--data.dev_candidates=first"]
    test = [f"--data.test={tiny_folder}/dev", "--run.interpolate=dev"]
    recipe = RECIPES[[path.stem for path in RECIPES].index("folder")]
    assert fit.main(["--config", str(recipe), *small, *candidates, *reading, *steps, *test]) == 0
    kept = json.loads((tmp_path / "run" / "best" / "ltr.json").read_text())
    assert (kept["passages"], kept["stride"], kept["max_passages"]) == ("max", 8, 3)
    assert kept["interpolation"] is not None
    with pytest.raises(ConfigError, match="stride must be at least 1 and at most 13"):
        fit.main(
            ["--config", str(recipe), *small, *candidates, *reading, "--data.reading.stride=14", "--run.overwrite=true"]
        )


def test_a_leak_is_refused_before_the_run_folder_is_touched(small, tiny_folder, tmp_path):
    recipe = ["--config", str(RECIPES[[path.stem for path in RECIPES].index("folder")]), *small]
    recipe += ["--data.train_candidates=first", "--data.dev_candidates=first", f"--data.dev={tiny_folder}/train"]
    recipe += [
        "--trainer.max_steps=1",
        "--trainer.max_epochs=-1",
        "--trainer.val_check_interval=1",
        "--run.overwrite=true",
    ]
    earlier = tmp_path / "run" / "best" / "model.safetensors"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("an earlier training")
    (tmp_path / "run" / "manifest.json").write_text('{"status": "finished"}')
    with pytest.raises(DataError, match=r"2 of dev's 2 queries \(100.0%\) are in train too .* --allow_overlap=true"):
        fit.main(recipe)
    assert earlier.read_text() == "an earlier training"
    assert fit.main([*recipe, "--allow_overlap=true"]) == 0
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert kept["allow_overlap"] is True, "a resumed training need not be told again"


def test_a_pipe_gets_lines_and_no_bar(numbers, tmp_path, capsys, caplog):
    """Standard output and error are files here, as they are under nohup: Lightning's bar has no place there."""
    recipe = ["--config", str(RECIPES[[path.stem for path in RECIPES].index("engagement")])]
    steps = ["--trainer.max_steps=6", "--trainer.max_epochs=-1", "--trainer.val_check_interval=1.0"]
    assert fit.main([*recipe, *numbers["engagement"], "--trainer.enable_progress_bar=true", *steps]) == 0
    said = [record.getMessage() for record in caplog.records if record.name == "ltr.training.progress"]
    lines = "\n".join(said)
    assert re.search(r"^step 5 of 6 \(83 %\): loss \S+, \d+ documents a second, \d+ s left", lines, re.MULTILINE), said
    assert re.fullmatch(r"validation at step \d+: dev/\S+ -?[\d.]+.* \(\d+ s\)", said[-1]), said
    assert "Epoch 0" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_trains_two_steps(recipe, small, numbers, preferences, tiny_folder, tmp_path, capsys):
    steps = [
        "--trainer.max_steps=2",
        "--trainer.max_epochs=-1",
        "--trainer.val_check_interval=1",
        "--trainer.log_every_n_steps=1",
    ]
    on_features = ON_FEATURES.get(data_of(recipe))
    judged = data_of(recipe) == "ltr.data.PreferenceData"
    if judged:
        tiny = preferences(recipe)
    else:
        tiny = numbers[on_features] if on_features else [*small, *instead(recipe, tiny_folder)]
    fit.main(["--config", str(recipe), *tiny, *steps])
    rows = read_metrics(tmp_path / "run", until_step=9)
    assert [row["step"] for row in rows] == [1, 2]
    assert (tmp_path / "run" / "best" / "model.safetensors").exists()
    if judged:
        how = (
            " | ltr rerank --model "
            if recipe.stem == "reward"
            else "transformers.AutoModelForCausalLM.from_pretrained("
        )
        assert re.search(rf"^next .*{re.escape(how)}'?{tmp_path}/run/best", capsys.readouterr().out, re.MULTILINE)
    data = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]["init_args"]
    expected = {
        "letor": (data.get("fold"), f"{tmp_path}/Fold1"),
        "engagement": (data["train"], f"{tmp_path}/log.csv[:50%]"),
    }
    others = (data["train"], f"{tmp_path}/train.jsonl" if judged else f"{tiny_folder}/train")
    given, wanted = expected[on_features] if on_features else others
    assert given == wanted


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_says_how_it_is_run(recipe):
    head = recipe.read_text().split("seed_everything")[0]
    assert f"ltr fit --config configs/recipes/{recipe.name}" in head
    assert "Score: " in head


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_fragment_fits_into_a_recipe(fragment, small, numbers):
    on_features = ON_FEATURES.get(
        data_of(fragment), "letor" if fragment.stem in ("linear", "mlp", "attention") else None
    )
    recipe = ROOT / "configs" / "recipes" / f"{on_features or 'folder'}.yaml"
    gpu = ["--trainer.devices=1"] if fragment.stem == "gpu" else []
    tiny = numbers[on_features] if on_features else small
    cli = fit.build(["--config", str(recipe), "--config", str(fragment), *tiny, *gpu])
    text = fragment.read_text()
    assert len(text.splitlines()) <= 15
    if fragment.parent.name == "loss":
        assert type(cli.model.loss).__name__ in text
    if fragment.parent.name == "scorer":
        assert type(cli.model.scorer).__name__ in text


@pytest.mark.parametrize("recipe", ["letor", "engagement"])
def test_a_training_on_features_says_what_comes_next_and_goes_on(recipe, numbers, tmp_path, capsys):
    fit.main(
        ["--config", str(ROOT / "configs" / "recipes" / f"{recipe}.yaml"), *numbers[recipe], "--trainer.max_epochs=1"]
    )
    said = capsys.readouterr().out
    assert f"next         ltr predict NEW.csv --model {tmp_path}/run/best" in said
    assert "first stage" not in said
    fit.main(["--resume", f"{tmp_path}/run", "--trainer.max_epochs=2"])
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "finished"


@pytest.mark.slow  # texts in two processes are the test below
def test_two_processes_learn_features_as_one_does(numbers, tmp_path):
    recipe = str(ROOT / "configs" / "recipes" / "letor.yaml")
    common = ["--config", recipe, *numbers["letor"], "--data.lists_per_batch=4", "--trainer.max_epochs=2"]
    # RankNet does not see what all scores have in common, so that Adam follows rounding there; ranks do not see it either
    common += ["--trainer.log_every_n_steps=1", "--model.scorer.dropout=0", "--model.loss=RankNet"]
    fit.main([*common, f"--run.folder={tmp_path}/one"])
    by_two_processes(common, tmp_path / "two")
    one, two = (read_metrics(tmp_path / name, until_step=99) for name in ("one", "two"))
    assert len(one) == len(two) > 1
    for a, b in zip(one, two, strict=True):
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=1e-5)
        assert a.get("dev/ndcg@10") == b.get("dev/ndcg@10")
    assert (tmp_path / "two" / "results.txt").read_text() == (tmp_path / "one" / "results.txt").read_text()


def test_the_short_form_of_a_loss_and_its_link(small):
    recipe = str(ROOT / "configs" / "recipes" / "folder.yaml")
    cli = fit.build(["--config", recipe, *small, "--model.loss=CompositeContrast", "--model.loss.transform=Exp"])
    assert repr(cli.model.loss).startswith("CompositeContrast(transform=Exp()")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("--model.loss=ListNt", "did you mean 'ListNet'"),
        ("--model.loss.class_path=ltr.losses.LambdaRnk", "did you mean 'LambdaRank'"),
        (
            "--model.loss.transform.parts=[{class_path: Sigmoid, init_args: {width: 0}}]",
            "^Sigmoid: width must be positive, got 0$",
        ),
        ("--data.sampling.docs_per_list=1", "^Sampling: docs_per_list must be at least 2, or null for all, got 1$"),
        ("--model.loss.transform.prts=1", r"transform: Option 'prts' is not accepted$"),
        ("--model.measures=[ndgc@10]", "did you mean 'ndcg'"),
        ("--model.lerning_rate=1", "lerning_rate"),
        ("--run.monitr=x", "monitr"),
    ],
)
def test_unknown_names_are_told(override, sentence, small):
    recipe = str(ROOT / "configs" / "recipes" / "folder.yaml")
    with pytest.raises(ConfigError, match=sentence):
        fit.build(["--config", recipe, *small, override])


def test_a_missing_configuration_is_told(capsys):
    assert main(["fit", "--config", "no-such.yaml"]) == 1
    assert "no-such.yaml" in capsys.readouterr().err


def test_resume_needs_a_training(tmp_path):
    with pytest.raises(DataError, match=r"cannot resume .*: it holds no config.yaml; it is no run folder of ltr fit"):
        fit.main(["--resume", str(tmp_path)])
    with pytest.raises(ConfigError, match="--resume takes the folder of a training"):
        fit.main(["--resume"])


def test_resume_goes_on_with_the_same_configuration(small, tiny_folder, tmp_path):
    recipe = ROOT / "configs" / "recipes" / "folder.yaml"
    fit.main(
        [
            "--config",
            str(recipe),
            *small,
            *instead(recipe, tiny_folder),
            "--trainer.max_epochs=1",
            "--trainer.log_every_n_steps=1",
        ]
    )
    first = read_metrics(tmp_path / "run", until_step=99)
    fit.main(["--resume", f"{tmp_path}/run", "--trainer.max_epochs=2"])
    rows = read_metrics(tmp_path / "run", until_step=99)
    assert rows[: len(first)] == first
    assert len(rows) == 2 * len(first)


def test_a_refused_resume_leaves_the_configuration_as_it_was(small, tiny_folder, tmp_path):
    recipe = ROOT / "configs" / "recipes" / "folder.yaml"
    fit.main(
        [
            "--config",
            str(recipe),
            *small,
            *instead(recipe, tiny_folder),
            f"--data.train={tiny_folder}",
            "--allow_overlap=true",
            "--trainer.max_epochs=1",
        ]
    )
    before = (tmp_path / "run" / "config.yaml").read_text()
    with pytest.raises(ConfigError, match="an epoch had 2 batches and now has 4"):
        fit.main(["--resume", f"{tmp_path}/run", "--trainer.max_epochs=2", "--data.lists_per_batch=1"])
    assert (tmp_path / "run" / "config.yaml").read_text() == before


def test_a_saved_model_is_trained_on_with_longer_texts_and_a_running_centre(small, tiny_folder, tmp_path):
    recipe = ROOT / "configs" / "recipes" / "folder.yaml"
    common = ["--config", str(recipe), *small, *instead(recipe, tiny_folder), "--trainer.max_epochs=1"]
    fit.main(common)
    first = f"{tmp_path}/run/best"
    again = [f"--run.folder={tmp_path}/again", f"--model.scorer.model={first}", "--data.max_length=60"]
    logger = [
        "--trainer.logger=CSVLogger",
        f"--trainer.logger.save_dir={tmp_path}/logs",
        "--trainer.log_every_n_steps=1",
    ]
    loss = [
        "--model.loss=CompositeSoftmax",
        "--model.loss.transform=RunningCenter",
        "--model.loss.transform.link=Sigmoid",
    ]
    fit.main([*common, *again, *loss, *logger])
    assert json.loads((tmp_path / "again" / "best" / "ltr.json").read_text())["max_length"] == 60
    state = torch.load(tmp_path / "again" / "last.ckpt", weights_only=True)["state_dict"]
    assert state["loss.transform.started"]
    assert state["loss.transform.center"] != 0
    assert "train/loss" in next((tmp_path / "logs").rglob("metrics.csv")).read_text()


def by_two_processes(arguments, folder):
    """Run ``ltr fit`` in processes of its own, as its users do."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    devices = ["--trainer.devices=2", "--trainer.strategy=ddp", f"--run.folder={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "ltr", "fit", *arguments, *devices], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_processes_learn_what_one_does(small, tiny_folder, tmp_path):
    recipe = ROOT / "configs" / "recipes" / "folder.yaml"
    common = [
        "--config",
        str(recipe),
        *small,
        *instead(recipe, tiny_folder),
        f"--data.train={tiny_folder}",
        "--allow_overlap=true",
    ]
    common += [
        "--data.lists_per_batch=4",
        "--trainer.max_epochs=3",
        "--trainer.log_every_n_steps=1",
        "--model.loss=MSE",
        "--model.loss.targets=Scores",
    ]
    common += ["--model.scorer.dropout=0", "--run.average=2", f"--data.test={tiny_folder}/dev"]
    common += ["--model.measures=[ndcg@10, mrr@10, mae, ndcg_label@2]"]
    fit.main([*common, f"--run.folder={tmp_path}/one"])
    said = by_two_processes(common, tmp_path / "two")
    one, two = (read_metrics(tmp_path / name, until_step=99) for name in ("one", "two"))
    assert len(one) == len(two) > 1
    assert any("dev/mae" in row for row in one)
    for a, b in zip(one, two, strict=True):
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=1e-5)
        assert a.get("dev/mrr@10") == b.get("dev/mrr@10")
        assert a.get("dev/mae", 0) == pytest.approx(b.get("dev/mae", 0), rel=1e-5)
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("one", "two")]
    assert [manifest["processes"] for manifest in manifests] == [1, 2]
    assert manifests[0]["best"] == pytest.approx(manifests[1]["best"])
    assert (tmp_path / "two" / "results.txt").read_text() == (tmp_path / "one" / "results.txt").read_text()
    assert "best model" in said
    assert re.search(r"ltr rerank --model \S+/best .* --interpolate$", said, re.MULTILINE)


@pytest.mark.parametrize("loss", ["ListNet()", "MSE()", "BradleyTerry(targets=PairTargets(gap=2.0))"])
def test_an_expression_keeps_nothing_of_the_loss_that_it_replaces(loss, small):
    """The recipe's loss has targets of its own, and so has the default of BradleyTerry."""
    recipe = str(ROOT / "configs" / "recipes" / "folder.yaml")
    built = fit.build(["--config", recipe, *small, f"--model.loss={loss}"]).model.loss
    meant = value_of(loss)
    meant.reduction = built.reduction  # the module sums up by itself
    assert repr(built) == repr(meant)
