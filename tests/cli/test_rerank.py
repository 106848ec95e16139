"""``ltr rerank`` from the command line."""

import io
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from ltr.cli.main import main
from ltr.inference import run_reranking
from ltr.inference.reranker import Reranker
from ltr.io.trec import read_run, write_run
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.conftest import DOCS, QUERIES
from tests.tiny_model import save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("rerank")
    torch.manual_seed(2)
    save_tiny(folder / "backbone")
    CrossEncoder(str(folder / "backbone")).save(folder / "best", ModelSettings(60, 20))
    return str(folder / "best")


def stdin(monkeypatch, text: str, terminal: bool = False) -> None:
    stream = io.StringIO(text)
    stream.isatty = lambda: terminal
    monkeypatch.setattr("sys.stdin", stream)


def test_a_run_is_reranked(model, tiny_folder, tmp_path, capsys):
    out, source = tmp_path / "ours.trec", tiny_folder / "run.first.trec"
    arguments = ["--dataset", str(tiny_folder), "--run", str(source), "-o", str(out), "--precision", "32"]
    assert main(["rerank", "--model", model, *arguments]) == 0
    first, run = read_run(source), read_run(out)
    assert {q: set(run[q][0]) for q in run} == {q: set(first[q][0]) for q in first}
    shown = capsys.readouterr().out
    assert f"{out}: 11 documents for 4 queries of {tiny_folder}\n" in shown
    assert f"next: ltr evaluate --run {source} {out} --dataset {tiny_folder}" in shown


def test_depth_and_top_k(model, tiny_folder, tmp_path):
    out = tmp_path / "ours.trec"
    arguments = ["--dataset", str(tiny_folder), "--run", "first", "-o", str(out), "--depth", "2", "--top-k", "1"]
    assert main(["rerank", "--model", model, *arguments]) == 0
    first, run = read_run(tiny_folder / "run.first.trec"), read_run(out)
    assert all(len(run[q][0]) == 1 and run[q][0][0] in first[q][0][:2] for q in first)


def test_a_weight_that_was_chosen_with_another_first_stage_is_told(model, tiny_folder, tmp_path, caplog):
    settings = replace(ModelSettings.read(model), interpolation=0.4, interpolated_with="first")
    CrossEncoder(model).save(tmp_path / "mixed", settings)
    write_run(tmp_path / "run.dense.trec", read_run(tiny_folder / "run.first.trec"))
    told = {}
    for run in ("first", str(tmp_path / "run.dense.trec")):
        arguments = ["--dataset", str(tiny_folder), "--run", run, "-o", str(tmp_path / "out.trec"), "--interpolate"]
        caplog.clear()
        assert main(["rerank", "--model", str(tmp_path / "mixed"), *arguments]) == 0
        told[run == "first"] = caplog.text
    assert "weight 0.40 was chosen on dev with the first stage first, and here dense is mixed in" in told[False]
    assert "was chosen on dev" not in told[True]


def test_the_first_stages_weight(model, tiny_folder, tmp_path):
    out = tmp_path / "same.trec"
    arguments = ["--dataset", str(tiny_folder), "--run", "first", "-o", str(out), "--weight", "1.0"]
    assert main(["rerank", "--model", model, *arguments]) == 0
    first, run = read_run(tiny_folder / "run.first.trec"), read_run(out)
    assert {q: list(run[q][0]) for q in run} == {q: list(first[q][0]) for q in first}


def test_long_documents_are_read_in_passages(model, tiny_folder, tmp_path):
    docs = [json.loads(line) for line in (tiny_folder / "docs.jsonl").read_text().splitlines()]
    records = [json.dumps({**doc, "text": "the sun shone. " * 80 + doc["text"]}) for doc in docs]
    (tiny_folder / "docs.jsonl").write_text("\n".join(records) + "\n")
    saved = tmp_path / "saved"
    CrossEncoder(model).save(saved, ModelSettings(60, 20, passages="max"))
    found = {}
    for name, source, options in (
        ("plain", model, []),
        ("first", saved, ["--passages", "first"]),
        ("max", model, ["--passages", "max"]),
        ("saved", saved, []),
        ("mean", model, ["--passages", "mean", "--stride", "20", "--max_passages", "3"]),
        ("few", saved, ["--max-passages", "1"]),
    ):
        out = tmp_path / f"{name}.trec"
        arguments = ["--dataset", str(tiny_folder), "--run", "first", "-o", str(out), "--precision", "32", *options]
        assert main(["rerank", "--model", str(source), *arguments]) == 0
        run = read_run(out)
        found[name] = {(q, doc): score for q in run for doc, score in zip(*run[q], strict=True)}
    for name, same in (("plain", "first"), ("plain", "few"), ("max", "saved")):
        assert found[name] == pytest.approx(found[same], abs=1e-5), (name, same)
    for name, other in (("plain", "max"), ("plain", "mean"), ("max", "mean")):
        assert max(abs(found[name][key] - found[other][key]) for key in found[name]) > 0.01, (name, other)


def test_interrupted_and_taken_up_again(model, tiny_folder, tmp_path, capsys, caplog, monkeypatch):
    out = tmp_path / "ours.trec"
    arguments = ["--dataset", str(tiny_folder), "--run", "first", "-o", str(out)]
    blocks = run_reranking.blocks_of
    monkeypatch.setattr(run_reranking, "blocks_of", lambda run, docs: blocks(run, 4))
    append = run_reranking.PartialRun.append

    def interrupted(self, block, ranked):
        append(self, block, ranked)
        raise KeyboardInterrupt

    monkeypatch.setattr(run_reranking.PartialRun, "append", interrupted)
    assert main(["rerank", "--model", model, *arguments]) == 130
    assert "what is finished is kept; the same command goes on from here" in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.setattr(run_reranking.PartialRun, "append", append)
    assert main(["rerank", "--model", model, *arguments]) == 0
    assert "ours.trec.partial: 5 of 11 documents are done" in caplog.text
    assert len(read_run(out)) == 4


def test_one_query(model, tiny_folder, capsys):
    arguments = ["--dataset", str(tiny_folder), "--query", "cats and dogs", "--top-k", "2"]
    assert main(["rerank", "--model", model, *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    rank, score, doc_id = lines[0].split()
    assert (rank, doc_id) in {("1", "d1"), ("1", "d2")}
    assert float(score) >= float(lines[2].split()[1])
    assert {line.strip() for line in lines[1::2]} == {
        "Cats The cat sat on the mat and slept.",
        "Dogs Dogs bark at cats in the night.",
    }


def test_a_long_text_is_shown_in_part():
    from ltr.cli.rerank import _snippet

    assert _snippet("a  b\nc") == "a b c"
    assert _snippet("word " * 50) == ("word " * 20).strip() + " …"
    assert _snippet("x" * 200) == "x" * 100 + " …"


def test_json_lines(model, capsys, monkeypatch):
    given = [
        {"query": "sort", "docs": ["a list", {"title": "b", "text": "number"}], "ids": ["x", "y"], "key": 7},
        {"query": "read", "docs": ["file"], "first_scores": [2.0]},
        {"query": "open", "docs": []},
    ]
    stdin(monkeypatch, "\n\n".join(json.dumps(one) for one in given) + "\n")
    assert main(["rerank", "--model", model, "--precision", "32"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = Reranker.load(model, precision="32").rank("sort", given[0]["docs"], given[0]["ids"])
    assert lines[0]["key"] == 7
    assert [one["id"] for one in lines[0]["ranking"]] == [one.id for one in expected]
    scores = [one["score"] for one in lines[0]["ranking"]]
    assert scores == pytest.approx([one.score for one in expected], abs=1e-5)
    assert np.float32(scores).tolist() != np.float32([round(score, 6) for score in scores]).tolist(), "all digits"
    assert [(one["rank"], one["index"]) for one in lines[1]["ranking"]] == [(1, 0)]
    assert lines[2] == {"query": "open", "ranking": []}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            '{"query": "a \\ud83d", "docs": ["y"]}',
            r"input:2: Reranker: query 0 holds '\ud83d', half of a surrogate pair, at character 2: it was cut inside",
        ),
        (
            '{"query": "a", "docs": ["y", {"title": "\\udc00", "text": "z"}]}',
            r"input:2: Reranker: document 1 of query 0 holds '\udc00', half of a surrogate pair, at character 0",
        ),
        ("{", "standard input:2: a line must be JSON, got '{'"),
        ("[1]", 'standard input:2: a line must be an object with "query" and a list "docs", got [1]'),
        ('{"query": "x"}', 'must be an object with "query" and a list "docs"'),
        ('{"query": "x", "docs": "y"}', 'must be an object with "query" and a list "docs"'),
        (
            '{"query": "", "docs": ["y"]}',
            "standard input:2: Reranker: query 0 must be a text that is not empty, got ''",
        ),
        ('{"query": "x", "docs": [5]}', "standard input:2: Reranker: document 0 of query 0 must be a string"),
        ('{"query": "x", "docs": ["y"], "ids": []}', "standard input:2: Reranker: ids must have one entry for each"),
        ('{"query": "x", "docs": ["y"], "ids": 5}', 'input:2: "ids" must be a list of strings or whole numbers, got 5'),
        (
            '{"query": "x", "docs": ["y", "z"], "ids": "ab"}',
            "\"ids\" must be a list of strings or whole numbers, got 'ab'",
        ),
        ('{"query": "x", "docs": ["y"], "ids": [[1]]}', '"ids" must be a list of strings or whole numbers, got [[1]]'),
        (
            '{"query": "x", "docs": ["y"], "first_scores": 5}',
            'input:2: "first_scores" must be a list of numbers, got 5',
        ),
        (
            '{"query": "x", "docs": ["y", "z"], "first_scores": [1, "z"]}',
            "standard input:2: \"first_scores\" must be a list of numbers, got [1, 'z']",
        ),
    ],
)
def test_a_bad_line_is_named_and_what_came_before_is_given(model, capsys, monkeypatch, line, sentence):
    stdin(monkeypatch, f'{{"query": "sort", "docs": ["a"]}}\n{line}\n{{"query": "read", "docs": ["b"]}}\n')
    assert main(["rerank", "--model", model]) == 1
    shown = capsys.readouterr()
    assert sentence in shown.err
    first, failed, last = map(json.loads, shown.out.splitlines())
    assert (first["query"], last["query"], len(last["ranking"])) == ("sort", "read", 1)
    assert sentence in failed["error"]
    assert "ranking" not in failed


def test_a_line_that_nests_without_end_is_named_and_the_next_is_read(model, capsys, monkeypatch):
    stdin(monkeypatch, '{"a":' * 100_000 + '\n{"query": "q", "docs": ["a"]}\n')
    assert main(["rerank", "--model", model]) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "it nests too deeply" in first["error"]
    assert second["ranking"][0]["id"] == "0"


def test_a_line_that_is_no_text_is_named_and_what_came_before_is_given(model):
    lines = b'{"query": "sort", "docs": ["\xc3\xa9"]}\n{"query": "\xff", "docs": ["a"]}\n'
    command = [sys.executable, "-m", "ltr", "rerank", "--model", model]
    done = subprocess.run(command, input=lines, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"standard input:2: a line must be UTF-8 text ('utf-8' codec" in done.stderr
    first, failed = map(json.loads, done.stdout.splitlines())
    assert first["query"] == "sort"
    assert "must be UTF-8 text" in failed["error"]


def test_half_a_surrogate_pair_beside_sound_texts_comes_back_as_it_was(model, capfdbinary, monkeypatch):
    stdin(monkeypatch, '{"query": "sort", "docs": ["a"], "key": "\\ud83d"}\n{\n[]\n')
    assert main(["rerank", "--model", model]) == 1
    shown = capfdbinary.readouterr()
    assert json.loads(shown.out.splitlines()[0])["key"] == "\ud83d"
    assert b"(2 of 3 lines could not be ranked, this was the first)" in shown.err


def test_queries_are_read_as_far_as_asked(model, capsys, monkeypatch, caplog):
    line = json.dumps({"query": "sort two list file", "docs": ["a list", "python file"]})
    scores = {}
    for most in (2, 4):
        stdin(monkeypatch, line)
        assert main(["rerank", "--model", model, "--precision", "32", "--max-query-length", str(most)]) == 0
        scores[most] = [one["score"] for one in json.loads(capsys.readouterr().out)["ranking"]]
    assert scores[2] != scores[4]
    said = "queries of more than 2 tokens are cut there, such as query 0: raise max_query_length"
    assert [r.getMessage()[: len(said)] for r in caplog.records if "are cut there" in r.getMessage()] == [said]


def test_no_input_is_written_over(model, tiny_folder, capsys, monkeypatch):
    source = tiny_folder / "run.first.trec"
    before = source.read_bytes()
    monkeypatch.chdir(tiny_folder)
    for run in ("first", str(source), "run.first.trec"):
        given = ["--dataset", str(tiny_folder), "--run", run, "--output", "run.first.trec"]
        assert main(["rerank", "--model", model, *given]) == 1
        assert "--output run.first.trec would overwrite an input of this command" in capsys.readouterr().err
    assert source.read_bytes() == before
    assert not list(tiny_folder.glob("*.partial*"))


def test_a_place_that_cannot_be_written_is_told_before_the_model_is_opened(tmp_path, capsys):
    (tmp_path / "file").touch()
    for place, sentence in (
        (tmp_path, "is a folder; give a file"),
        (tmp_path / "file" / "x.trec", "is a file, and noth"),
    ):
        given = ["--dataset", "nowhere", "--run", "first", "--output", str(place)]
        assert main(["rerank", "--model", "nowhere", *given]) == 1
        assert sentence in capsys.readouterr().err


def test_a_weight_of_0_spreads_the_models_scores(model, tiny_folder, tmp_path):
    for more in ([], ["--interpolate"]):
        out = tmp_path / "ours.trec"
        arguments = ["--dataset", str(tiny_folder), "--run", "first", "-o", str(out), "--weight", "0", *more]
        assert main(["rerank", "--model", model, *arguments]) == 0
        run = read_run(out)
        assert all((run[q][1].min(), run[q][1].max()) == (0, 1) for q in run)


def test_the_length_is_handed_on(model, tiny_folder, tmp_path):
    found = []
    for more in ([], ["--max-length", "12"]):
        out = tmp_path / f"{len(more)}.trec"
        arguments = ["--dataset", str(tiny_folder), "--run", "first", "-o", str(out), "--precision", "32", *more]
        assert main(["rerank", "--model", model, *arguments]) == 0
        found.append(read_run(out).to_dict())
    short = Reranker.load(model, precision="32", max_length=12)
    title, text = DOCS["d5"]
    (expected,) = short.rank(QUERIES["q3"], [{"title": title, "text": text}])
    assert found[1]["q3"]["d5"] == pytest.approx(expected.score, abs=1e-5)
    assert abs(found[0]["q3"]["d5"] - expected.score) > 1e-3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "nothing to rerank: give --run and --output, or --query, or JSON lines on standard input"),
        (["--query", "x"], "--query needs --dataset, the collection to search"),
        (["--query", " ", "--dataset", "d"], "--query must not be empty"),
        (
            ["--query", "x", "--dataset", "d", "--run", "r"],
            "--query prints the best documents of one text; leave out --run and --output",
        ),
        (["--run", "r"], "to rerank a run, give --run, --output and --dataset; --output and --dataset missing"),
        (["--dataset", "d"], "--dataset needs --run and --output (a whole run), or --query (one text)"),
        (["--query", "x", "--dataset", "d", "--depth", "0"], "--depth must be at least 1, got 0"),
        (["--query", "x", "--dataset", "d", "--top-k", "-1"], "--top-k must be at least 1, got -1"),
        (["--query", "x", "--dataset", "d", "--stride", "0"], "--stride must be at least 1, got 0"),
        (["--query", "x", "--dataset", "d", "--max-passages", "0"], "--max-passages must be at least 1, got 0"),
    ],
)
def test_options_that_do_not_fit_together(arguments, sentence, capsys, monkeypatch):
    stdin(monkeypatch, "", terminal=True)
    assert main(["rerank", "--model", "nowhere", *arguments]) == 1
    assert f"ltr rerank: {sentence}" in capsys.readouterr().err


def test_missing_things_are_named(model, tiny_folder, tmp_path, capsys):
    out = ["-o", str(tmp_path / "out.trec")]
    cases = [
        (["--model", str(tmp_path / "nothing"), "--run", "first", "--dataset", str(tiny_folder), *out], "no folder"),
        (["--model", model, "--run", "frist", "--dataset", str(tiny_folder), *out], "did you mean 'first'?"),
        (["--model", model, "--run", "first", "--dataset", str(tmp_path / "no"), *out], "no"),
        (["--model", model, "--query", "zyzzyva", "--dataset", str(tiny_folder)], "no document of"),
        (["--model", model, "--stride", "9", "--run", "first", "--dataset", str(tiny_folder), *out], "set passages to"),
        (["--model", model, "--interpolate", "--run", "first", "--dataset", str(tiny_folder), *out], "needs a weight"),
    ]
    for arguments, sentence in cases:
        assert main(["rerank", *arguments]) == 1
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out.trec").exists()


def test_an_unknown_way_to_read_long_documents(capsys):
    with pytest.raises(SystemExit):
        main(["rerank", "--model", "nowhere", "--passages", "last"])
    assert "argument --passages: invalid choice: 'last' (choose from" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ltr.cli.main import main\n"
        "try: main(['rerank', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'ir_datasets', 'tqdm', 'pandas', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert 'ltr rerank --model M --dataset NAME --query "join two paths"' in done.stdout


def test_a_teacher_scores_the_relevant_documents_too(model, tiny_folder, tmp_path, capsys):
    """q1 has d1 and d2 judged; its run is cut to one document, and q3's relevant one stands in it."""
    out = tmp_path / "teacher.trec"
    given = ["--dataset", str(tiny_folder), "--run", "first", "-o", str(out), "--depth", "1", "--precision", "32"]
    assert main(["rerank", "--model", model, *given, "--with-judged"]) == 0
    run = read_run(out)
    assert {q: set(run[q][0]) for q in run} == {
        "q1": {"d1", "d2"}, "q2": {"d3", "d4"}, "q3": {"d5"}, "q4": {"d7", "d6"},
    }  # fmt: skip
    shown = capsys.readouterr().out
    assert (
        f"scores     mean {run.scores.mean():.4g}, standard deviation {run.scores.std():.4g} (within a query " in shown
    )
    assert "a softmax of them gives the best document" in shown
    assert main(["rerank", "--model", model, *given, "--top-k", "1"]) == 0
    assert "a softmax of them" not in capsys.readouterr().out  # of one document each


@pytest.mark.parametrize("extra", [["--weight", "0.5"], ["--interpolate"]])
def test_a_teacher_mixes_nothing(model, tiny_folder, tmp_path, capsys, extra):
    given = ["--dataset", str(tiny_folder), "--run", "first", "-o", str(tmp_path / "x"), "--with-judged", *extra]
    assert main(["rerank", "--model", model, *given]) == 1
    assert "--with-judged adds documents that the first stage has no score of" in capsys.readouterr().err
