"""Steps in a row: complete or absent, gone on with, and never mixed with those of another recipe."""

import json
from pathlib import Path

import pytest

from ltr.errors import ConfigError, DataError
from ltr.experiments.distilling import OWN, pipeline_of, read_recipe
from ltr.experiments.pipeline import HERE, Pipeline, Step, resumed


def writes(*, fail_at: int | None = None, done: list | None = None):
    """A stand-in for ltr's commands, which writes its last word into the file before it."""
    count = iter(range(100))

    def execute(command):
        if next(count) == fail_at:
            return 1
        if done is not None:
            done.append(command[0])
        Path(command[1]).write_text(command[2])
        return 0

    return execute


@pytest.fixture
def pipeline(tmp_path):
    steps = (
        Step("1-a", (("one", f"{HERE}/x", "x"), ("two", f"{HERE}/y", "y"))),
        Step("2-b", (("three", f"{HERE}/z", "z"),)),
    )
    return Pipeline(tmp_path / "p", steps, ("data",))


def test_each_step_is_a_folder_with_what_made_it(pipeline):
    said = []
    assert pipeline.run(writes(), said.append) == 0
    assert sorted(p.name for p in pipeline.folder.iterdir() if p.name != ".lock") == ["1-a", "2-b"]
    assert (pipeline.folder / "1-a" / "y").read_text() == "y"
    record = json.loads((pipeline.folder / "2-b" / "step.json").read_text())
    assert record["commands"] == [f"ltr three {pipeline.folder}/2-b/z z"]
    assert said[-1].startswith("2-b: ltr three ")


@pytest.mark.parametrize("at", range(3))
def test_stopped_at_any_command_it_goes_on(pipeline, at):
    said = []
    assert pipeline.run(writes(fail_at=at), said.append) == 1
    assert said[-1].endswith("stopped; what is finished is kept, and the same command goes on from here")
    assert (pipeline.folder / "1-a").exists() == (at == 2)
    done = []
    assert pipeline.run(writes(done=done), said.append) == 0
    assert done == (["three"] if at == 2 else ["one", "two", "three"])
    done.clear()
    assert pipeline.run(writes(done=done), said.append) == 0
    assert done == []


def test_an_interruption_leaves_no_step_that_looks_complete(pipeline):
    def interrupted(command):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(interrupted, print)
    assert not (pipeline.folder / "1-a").exists()
    assert pipeline.run(writes(), lambda line: None) == 0


def test_steps_of_another_recipe_are_refused_before_anything_runs(pipeline):
    pipeline.run(writes(), lambda line: None)
    done = []
    other = Pipeline(pipeline.folder, (pipeline.steps[0], Step("2-b", (("three", f"{HERE}/z", "other"),))), ("data",))
    with pytest.raises(
        DataError, match=r"distil: .*2-b was made by other commands or from other data .*it ran: ltr three"
    ):
        other.run(writes(done=done), print)
    with pytest.raises(DataError, match="1-a was made by other commands or from other data"):
        Pipeline(pipeline.folder, pipeline.steps, ("changed",)).run(writes(done=done), print)
    assert done == []


def test_what_was_begun_by_another_recipe_is_not_gone_on_with(pipeline):
    pipeline.run(writes(fail_at=1), lambda line: None)
    left = pipeline.folder / ".1-a.part" / "left"
    left.touch()
    Pipeline(pipeline.folder, pipeline.steps, ("changed",)).run(writes(), lambda line: None)
    assert not (pipeline.folder / "1-a" / "left").exists()


@pytest.mark.parametrize("work", ["run/last.ckpt", "teacher.trec.partial", "first.trec"])
def test_hours_of_work_by_another_recipe_are_not_thrown_away(pipeline, work):
    """A training that stopped, say, of which the recipe now says another number of epochs."""
    pipeline.run(writes(fail_at=1), lambda line: None)
    kept = pipeline.folder / ".1-a.part" / work
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("work")
    other, done = Pipeline(pipeline.folder, pipeline.steps, ("changed",)), []
    with pytest.raises(
        DataError, match=rf"distil: .*\.1-a\.part was begun by other commands .* holds {work};.*it ran: "
    ):
        other.run(writes(done=done), print)
    assert kept.read_text() == "work"
    assert done == []
    assert pipeline.run(writes(), lambda line: None) == 0  # the recipe as it was


def test_folders_of_something_else_are_left_alone(pipeline):
    (pipeline.folder / "1-a").mkdir(parents=True)
    with pytest.raises(DataError, match="is no finished step of a pipeline; name another folder"):
        pipeline.run(writes(), print)


def test_a_training_that_was_begun_is_resumed(tmp_path):
    command = ["fit", "--config", "x", f"--run.folder={tmp_path}/run"]
    assert resumed(command) == command
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.ckpt").touch()
    assert resumed(command) == ["fit", "--resume", f"{tmp_path}/run"]
    assert resumed(["mine", f"--run.folder={tmp_path}/run"])[0] == "mine"


RECIPE = """
folder: runs/distil
train: {folder}/train
dev: {folder}/dev
retrieve: {{k: 30}}
mine: {{skip: 2, per_query: 4, choose: top}}
teacher: {{model: T, precision: "32"}}
student: {{config: configs/recipes/folder.yaml, model.loss: MSE, trainer.max_epochs: 2, data.dev_top: null}}
evaluate: {{measures: [ndcg@10, mrr@10], intervals: false}}
"""


@pytest.fixture
def recipe(tiny_folder, tmp_path):
    path = tmp_path / "distil.yaml"
    path.write_text(RECIPE.format(folder=tiny_folder))
    return path


def test_the_commands_of_a_recipe(recipe, tiny_folder):
    steps = {step.name: step.commands for step in pipeline_of(read_recipe(recipe)).steps}
    assert list(steps) == ["1-retrieve", "2-mine", "3-teacher", "4-student", "5-evaluate"]
    assert " ".join(steps["2-mine"][0]) == (
        f"mine --run runs/distil/1-retrieve/train.trec --dataset {tiny_folder}/train --output {HERE}/mined.trec --skip 2 "
        "--per-query 4 --choose top"
    )
    assert "--with-judged" in steps["3-teacher"][0]
    assert steps["4-student"][0][-3:] == ("--model.loss=MSE", "--trainer.max_epochs=2", "--data.dev_top=null")
    assert "--data.teacher=runs/distil/3-teacher/teacher.trec" in steps["4-student"][0]
    evaluate = steps["5-evaluate"]
    assert [command[0] for command in evaluate] == ["retrieve", "rerank", "rerank", "evaluate"]
    assert evaluate[-1][-4:] == ("--measures", "ndcg@10", "mrr@10", "--no-intervals")
    assert "30" in evaluate[1]


def test_every_command_of_a_recipe_is_parsed(recipe, monkeypatch):
    """By the parser of its command, so that an option that is renamed is noticed here."""
    import importlib

    import ltr.cli.command
    from ltr.cli.main import COMMANDS

    class Parsed(Exception):
        pass

    parser_of = ltr.cli.command.parser_of

    def stopping(*args, **kwargs):
        parser = parser_of(*args, **kwargs)
        known = parser.parse_known_args

        def parsed(argv):
            assert not known(argv)[1]
            raise Parsed

        parser.parse_known_args = parsed
        return parser

    monkeypatch.setattr(ltr.cli.command, "parser_of", stopping)
    for step in pipeline_of(read_recipe(recipe)).steps:
        for command in step.commands:
            if command[0] != "fit":
                with pytest.raises(Parsed):
                    importlib.import_module(f"ltr.cli.{COMMANDS[command[0]][0]}").main(list(command[1:]))


def test_a_model_or_a_file_that_changed_under_its_name_makes_its_step_and_those_behind_anew(recipe, tmp_path):
    (tmp_path / "model" / "1_Dense").mkdir(parents=True)
    weights, config = tmp_path / "model" / "1_Dense" / "model.safetensors", tmp_path / "own.yaml"
    weights.write_bytes(b"before")
    config.write_text("seed: 0\n")
    text = recipe.read_text().replace("model: T", f"model: {tmp_path}/model")
    recipe.write_text(text.replace("configs/recipes/folder.yaml", str(config)))

    def signatures():
        made = pipeline_of(read_recipe(recipe))
        return [made.signature(step) for step in made.steps]

    before = signatures()
    assert signatures() == before
    config.write_text("seed: 1\n")
    other = signatures()
    assert [a == b for a, b in zip(before, other, strict=True)] == [True, True, True, False, False]
    weights.write_bytes(b"trained on")
    assert [a == b for a, b in zip(other, signatures(), strict=True)] == [True, True, False, False, False]


def test_another_folder(recipe):
    assert pipeline_of(read_recipe(recipe, "elsewhere")).folder == Path("elsewhere")


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("mine:", "mien:", ConfigError, "a recipe has no 'mien'; did you mean 'mine'"),
        ("teacher: {", "evaluate: {", ConfigError, "a recipe needs teacher; ltr guide search shows one"),
        ("skip: 2", "run: x", ConfigError, "mine.run is what the pipeline decides; leave it out"),
        ("{model: T", "{depth: 3, model: T", ConfigError, "teacher.depth is what the pipeline decides; leave it out"),
        ("{model: T", "{top-k: 3, model: T", ConfigError, "teacher.top-k is what the pipeline decides; leave it out"),
        ("{k: 30}", "{queries: q.tsv}", ConfigError, "retrieve.queries is what the pipeline decides; leave it out"),
        ("student: {", "student: {data: {train: x}, ", ConfigError, "student.data.train is what the pipeline decides"),
        ("student: {", "student: {run: {folder: x}, ", ConfigError, "student.run.folder is what the pipeline decides"),
        ("{model: T", "{batch_tokens: 3", ConfigError, "teacher needs model; ltr guide search shows one"),
        (
            "skip: 2",
            "margin: 0.5",
            ConfigError,
            "mine.margin compares scores of .* name a run with such scores as mine.teacher",
        ),
        ("skip: 2", "max_score: 3", ConfigError, "mine.max_score compares scores of candidates and relevant documents"),
        ("{k: 30}", "30", ConfigError, "retrieve must be a mapping of options, got 30"),
        ("folder: runs/distil", "- x", DataError, "not YAML"),
    ],
)
def test_recipes_that_cannot_be(recipe, old, new, error, message):
    recipe.write_text(recipe.read_text().replace(old, new))
    with pytest.raises(error, match=message):
        read_recipe(recipe)


def test_several_teachers_are_averaged(recipe):
    one = pipeline_of(read_recipe(recipe)).steps
    recipe.write_text(
        recipe.read_text().replace('{model: T, precision: "32"}', "[{model: T}, {model: U, batch_tokens: 64}]")
    )
    steps = {step.name: step.commands for step in pipeline_of(read_recipe(recipe)).steps}
    first, second, mean = steps["3-teacher"]
    assert (first[0], first[-2:]) == ("rerank", ("--model", "T"))
    assert second[-4:] == ("--model", "U", "--batch-tokens", "64")
    assert " ".join(mean) == (
        f"fuse --run {HERE}/teacher-1.trec {HERE}/teacher-2.trec --method anz --norm standard --output {HERE}/teacher.trec"
    )
    assert [command[0] for command in steps["5-evaluate"]] == [
        "retrieve",
        "rerank",
        "rerank",
        "fuse",
        "rerank",
        "evaluate",
    ]
    assert steps["5-evaluate"][-1] == one[-1].commands[-1]  # the same runs are measured
    recipe.write_text(recipe.read_text().replace("{model: T}", "{batch_tokens: 3}"))
    with pytest.raises(ConfigError, match="teacher needs model"):
        read_recipe(recipe)


def test_margins_take_the_scores_of_a_run_that_is_there(recipe):
    recipe.write_text(recipe.read_text().replace("skip: 2", "margin: 0.5, teacher: taught.trec"))
    mine = pipeline_of(read_recipe(recipe)).steps[1].commands[0]
    assert mine[mine.index("--margin") :][:4] == ("--margin", "0.5", "--teacher", "taught.trec")


def test_a_recipe_is_a_mapping(tmp_path):
    (tmp_path / "r.yaml").write_text("- a\n")
    with pytest.raises(DataError, match="a recipe is a mapping of folder, train, dev"):
        read_recipe(tmp_path / "r.yaml")
    assert set(OWN) == {"retrieve", "mine", "teacher", "student", "evaluate"}


@pytest.mark.parametrize("nested", [False, True], ids=["in its file", "in the recipe"])
def test_a_model_that_the_students_configuration_names_counts(recipe, tmp_path, nested):
    """Trained on under its name, it would make another student; the finished one is not taken for that."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    config = tmp_path / "student.yaml"
    scorer = f"{{class_path: CrossEncoder, init_args: {{model: {base}}}}}"
    config.write_text("seed_everything: 1\n" if nested else f"model: {{scorer: {scorer}}}\n")
    own = f"config: {config}" + (f", model.scorer: {scorer}" if nested else "")
    recipe.write_text(recipe.read_text().replace("config: configs/recipes/folder.yaml", own))

    def signatures():
        pipeline = pipeline_of(read_recipe(recipe))
        return {step.name: pipeline.signature(step) for step in pipeline.steps}

    before = signatures()
    (base / "config.json").write_text("{ }")
    after = signatures()
    assert [name for name in before if before[name] != after[name]] == ["4-student", "5-evaluate"]
    if not nested:
        told = {
            "model: [": r"student.yaml:1: this is no YAML",
            "- a": r"student.yaml: a configuration of ltr fit is a mapping",
        }
        for text, said in told.items():
            config.write_text(text)
            with pytest.raises(ConfigError, match=said):
                pipeline_of(read_recipe(recipe))
