import pytest

from ltr.cli.export import _texts
from ltr.cli.main import main
from ltr.errors import ConfigError
from ltr.inference.exports import integers as exporting
from ltr.inference.reranker import Reranker
from ltr.io.trec import read_run
from tests.cli.drawn_home import write_home


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, and a folder of 20 queries with 15 candidates each."""
    home = tmp_path_factory.mktemp("export")
    draw, docs, queries = write_home(home, 60, 20, 40)
    data = home / "data"
    (data / "qrels.trec").write_text("".join(f"{q} 0 {draw.choice(list(docs))} 1\n" for q in queries))
    lines = [
        f"{q} Q0 {d} {rank} {100 - rank} first\n"
        for q in queries
        for rank, d in enumerate(draw.choice(list(docs), 15, replace=False), 1)
    ]
    (data / "run.first.trec").write_text("".join(lines))
    return home


def arguments(home, out, *more):
    given = ["--model", str(home / "best"), "--dataset", str(home / "data"), "--run", "first", "--output", str(out)]
    return ["export", *given, "--calibration", "5", *more]


def test_a_model_is_exported_checked_and_used(home, tmp_path, capsys):
    out = tmp_path / "int8"
    assert main(arguments(home, out, "--min-tau", "0.8", "--max-ndcg-change", "1")) == 0
    shown = capsys.readouterr().out
    assert "checked on 15 other queries, 225 documents, against the model in float32:" in shown
    assert "(wanted: at least 0.8)" in shown
    assert f"next: ltr rerank --model {out} --dataset {home / 'data'} --run first --output int8.trec" in shown
    command = [
        "rerank",
        "--model",
        str(out),
        "--dataset",
        str(home / "data"),
        "--run",
        "first",
        "-o",
        str(tmp_path / "r"),
    ]
    assert main(command) == 0
    assert len(read_run(tmp_path / "r")) == 20
    assert Reranker.load(out).precision == "int8"
    card = (out / "README.md").read_text()
    assert "A copy on 8-bit integers, made by `ltr export` from a folder named `best`." in card
    assert "checked on 15 other queries" in card
    assert "speed  " in shown
    assert "speed  " not in card  # an export that is made again is the same


def test_an_export_beyond_the_tolerance_is_refused_with_the_figures(home, tmp_path, capsys):
    assert main(arguments(home, tmp_path / "int8", "--min-tau", "1")) == 1
    shown = capsys.readouterr()
    assert (
        "queries in bfloat16                layer 0\n  kept in bfloat16                   3 of 3 products: layer 0 project, layer 0 widen, layer 0 narrow"
        in shown.out
    )
    assert "ltr export: export refused, nothing was written: Kendall's tau is 0." in shown.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--depth", "0"], "--depth must be at least 1, got 0"),
        (["--calibration", "11"], "has 20 queries with candidates; 11 to calibrate on would leave fewer"),
        (["--min-tau", "2"], "min_tau must be in"),
        (["--run", "nowhere"], "'nowhere' is no file and no known source"),
    ],
)
def test_options_that_do_not_fit(home, tmp_path, capsys, more, sentence):
    assert main(arguments(home, tmp_path / "int8", *more)) == 1
    assert sentence in capsys.readouterr().err


def copied(home, folder, *names):
    """Some files of the data, in a folder of this test's own."""
    folder.mkdir()
    for name in ("docs.jsonl", "queries.tsv", "run.first.trec", *names):
        (folder / name).write_text((home / "data" / name).read_text())
    return folder


def test_what_is_not_judged_calibrates_first(home, tmp_path, capsys):
    data = copied(home, tmp_path / "data", "qrels.trec")
    lines = (data / "qrels.trec").read_text().splitlines(keepends=True)
    (data / "qrels.trec").write_text("".join(lines[3:18]))
    given = arguments(home, tmp_path / "int8", "--min-tau", "0.5", "--max-ndcg-change", "1")
    given[given.index("--dataset") + 1] = str(data)
    assert main(given) == 0
    assert "nDCG@10 of 15    judged" in capsys.readouterr().out


def test_queries_are_drawn_by_the_seed_and_checked_on_others_than_calibrated(home):
    def drawn(seed, queries=300):
        names = [one.query_id for one in _texts(str(home / "data"), "first", 15, 5, queries, seed)[0]]
        return names[:5], names[5:]

    chosen, others = drawn(0)
    assert (len(chosen), len(others)) == (5, 15)
    assert {*chosen, *others} == {f"q{i}" for i in range(20)}
    assert drawn(0) == (chosen, others)
    assert {*drawn(1)[0]} != {*chosen}
    assert drawn(0, 4) == (chosen, others[:4])


def test_the_length_is_handed_on_and_a_place_that_is_taken_is_told_before(home, tmp_path, monkeypatch, capsys):
    lengths = []

    def noted(model, max_length=None):
        lengths.append(max_length)
        raise ConfigError("seen")

    monkeypatch.setattr(exporting, "opened", noted)
    assert main(arguments(home, tmp_path / "int8", "--max-length", "33")) == 1
    assert main(arguments(home, tmp_path / "int8")) == 1
    assert lengths == [33, None]
    (tmp_path / "taken").mkdir()
    assert main(arguments(home, tmp_path / "taken")) == 1
    (tmp_path / "file").touch()
    assert main(arguments(home, tmp_path / "file" / "int8")) == 1
    assert len(lengths) == 2
    assert "cannot write" in capsys.readouterr().err


def test_files_beside_an_earlier_export_are_named_before_anything_is_computed(home, tmp_path, monkeypatch, capsys):
    out = tmp_path / "int8"
    given = arguments(home, out, "--min-tau", "0.5", "--max-ndcg-change", "1")
    assert main(given) == 0
    (out / "notes.txt").write_text("mine")
    monkeypatch.setattr(exporting, "quantise", lambda *args: pytest.fail("computed"))
    assert main(given) == 1
    assert "holds notes.txt, which is no part of an export and would be lost" in capsys.readouterr().err
    assert (out / "notes.txt").read_text() == "mine"


def test_the_model_is_not_written_over(home, capsys):
    assert main(arguments(home, home / "best")) == 1
    assert "best is there and is no earlier export; give a new folder, or remove it" in capsys.readouterr().err
    assert (home / "best" / "model.safetensors").is_file()


def test_without_judgements(home, tmp_path, capsys):
    bare = copied(home, tmp_path / "bare")
    given = arguments(home, tmp_path / "int8", "--min-tau", "0.5")
    given[given.index("--dataset") + 1] = str(bare)
    assert main(given) == 0
    assert "not checked: none of these queries is judged" in capsys.readouterr().out
