"""``ltr encode``, and ``ltr retrieve`` with a bi-encoder, from the command line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ltr.cli.main import main
from ltr.io.trec import read_run
from tests.search.conftest import bi_encoder  # noqa: F401


@pytest.fixture
def given(tiny_folder, bi_encoder):  # noqa: F811
    return ["--model", str(bi_encoder), "--dataset", f"{tiny_folder}/dev", "--precision", "32"]


def test_encodes_in_shards_and_retrieves(given, tmp_path, capsys):
    folder, out, again = (str(tmp_path / name) for name in ("index", "d.trec", "e.trec"))
    assert main(["encode", *given, "-o", folder, "--shard", "2/2"]) == 0
    shown = capsys.readouterr().out
    assert f"{folder}: 4 vectors of 32 numbers, shard 2/2 of {given[3]}\n" in shown
    assert "shards to come: 1/2\n" in shown
    assert main(["retrieve", *given, "--index", folder, "-o", out]) == 1
    assert "lacks 1 of its 2 shards (1); finish them with ltr encode --shard 1/2" in capsys.readouterr().err
    assert main(["encode", *given, "-o", folder, "--shard", "1/2"]) == 0
    assert f"next: ltr retrieve --model {given[1]} --index {folder}" in capsys.readouterr().out
    assert main(["encode", *given, "-o", folder, "--shard", "1/2"]) == 0
    assert "; all were there already" in capsys.readouterr().out
    assert main(["retrieve", *given, "--index", folder, "-o", out, "-k", "3"]) == 0
    assert f"{out}: 6 documents for 2 queries of" in capsys.readouterr().out
    assert main(["retrieve", *given, "-o", again, "-k", "50"]) == 0  # by the cache
    assert "-k 50 is beyond the collection: each query has all of its 8 documents\n" in capsys.readouterr().out
    for query, (docs, _) in ((q, read_run(out)[q]) for q in read_run(out)):
        assert read_run(again)[query][0][:3].tolist() == docs.tolist()


def test_an_index_that_was_cut_is_searched_with_queries_that_are_cut(given, tmp_path):
    folder, out = str(tmp_path / "index"), str(tmp_path / "d.trec")
    assert main(["encode", *given, "-o", folder, "--width", "8"]) == 0
    assert main(["retrieve", *given, "--index", folder, "-o", out]) == 0
    assert len(read_run(out)) == 2


def test_a_sparse_encoder_encodes_and_retrieves_by_its_words(tiny_folder, tmp_path, capsys):
    from ltr.scorers import Sparse
    from ltr.settings import TwinSettings
    from tests.tiny_model import save_mlm

    Sparse(save_mlm(tmp_path)).save(tmp_path / "splade", TwinSettings(40, 20))
    given = ["--model", str(tmp_path / "splade"), "--dataset", f"{tiny_folder}/dev", "--precision", "32"]
    folder, out, again = (str(tmp_path / name) for name in ("index", "s.trec", "t.trec"))
    assert main(["encode", *given, "-o", folder, "--shard", "2/2"]) == 0
    shown = capsys.readouterr().out
    assert f"{folder}: 4 sparse vectors over 160 words, shard 2/2 of {given[3]}\n" in shown
    assert "shards to come: 1/2\n" in shown
    assert main(["encode", *given, "-o", folder, "--shard", "1/2"]) == 0
    assert capsys.readouterr().out.endswith(f"--index {folder} --dataset {given[3]} --output sparse.trec\n")
    assert main(["retrieve", *given, "--index", folder, "-o", out, "-k", "3"]) == 0
    assert f"{out}: 6 documents for 2 queries of" in capsys.readouterr().out
    assert Path(out).read_text().splitlines()[0].endswith(" sparse")
    assert main(["retrieve", *given, "-o", again, "-k", "50"]) == 0  # by the cache
    assert "-k 50 is beyond the collection: " in capsys.readouterr().out
    for query, (docs, _) in ((q, read_run(out)[q]) for q in read_run(out)):
        assert read_run(again)[query][0][:3].tolist() == docs.tolist()
    for argv, message in (
        (["encode", "--width", "8"], "encode: width keeps the first numbers of a bi-encoder's vectors"),
        (["retrieve", "--faiss", "Flat"], "sparse ones are searched exactly, by their words: leave --faiss out"),
    ):
        assert main([argv[0], *given, *argv[1:], "-o", str(tmp_path / "x")]) == 1
        assert message in capsys.readouterr().err


def test_approximate_search_prints_its_recall(given, tmp_path, capsys):
    pytest.importorskip("faiss")
    assert main(["retrieve", *given, "--faiss", "Flat", "-o", str(tmp_path / "d.trec"), "-k", "3"]) == 0
    assert "recall@3 of Flat against exact search: 1.0000\n" in capsys.readouterr().out


def test_what_an_approximate_index_lacks_is_told_before_documents_are_encoded(given, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr("ltr.search.dense.cached", lambda *_: pytest.fail("encoded"))
    assert main(["retrieve", *given, "--faiss", "Flat", "-o", str(tmp_path / "d.trec")]) == 1
    assert "faiss is needed for the index Flat, and is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("model", [True, False])
def test_a_file_without_queries_is_told(given, tmp_path, capsys, model):
    (tmp_path / "none.tsv").write_text("\n")
    asked = ["--queries", str(tmp_path / "none.tsv"), "-o", str(tmp_path / "d.trec")]
    assert main(["retrieve", *(given if model else given[2:4]), *asked]) == 1
    assert capsys.readouterr().err == f"ltr retrieve: {tmp_path}/none.tsv holds no query\n"


def test_a_query_that_is_a_document_has_all_but_itself(tiny_folder, given, tmp_path, capsys):
    (tmp_path / "mine.tsv").write_text("d1\tpython join\nq\tbarking\n")
    (tiny_folder / "docs.jsonl").write_text(
        '{"doc_id": "d1", "text": "python join"}\n{"doc_id": "d2", "text": "sort"}\n'
    )
    (tiny_folder / "qrels.dev.trec").write_text("q3 0 d2 1\n")
    assert main(["retrieve", *given, "-o", str(tmp_path / "d.trec"), "--queries", str(tmp_path / "mine.tsv")]) == 0
    assert "-k 100 is beyond the collection: it has 2 documents\n" in capsys.readouterr().out


def test_own_queries_by_a_bi_encoder(given, tmp_path, capsys):
    (tmp_path / "mine.tsv").write_text("a\tbarking dogs\n")
    out = str(tmp_path / "d.trec")
    assert main(["retrieve", *given, "-o", out, "--queries", str(tmp_path / "mine.tsv"), "-k", "2"]) == 0
    assert len(read_run(out)["a"][0]) == 2
    assert "next:" not in capsys.readouterr().out


def test_vectors_as_parquet(given, tmp_path, capsys):
    folder = tmp_path / "index"
    import pyarrow.parquet as pq

    assert main(["encode", *given, "-o", str(folder), "--format", "parquet"]) == 0
    table = pq.read_table(folder / "vectors-0001-of-0001.parquet")
    assert table["doc_id"].to_pylist() == [f"d{i}" for i in range(1, 9)]
    assert np.array_equal(
        np.array(table["vector"].to_pylist(), np.float32), np.load(folder / "vectors-0001-of-0001.npy")
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["encode", "--shard", "2"], "--shard must be i/n, such as 2/8, got '2'"),
        (["encode", "--shard", "3/2"], "encode: a shard is i/n with i from 1 to n, got 3/2"),
        (["encode", "--width", "0"], "--width must be at least 1, got 0"),
        (["encode", "--shards", "4"], "--shards goes only with --ray; without it --shard i/n encodes one part of n"),
        (["encode", "--workers", "2"], "--workers goes only with --ray"),
        (["encode", "--ray", "local", "--shard", "1/2"], "--ray encodes all shards, and --shard 1/2 is one of them"),
        (["retrieve", "--index", "nowhere"], "index: nowhere holds no manifest.json"),
        (["retrieve", "-k", "0"], "--k must be at least 1, got 0"),
        (["encode", "--model", "runs/no/best"], "no folder runs/no/best; give a folder with config.json or a hub id"),
        (["retrieve", "--model", "runs/no/best"], "no folder runs/no/best; give a folder with config.json or a hub id"),
        (["retrieve", "--faiss-options", "nprobe=3"], "--faiss-options belong to an approximate index; add --faiss"),
    ],
)
def test_errors_are_sentences(given, tmp_path, capsys, argv, message):
    assert main([argv[0], *given, *argv[1:], "-o", str(tmp_path / "x")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_model_that_is_not_there_is_not_said_to_make_vectors_in_any_way(given, tmp_path, caplog):
    assert main(["encode", *given, "--model", "nobody", "-o", str(tmp_path / "x")]) == 1
    assert "does not say how it makes vectors" not in caplog.text


def test_a_shard_without_texts_was_not_there_already(given, tmp_path, capsys):
    """Of eight documents, in nine parts."""
    assert main(["encode", *given, "-o", str(tmp_path / "index"), "--shard", "1/9"]) == 0
    assert f"index: 0 vectors of 32 numbers, shard 1/9 of {given[3]}\n" in capsys.readouterr().out


def test_models_and_indexes_that_do_not_fit_are_one_sentence(given, tiny_folder, tiny_model, tmp_path, capsys):
    """A cross-encoder, an index of other weights or of another collection, and of vectors that are damaged."""
    from ltr.scorers import BiEncoder, CrossEncoder
    from ltr.settings import TwinSettings
    from ltr.settings.texts import ModelSettings

    CrossEncoder(str(tiny_model)).save(tmp_path / "cross", ModelSettings(60, 20))
    BiEncoder(str(tiny_model), pooling="first").save(tmp_path / "other", TwinSettings(40, 20))
    folder, out = str(tmp_path / "index"), str(tmp_path / "d.trec")
    assert main(["encode", *given, "-o", folder]) == 0
    rest = given[2:]
    capsys.readouterr()

    def said(*argv):
        assert main([*argv]) == 1
        assert not Path(out).exists()
        return capsys.readouterr().err

    for command, place in (("encode", str(tmp_path / "new")), ("retrieve", out)):
        told = said(command, "--model", str(tmp_path / "cross"), *rest, "-o", place)
        assert "a bi-encoder is needed, whose texts are vectors, got CrossEncoder; train one with" in told
    other = ["retrieve", "--model", str(tmp_path / "other"), *rest, "--index", folder, "-o", out]
    assert "was made from other weights (or another tokenizer, prompt, pooling or length)" in said(*other)
    place = tmp_path / "index" / "vectors-0001-of-0001.npy"
    vectors = np.load(place)
    vectors[3, 2] = np.nan
    np.save(place, vectors)
    index = ["retrieve", *given, "--index", folder, "-o", out]
    assert "the vector of document row 3 is not finite; the model overflows, or the file is damaged" in said(*index)
    with open(tiny_folder / "docs.jsonl", "a") as file:
        file.write('{"doc_id": "d9", "text": "new"}\n')
    assert "was made from other documents: the collection changed, or is another one" in said(*index)


@pytest.mark.parametrize("option", ["--index", "--faiss", "--max-length"])
def test_options_of_a_bi_encoder_without_one(tiny_folder, tmp_path, capsys, option):
    assert main(["retrieve", "--dataset", str(tiny_folder), "-o", str(tmp_path / "x"), option, "7"]) == 1
    assert f"{option} belongs to a retriever; add --model, or leave it out for BM25" in capsys.readouterr().err


def test_an_index_is_a_folder(given, tmp_path, capsys):
    (tmp_path / "x").touch()
    assert main(["encode", *given, "-o", str(tmp_path / "x")]) == 1
    assert "is a file; name a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_by_the_system_it_goes_on(given, tmp_path):
    """SIGKILL in the middle, several times; in the end the bytes are those of a run that nobody disturbed."""
    command = [sys.executable, "-m", "ltr", "encode", *given, "-o"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    for seconds in (2, 4, 6, 8):
        process = subprocess.Popen([*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    subprocess.run([*command, str(tmp_path / "killed")], check=True, capture_output=True)

    def content(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}

    assert content(tmp_path / "killed") == content(tmp_path / "whole")
