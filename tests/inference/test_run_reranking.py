"""An interrupted run goes on where it stopped, and ends as if nothing had happened."""

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ltr.data.candidates.sources import candidates
from ltr.data.collections.collection import load
from ltr.errors import DataError
from ltr.inference.reranker import Reranker
from ltr.inference.run_reranking import PartialRun, blocks_of, claimed, model_signature, rerank_run
from ltr.io.trec import Run, read_run
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.conftest import write_tiny
from tests.tiny_model import save_tiny


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A collection, its first-stage run, and a model."""
    folder = tmp_path_factory.mktemp("resuming")
    write_tiny(folder / "data")
    torch.manual_seed(2)
    save_tiny(folder / "backbone")
    CrossEncoder(str(folder / "backbone")).save(folder / "model", ModelSettings(60, 20, interpolation=0.5))
    return folder


@pytest.fixture(scope="module")
def reranker(home) -> Reranker:
    return Reranker.load(home / "model", device="cpu", precision="32")


@pytest.fixture(scope="module")
def collection(home):
    return load(str(home / "data"))


@pytest.fixture(scope="module")
def first(collection) -> Run:
    return candidates(collection, "first")


@pytest.fixture(scope="module")
def finished(home, reranker, collection, first) -> bytes:
    """The file of an uninterrupted run, in blocks of one or two queries."""
    assert rerank_run(reranker, collection, first, home / "whole" / "out.trec", block_docs=4) == 11
    return (home / "whole" / "out.trec").read_bytes()


def test_the_file_holds_what_rank_says(home, finished, reranker, collection, first):
    run = read_run(home / "whole" / "out.trec")
    assert list(run) == list(first)
    assert [p.name for p in (home / "whole").iterdir()] == ["out.trec"], "nothing is left beside"
    for query_id in first:
        ids = first[query_id][0].tolist()
        ranked = reranker.rank(collection.queries[query_id], collection.texts(ids), ids)
        assert run[query_id][0].tolist() == [one.id for one in ranked]
        assert run[query_id][1].tolist() == pytest.approx([one.score for one in ranked], abs=1e-5)


def test_every_place_of_interruption_ends_in_the_same_file(tmp_path, finished, reranker, collection, first):
    """Whatever part of the file had reached the disk, down to the byte."""
    out = tmp_path / "out.trec"
    arguments = (reranker, collection, first, out)
    scored: list[int] = []
    real = reranker.rank_many

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    reranker.rank_many = stop
    try:
        with pytest.raises(KeyboardInterrupt):
            rerank_run(*arguments, block_docs=4)
    finally:
        del reranker.rank_many
    partial, manifest = Path(f"{out}.partial"), Path(f"{out}.partial.json")
    signature = manifest.read_text()

    def counted(queries, *args, **kwargs):
        scored.append(len(queries))
        return real(queries, *args, **kwargs)

    for cut in [*range(0, len(finished), 23), len(finished) - 1, len(finished)]:
        partial.write_bytes(finished[:cut])
        manifest.write_text(signature)
        scored.clear()
        reranker.rank_many = counted
        try:
            assert rerank_run(*arguments, block_docs=4) == 11
        finally:
            del reranker.rank_many
        assert out.read_bytes() == finished, cut
        assert not partial.exists()
        assert not manifest.exists()
        assert sum(scored) < 4 or cut < len(finished) / 2, "finished queries are not computed again"
    assert scored == []


def test_kill_9_in_the_middle_of_a_line(home, tmp_path, finished, reranker, collection, first):
    out = tmp_path / "out.trec"
    code = f"""
import os, signal
from ltr.data.candidates.sources import candidates
from ltr.data.collections.collection import load
from ltr.inference import run_reranking
from ltr.inference.reranker import Reranker

write = run_reranking.PartialRun.append
written = []

def killed(self, block, ranked):
    write(self, block, ranked)
    written.append(block)
    if len(written) == 2:
        os.truncate(self.path, os.path.getsize(self.path) - 9)
        os.kill(os.getpid(), signal.SIGKILL)

run_reranking.PartialRun.append = killed
collection = load({str(home / "data")!r})
reranker = Reranker.load({str(home / "model")!r}, device="cpu", precision="32")
run_reranking.rerank_run(reranker, collection, candidates(collection, "first"), {str(out)!r}, block_docs=4)
"""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    left = Path(f"{out}.partial").read_bytes()
    assert left
    assert not left.endswith(b"\n")
    rerank_run(reranker, collection, first, out, block_docs=4)
    ours, whole = read_run(out), finished.decode().splitlines()
    assert [line.split()[:4] for line in out.read_text().splitlines()] == [line.split()[:4] for line in whole]
    assert len(ours) == 4


def test_an_old_output_stays_until_the_new_one_is_whole(tmp_path, reranker, collection, first, monkeypatch):
    out = tmp_path / "out.trec"
    out.write_text("old")
    monkeypatch.setattr(reranker, "rank_many", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        rerank_run(reranker, collection, first, out)
    assert out.read_text() == "old"


def test_a_full_disk_is_told_and_the_same_call_goes_on(tmp_path, reranker, collection, first, finished, monkeypatch):
    out = tmp_path / "out.trec"

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    append = PartialRun.append

    def append_on_a_full_disk(self, block, ranked):
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            append(self, block, ranked)

    with monkeypatch.context() as patch:
        patch.setattr(PartialRun, "append", append_on_a_full_disk)
        with pytest.raises(DataError, match=r"out.trec: No space left on device; nothing was written"):
            rerank_run(reranker, collection, first, out, block_docs=4)
    rerank_run(reranker, collection, first, out, block_docs=4)
    assert out.read_bytes() == finished


@pytest.mark.parametrize("changed", ["model", "run", "dataset", "options"])
def test_other_inputs_are_refused(tmp_path, home, reranker, collection, first, changed, monkeypatch):
    out = tmp_path / "out.trec"
    monkeypatch.setattr(reranker, "rank_many", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rerank_run(reranker, collection, first, out)
    monkeypatch.undo()
    arguments = {"reranker": reranker, "collection": collection, "first": first, "output": out}
    if changed == "model":
        CrossEncoder(str(home / "model")).save(tmp_path / "other", ModelSettings(60, 20, interpolation=0.6))
        reranker = Reranker.load(tmp_path / "other", device="cpu", precision="32")
        arguments["reranker"] = Reranker(reranker.scorer, ModelSettings(60, 20, 0.5), "cpu", "32")
    elif changed == "run":
        arguments["first"] = first.top(1)
    elif changed == "dataset":
        other = write_tiny(tmp_path / "data")
        (other / "queries.tsv").write_text((other / "queries.tsv").read_text().replace("cat", "dog"))
        arguments["collection"] = load(str(other))
    else:
        arguments["top_k"] = 1
    with pytest.raises(DataError, match=rf"out\.trec\.partial was begun with another {changed}; give the same inputs"):
        rerank_run(**arguments)
    assert Path(f"{out}.partial").exists()


def test_reading_long_documents_otherwise_is_refused(tmp_path, reranker, collection, first, monkeypatch):
    out = tmp_path / "out.trec"
    ways = [{}, {"passages": "max"}, {"passages": "mean"}, {"passages": "max", "stride": 9}]
    ways.append({"passages": "max", "max_passages": 2})
    made = [Reranker(reranker.scorer, ModelSettings(40, 20), "cpu", "32", **way) for way in ways]
    for began in made:
        with monkeypatch.context() as patch:
            patch.setattr(began, "rank_many", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                rerank_run(began, collection, first, out)
        for other in made:
            if other is not began:
                with pytest.raises(
                    DataError, match=r"out\.trec\.partial was begun with another options; give the same"
                ):
                    rerank_run(other, collection, first, out)
        assert rerank_run(began, collection, first, out) == 11, "the same goes on"


def test_an_interrupted_run_of_passages_ends_in_the_same_file(tmp_path, home, reranker, first):
    folder = write_tiny(tmp_path / "long")
    records = [json.loads(line) for line in (folder / "docs.jsonl").read_text().splitlines()]
    lines = [json.dumps({**one, "text": one["text"] * (7 * i + 1)}) for i, one in enumerate(records)]
    (folder / "docs.jsonl").write_text("\n".join(lines) + "\n")
    collection = load(str(folder))
    ranker = Reranker(reranker.scorer, ModelSettings(40, 20), "cpu", "32", passages="max")
    whole, out = tmp_path / "whole.trec", tmp_path / "out.trec"
    rerank_run(ranker, collection, first, whole, block_docs=4)
    plain = Reranker(reranker.scorer, ModelSettings(40, 20), "cpu", "32")
    rerank_run(plain, collection, first, tmp_path / "plain.trec", block_docs=4)
    assert (tmp_path / "plain.trec").read_text().replace("plain", "whole") != whole.read_text()
    append = PartialRun.append

    def interrupted(self, block, ranked):
        append(self, block, ranked)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartialRun, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rerank_run(ranker, collection, first, out, block_docs=4)
    rerank_run(ranker, collection, first, out, block_docs=4)
    assert out.read_text().replace(" out\n", " whole\n") == whole.read_text()


def test_a_partial_file_without_its_manifest_is_refused(tmp_path):
    Path(tmp_path / "out.trec.partial").write_text("something")
    with pytest.raises(DataError, match="was begun with another model; give the same inputs"):
        PartialRun(tmp_path / "out.trec", {"model": "x"}, {})


def test_top_k_interpolation_and_compression(tmp_path, reranker, collection, first):
    rerank_run(reranker, collection, first, tmp_path / "out.trec.gz", top_k=2, interpolate=True)
    lines = gzip.decompress((tmp_path / "out.trec.gz").read_bytes()).decode().splitlines()
    assert len(lines) == 8
    assert lines[0].endswith(" out")
    assert [p.name for p in tmp_path.iterdir()] == ["out.trec.gz"]
    run = read_run(tmp_path / "out.trec.gz")
    for query_id in first:
        ids, scores = first[query_id]
        texts = collection.texts(ids.tolist())
        ranked = reranker.rank(collection.queries[query_id], texts, ids.tolist(), 2, scores.tolist(), True)
        assert run[query_id][1].tolist() == pytest.approx([one.score for one in ranked], abs=1e-5)


def test_a_compressed_file_depends_on_neither_time_nor_name(tmp_path, reranker, collection, first, monkeypatch):
    clock = [10**9]
    monkeypatch.setattr(gzip, "time", SimpleNamespace(time=lambda: clock[0]))
    files = [tmp_path / name / "out.trec.gz" for name in ("a", "b")]
    for file in files:
        rerank_run(reranker, collection, first, file)
        clock[0] += 60
    assert files[0].read_bytes() == files[1].read_bytes()
    assert read_run(files[0]).query_ids == list(first)


def test_two_processes_do_not_write_one_file(tmp_path, reranker, collection, first, finished):
    out = tmp_path / "new" / "out.trec"
    code = f"""
import sys
import threading
from ltr.inference.run_reranking import claimed
with claimed({str(out)!r}, "rerank"):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(
            DataError, match=r"rerank: another process is writing .*out\.trec; wait for it, or choose an"
        ):
            rerank_run(reranker, collection, first, out, block_docs=4)
        assert [p.name for p in out.parent.iterdir()] == ["out.trec.partial.lock"]
        other.stdin.close()
        assert other.wait(60) == 0
    rerank_run(reranker, collection, first, out, block_docs=4)
    assert out.read_bytes() == finished
    assert [p.name for p in out.parent.iterdir()] == ["out.trec"]


def test_a_lock_that_a_killed_process_left_holds_nobody_up(tmp_path):
    Path(f"{tmp_path}/out.trec.partial.lock").touch()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), claimed(tmp_path / "out.trec", "rerank"):
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_told_before_anything_is_computed(
    tmp_path, reranker, collection, first, monkeypatch
):
    monkeypatch.setattr(reranker, "rank_many", lambda *a, **k: pytest.fail("computed"))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"rerank: .* is a folder; give a file"):
        rerank_run(reranker, collection, first, tmp_path)
    with pytest.raises(DataError, match=r"cannot write .*/file/out.trec: File exists; nothing was written"):
        rerank_run(reranker, collection, first, tmp_path / "file" / "out.trec")


@pytest.mark.parametrize("name", ["out.trec", "out.trec.gz"])
def test_a_place_that_is_taken_meanwhile_is_told_and_nothing_is_lost(tmp_path, reranker, collection, first, name):
    out, finish = tmp_path / name, PartialRun.finish

    def taken(self):
        out.mkdir()
        finish(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartialRun, "finish", taken)
        with pytest.raises(DataError, match=r"cannot write .*out\.trec.*: Is a directory"):
            rerank_run(reranker, collection, first, out)
    out.rmdir()
    reranker.rank_many = None  # all is there already
    try:
        assert rerank_run(reranker, collection, first, out) == 11
    finally:
        del reranker.rank_many


def test_ids_that_could_not_be_read_again_are_refused_before_anything_is_computed(tmp_path, reranker, collection):
    run = Run.from_dict({"q1": {"d 1": 1.0}}, "mine")
    with pytest.raises(DataError, match="run mine: document id 'd 1' must be one word to be written in TREC form"):
        rerank_run(reranker, collection, run, tmp_path / "out.trec")


@pytest.mark.parametrize(("name", "tag"), [("my run.trec", "my_run"), ("a\u3000b\t.trec.gz", "a_b"), (".trec", "run")])
def test_the_tag_is_one_word(tmp_path, name, tag):
    assert PartialRun(tmp_path / name, {}, {}).tag == tag


def test_a_query_without_text_is_named(tmp_path, reranker, collection, first):
    collection = load(collection.name)
    collection.queries["q3"] = " "
    with pytest.raises(DataError, match="query q3 must be a text that is not empty, got ' '"):
        rerank_run(reranker, collection, first, tmp_path / "out.trec")


def test_a_score_that_is_not_finite_names_query_and_document(tmp_path, home, collection, first):
    scorer = CrossEncoder(str(home / "model"))
    scorer.model.classifier.bias.data.fill_(float("nan"))
    broken = Reranker(scorer, ModelSettings(60, 20), "cpu", "32")
    with pytest.raises(DataError, match="query q1, document d2: the model's score is nan"):
        rerank_run(broken, collection, first, tmp_path / "out.trec")


def test_blocks_hold_whole_queries_and_depend_on_the_run_alone():
    run = Run.from_dict({f"q{i}": {f"d{j}": -float(j) for j in range(i)} for i in range(1, 6)})
    assert blocks_of(run, 4) == [["q1", "q2", "q3"], ["q4"], ["q5"]]
    assert blocks_of(Run.from_dict({})) == []


def test_the_models_signature_follows_its_content(home, tmp_path):
    first = model_signature(home / "model")
    (tmp_path / "copy").mkdir()
    for file in (home / "model").iterdir():
        (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    assert model_signature(tmp_path / "copy") == first
    settings = json.loads((tmp_path / "copy" / "ltr.json").read_text())
    (tmp_path / "copy" / "ltr.json").write_text(json.dumps({**settings, "max_length": 50}))
    assert (before := model_signature(tmp_path / "copy")) != first
    (tmp_path / "copy" / "2_Dense").mkdir()
    (tmp_path / "copy" / "2_Dense" / "model.safetensors").write_bytes(b"a layer behind the encoder")
    assert model_signature(tmp_path / "copy") != before
    own = model_signature(tmp_path / "copy")
    (tmp_path / "copy" / "1_Dense").mkdir()
    (tmp_path / "copy" / "1_Dense" / "model.safetensors").write_bytes(b"a projection lies in a folder of its own")
    assert (own := model_signature(tmp_path / "copy")) not in (before, first)
    (tmp_path / "copy" / "chat_template.jinja").write_text("what a language model reads of texts depends on it")
    assert model_signature(tmp_path / "copy") != own
    assert model_signature("some/hub-id") == "some/hub-id"


def test_what_no_file_can_stand_beside_gets_the_lines_as_they_are_ready(
    tmp_path, finished, reranker, collection, first
):
    """A device must not get .partial files beside it, nor a pipe's reader wait for ever."""
    place, found = tmp_path / "out.trec", []
    os.mkfifo(place)
    reader = threading.Thread(target=lambda: found.append(place.read_bytes()), daemon=True)
    reader.start()
    assert rerank_run(reranker, collection, first, place, block_docs=4) == 11
    reader.join(timeout=20)
    assert found == [finished]
    assert os.listdir(tmp_path) == ["out.trec"]


def test_where_a_link_points_the_run_is_written_and_the_link_stays(tmp_path, finished, reranker, collection, first):
    (tmp_path / "far").mkdir()
    (tmp_path / "out.trec").symlink_to(tmp_path / "far" / "real.trec")
    assert rerank_run(reranker, collection, first, tmp_path / "out.trec", block_docs=4) == 11
    assert (tmp_path / "out.trec").is_symlink()
    assert (tmp_path / "far" / "real.trec").read_bytes() == finished
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["far", "out.trec", "real.trec"]
