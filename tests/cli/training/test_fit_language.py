"""``ltr fit`` takes expressions and class_path mappings alike, classes of the user's own, and says mistakes at once."""

import json
from pathlib import Path

import pytest
import yaml

from ltr.cli.main import main
from ltr.cli.training import fit
from ltr.cli.training.fit_options import check, folder_of, help_text
from ltr.errors import ConfigError, DataError
from ltr.links import Identity, Sigmoid
from tests.cli.feature_files import write_fold
from tests.own_classes import own  # noqa: F401

RECIPE = str(Path(__file__).parents[3] / "configs" / "recipes" / "letor.yaml")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
]


@pytest.fixture
def arguments(tmp_path):
    """Two steps on tiny features."""
    return [
        f"--config={RECIPE}",
        f"--data.fold={write_fold(tmp_path / 'Fold1', lists=4)}",
        "--data.lists_per_batch=2",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--trainer.max_epochs=1",
        "--trainer.log_every_n_steps=1",
        f"--run.folder={tmp_path}/run",
    ]


SOFTMAX = "CompositeSoftmax(transform=Identity() + Softplus(center=1.0), form='proper', targets=Positives(), reduction='none')"


@pytest.mark.parametrize(
    ("given", "loss"),
    [
        (["--model.loss=CompositeSoftmax(Identity() + Softplus(center=1.0), targets=Positives())"], SOFTMAX),
        (["--model.loss", " CompositeSoftmax(Identity() + Softplus(center=1.0), targets=Positives())"], SOFTMAX),
        (
            [
                "--model.loss=CompositeSoftmax",
                "--model.loss.transform=Identity() + Softplus(center=1.0)",
                "--model.loss.targets=Positives()",
            ],
            SOFTMAX,
        ),
        (
            [
                "--model.loss=CompositeSoftmax(Exp())",
                "--model.loss.transform=Identity() + Softplus(center=1.0)",
                "--model.loss.targets=Positives",
            ],
            SOFTMAX,
        ),
        (
            ["--model.loss={class_path: CompositeSoftmax, init_args: {transform: 'Exp() + Tanh()', targets: Gains}}"],
            "CompositeSoftmax(transform=Exp() + Tanh(), form='proper', targets=Gains(gains='exponential'), reduction='none')",
        ),
        (
            ["--model.loss=Matching(2.0 * Exp(width=1.5) + 0.1 * Identity())"],
            "Matching(link=2.0 * Exp(width=1.5) + 0.1 * Identity(), targets=Scores(), reduction='none')",
        ),
        (
            ["--model.loss=Matching(Sigmoid.focus(range=(1, 3)))"],
            "Matching(link=Sigmoid(center=2.0, width=0.567",
        ),
        (
            ["--model.loss=LambdaRank()", "--model.loss.cutoff=2"],
            "LambdaRank(gains='exponential', cutoff=2, sigma=1.0, ",
        ),
    ],
    ids=str,
)
def test_a_loss_on_the_command_line(given, loss, arguments):
    made = repr(fit.build([*arguments, *given]).model.loss)
    assert made.startswith(loss)


@pytest.mark.parametrize(
    "given",
    [
        ["--model.loss=Matching(Sigmoid.focus(top=0.4) + 0.1 * Identity())"],
        ["--model.loss=Matching", "--model.loss.link=Sigmoid.focus(top=0.4) + 0.1 * Identity()"],
    ],
)
def test_a_focus_on_the_training_labels_is_saved_as_numbers(given, arguments, capsys):
    cli = fit.build([*arguments, "--data.labels=real", *given])
    link = Sigmoid.focus(scores=cli.datamodule.train_labels.tolist(), top=0.4)
    assert cli.model.loss.link == link + 0.1 * Identity()
    saved = yaml.safe_load(cli.resolved())["model"]["loss"]["init_args"]["link"]["init_args"]["parts"]
    assert saved[0] == {
        "class_path": "ltr.links.Sigmoid",
        "init_args": {"center": link.center, "width": link.width, "scale": 1.0},
    }
    told = capsys.readouterr().err
    assert f"focus: {link!r} from the training labels, the top 40 % of which (of 12) lie from 1 to 2" in told


def test_an_expression_in_a_configuration(arguments, tmp_path):
    (tmp_path / "c.yaml").write_text(
        "model:\n  loss: Matching(2 * Exp(width=1.5))\n  scorer: MLPScorer(hidden=[4])\n"
        f"data: LetorData(fold='{tmp_path}/Fold1', lists_per_batch=3)\n"
    )
    cli = fit.build([*arguments[:1], f"--config={tmp_path}/c.yaml", *arguments[3:]])
    assert repr(cli.model.loss.link) == "2.0 * Exp(width=1.5)"
    assert cli.datamodule.lists_per_batch == 3
    assert cli.model.scorer.hidden == [4]
    saved = yaml.safe_load(cli.resolved())["model"]["loss"]
    assert saved["class_path"] == "ltr.losses.Matching"
    assert saved["init_args"]["link"]["init_args"]["factor"] == 2


def test_names_of_files_that_look_like_expressions_stay_what_they_are(arguments, tmp_path):
    fold = write_fold(tmp_path / "Fold (1)", lists=4)
    cli = fit.build([*arguments, f"--data.fold={fold}"])
    assert str(cli.datamodule.fold) == str(fold)


def test_classes_of_the_current_folder_train_and_resume(own, arguments, tmp_path):  # noqa: F811
    loss = f"--model.loss={own}.Mine(alpha=2, targets={own}.Half(share=0.25))"
    assert main(["fit", *arguments, loss, f"--model.scorer={own}.Wide"]) == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["step"] == 2
    assert manifest["loss"] == f"{own}.Mine(alpha=2.0, targets={own}.Half(share=0.25))"
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["model"]["loss"]
    assert kept == {
        "class_path": f"{own}.Mine",
        "init_args": {"alpha": 2.0, "targets": {"class_path": f"{own}.Half", "init_args": {"share": 0.25}}},
    }
    assert main(["fit", "--resume", f"{tmp_path}/run", "--trainer.max_epochs=2"]) == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["step"] == 4


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("--model.loss=Matching(Sigmiod())", "--model.loss: unknown class 'Sigmiod'; did you mean 'Sigmoid'?"),
        (
            "--model.loss=nolib.Mine",
            "--model.loss: No module named 'nolib': there is no 'nolib.Mine'; is it in the current",
        ),
        ("--model.loss=nolib.Mine()", "--model.loss: No module named 'nolib': there is no 'nolib.Mine'"),
        ("--model.loss.class_path=ltr.losses.LambdaRnk", "ltr.losses has no 'LambdaRnk'; did you mean 'LambdaRank'?"),
        ("--model.loss.transform=Exp() + Sigmiod()", "character 9: no link or loss 'Sigmiod'; did you mean 'Sigmoid'?"),
        ("--model.loss.transform=Exp() + 1", "expression 'Exp() + 1', character 1: + adds links, got 'Exp() + 1'"),
        ("--model.loss.transform=Gains()", "model.loss.transform: Gains is no Link and no RunningCenter"),
        (
            "--model.loss.transform=nolib.Mine",
            "model.loss.transform: No module named 'nolib': there is no 'nolib.Mine'",
        ),
        ("--model.loss=LinearScorer()", "model.loss: LinearScorer is no Loss"),
        ("--model.loss=json.JSONDecoder()", "json.JSONDecoder derives from no class of ltr"),
        ("--model.loss=Matching", "model.loss: the following arguments are required: link"),
        ("--trainer.max_epoch=1", "no option --trainer.max_epoch; did you mean '--trainer.max_epochs'?"),
        ("--modle.loss=ListNet", "no option --modle; did you mean '--model'?"),
        ("--run.fold=x", "no option --run.fold; did you mean '--run.folder'?"),
        (
            "--trainer.logger=TensorBordLogger",
            "trainer.logger: unknown class 'TensorBordLogger'; did you mean 'TensorBoard",
        ),
        ("--trainer.precision=5", "trainer.precision: must be 64, 32, 16, transformer-engine"),
        (
            "--trainer.gradient_clip_val=abc",
            "trainer.gradient_clip_val: must be a whole number, a number or null, got 'abc'",
        ),
        ("--trainer.accelerator=gpu", "No supported gpu backend found! Leave trainer.accelerator at auto, or take cpu"),
        ("--trainer.devices=0", "Lightning refuses these settings: `Trainer(devices='0')` value is not a valid input"),
        (
            "--trainer.devices=[0,1]",
            "Lightning refuses these settings: `devices` selected with `CPUAccelerator` should be",
        ),
        ("--seed_everything=-1", "Lightning refuses these settings: -1 is not in bounds"),
        ("--trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches must be at least 1, got 0"),
        ("--trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch must be at least 1, got 0"),
        ("--trainer.log_every_n_steps=0", "trainer.log_every_n_steps must be at least 1, got 0"),
        ("--trainer.gradient_clip_val=-1", "trainer.gradient_clip_val must be at least 0, got -1"),
        ("--trainer.val_check_interval=0", "trainer.val_check_interval must be above 0"),
        ("--trainer.overfit_batches=2", "trainer.overfit_batches would change how lists are dealt"),
        ("--trainer.callbacks=ModelCheckpoint", "found `ModelCheckpoint` in callbacks list; run keeps the best"),
        (
            "--trainer.val_check_interval=100",
            "`val_check_interval` (100) must be less than or equal to the number of the",
        ),
        ("--trainer.callbacks=LearningRateMonitor", "that has no logger; give one, such as trainer.logger=CSVLogger"),
    ],
)
def test_a_mistake_is_one_sentence(given, sentence, arguments, capsys, monkeypatch):
    monkeypatch.delenv("LTR_DEBUG", raising=False)
    base = ["--model.loss=CompositeSoftmax"] if given.startswith("--model.loss.") else []
    assert main(["fit", *arguments, *base, given]) == 1
    said = capsys.readouterr().err.splitlines()
    said = [line for line in said if line.startswith("ltr fit: ")]
    assert len(said) == 1
    assert sentence in said[0]
    assert said[0].count("ltr fit: ") == 1


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("modle: {lr: 1}\n", [], r"c.yaml:1: there is no setting 'modle'; did you mean 'model'\?"),
        (
            "trainer:\n  max_epoch: 1\n",
            [],
            r"c.yaml:2: there is no setting 'trainer.max_epoch'; did you mean 'trainer.max_e",
        ),
        ("model:\n  loss: ListNt()\n", [], r"c.yaml:2: unknown class 'ListNt'; did you mean 'ListNet'\?"),
        ("data:\n  class_path: LetorDta\n", [], r"c.yaml:2: unknown class 'LetorDta'; did you mean 'LetorData'\?"),
        ("[1]\n", [], "a configuration is a mapping with model, data, trainer, run, got"),
        ("a: [\n", [], r"c.yaml:2: this is no YAML"),
    ],
)
def test_a_configuration_is_checked_before_anything_is_imported(text, given, said, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        check(["-c", f"{tmp_path}/c.yaml", *given])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--config=no-such.yaml"], "configuration: no file no-such.yaml"),
        (["--data=LetorData", "--data.fold=no-such"], r"LetorData: fold: no file no-such.*\(--data.fold\)"),
        (["--data=EngagementData", "--data.train=no.csv[:80%]"], "EngagementData: train: no file no.csv"),
        (
            ["--data.init_args.train", "/no/such/place[:80%]"],
            "data: train: no file /no/such/place; its folder /no/such does",
        ),
        (["--model.scorer.model=/no/such/model"], "model.scorer.model: no file /no/such/model"),
    ],
)
def test_files_and_folders_are_looked_for_first(given, said):
    with pytest.raises(DataError, match=said):
        check(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["--data.max_length=64"],
            r"data.max_length, 64 \(--data.max_length\), leaves nothing to documents: queries may have data.max_query_length, 64 \(the "
            r"default\), of it; give both, such as --data.max_length=64 --data.max_query_length=32",
        ),
        (
            ["--data.max_query_length=192"],
            r"data.max_length, 192 \(.*folder.yaml:28\), leaves nothing .*, 192 \(--data.max_query",
        ),
        (["--data.max_length", "16", "--data.max_query_length", "16"], "leaves nothing to documents"),
    ],
)
def test_lengths_that_leave_nothing_to_documents(given, said):
    """Models that read queries apart have room for both."""
    recipe = ["--config", RECIPE.replace("letor", "folder")]
    with pytest.raises(ConfigError, match=said):
        check([*recipe, *given])
    check([*recipe, *given, "--model.scorer=BiEncoder"])
    check([*recipe, *given, "--data.max_length=193", "--data.max_query_length=192"])
    check([*recipe, *given, "--data.max_length=many"])


def test_long_expressions_are_no_names_of_files():
    """No disk takes a name of 255 letters."""
    check([f"--model.loss=CompositeSoftmax(Identity(){' + Softplus(center=1.0)' * 20})"])
    with pytest.raises(ConfigError, match="unknown class 'Sftplus'; did you mean 'Softplus'"):
        check([f"--model.loss=CompositeSoftmax(Identity(){' + Sftplus(center=1.0)' * 20})"])


def test_an_empty_folder_is_none():
    assert folder_of(["--run.folder="]) == (None, False)
    assert folder_of(["--run.folder=x", "--run.overwrite=true"]) == (Path("x"), True)


def test_what_may_be_right_is_left_to_those_who_know():
    check(["--data.train=faq/train[85%:]", "--model.scorer.model=org/model", "--data=TextData(train='x')", "value"])
    check(
        [
            "--model.loss=Matching(Exp())",
            "--model.loss.help=ListNet",
            "--trainer.callbacks+=EarlyStopping",
            "--seed_everything",
            "-1",
        ]
    )
    check(["--optimizer=Adam", "--optimizer.lr=1", "--data.fold=null", "--model.loss=a b", "--print_config"])


def test_a_folder_that_holds_another_training_is_told_at_once(tmp_path):
    (tmp_path / "run" / "best").mkdir(parents=True)
    (tmp_path / "run" / "manifest.json").write_text('{"status": "finished"}')
    with pytest.raises(ConfigError, match=r"holds another training; continue it with --resume .*run.overwrite=true"):
        fit.main([f"--run.folder={tmp_path}/run"])


def test_help_fits_two_screens_and_begins_with_what_is_ours(capsys):
    assert main(["fit", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "\n".join(lines) == help_text()
    assert len(lines) <= 66
    assert max(map(len, lines)) <= 120
    order = [
        next(i for i, line in enumerate(lines) if line.startswith(part))
        for part in ("model:", "run:", "data:", "trainer:")
    ]
    assert order == sorted(order)
    assert "--run.patience                      stop after so many validations without a better value" in "\n".join(
        lines
    )


def test_the_help_of_everything_and_of_a_class_is_still_there(capsys):
    for argv, expected in (
        (["--help=all"], "--trainer.detect_anomaly"),
        (["--model.loss.help=CompositeSoftmax"], "--model.loss.transform"),
    ):
        with pytest.raises(SystemExit):
            main(["fit", *argv])
        assert expected in capsys.readouterr().out


def test_the_configuration_is_printed_for_an_expression(arguments, capsys):
    with pytest.raises(SystemExit):
        main(["fit", *arguments, "--model.loss=Matching(0.5 * Exp())", "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["loss"]["init_args"]["link"]["class_path"] == "ltr.links.Scaled"
