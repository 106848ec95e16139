"""Models and run folders that an earlier version saved still open, and its interrupted trainings still go on."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ltr import Reranker
from ltr.cli.main import main
from ltr.inference import FeatureRanker
from ltr.io.trec import read_run
from ltr.training.run.records import read_manifest, read_metrics
from tests.conftest import DOCS, QUERIES
from tests.packing import needs_new_tokenizers

SAVED = Path(__file__).parent / "saved"
VERSIONS = sorted(p.name for p in SAVED.iterdir() if p.is_dir())

# what Lightning says about tiny loaders and short trainings is not news here
pytestmark = pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*")


@pytest.fixture(params=VERSIONS)
def saved(request, tmp_path, monkeypatch) -> Path:
    """A copy of what a version left, as the current folder."""
    folder = tmp_path / request.param
    shutil.copytree(SAVED / request.param, folder)
    monkeypatch.chdir(folder)
    return folder


@needs_new_tokenizers
def test_a_saved_reranker_gives_the_scores_that_it_gave_in_training(saved):
    # the run of the validation after which the model was kept (whole numbers of steps: no other touched it)
    run = read_run(saved / "interrupted/text/dev/best.trec")
    reranker = Reranker.load("interrupted/text/best", device="cpu", precision="32")
    for query_id in run.query_ids:
        docs, scores = run[query_id]
        texts = [" ".join(filter(None, DOCS[doc_id])) for doc_id in docs.tolist()]
        found = {hit.index: hit.score for hit in reranker.rank(QUERIES[query_id], texts)}
        np.testing.assert_allclose([found[i] for i in range(len(texts))], scores, atol=2e-6)


def test_a_saved_feature_scorer_gives_the_scores_that_it_gave_in_training(saved):
    run = read_run(saved / "interrupted/features/dev/best.trec")
    rows = [line.split(",") for line in (saved / "log.csv").read_text().splitlines()[1:]]
    features = {(r[0], r[1]): [float(r[2]), float(r[3])] for r in rows}
    ranker = FeatureRanker.load("interrupted/features/best")
    for query_id in run.query_ids:
        docs, scores = run[query_id]
        found = ranker.scores(np.array([features[query_id, doc_id] for doc_id in docs.tolist()], np.float32))
        np.testing.assert_allclose(found, scores, atol=2e-6)


@pytest.mark.parametrize("name", [pytest.param("text", marks=needs_new_tokenizers), "features"])
def test_an_interrupted_training_ends_as_if_nothing_had_stopped_it(saved, name, capsys):
    folder = saved / "interrupted" / name
    assert main(["fit", "--resume", str(folder)]) == 0
    assert read_manifest(folder)["status"] == "finished"
    for validation in sorted((saved / "whole" / name / "dev").glob("step=*.trec")):
        ours, theirs = read_run(folder / "dev" / validation.name), read_run(validation)
        assert ours.query_ids == theirs.query_ids
        for query_id in theirs.query_ids:
            pairs = zip(ours[query_id], theirs[query_id], strict=True)
            ids, scores = next(pairs), next(pairs)
            assert ids[0].tolist() == ids[1].tolist()
            np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)
    names = ("step", "epoch", "train/loss")
    courses = [[[row.get(n) for n in names] for row in read_metrics(at, 99)] for at in (folder, saved / "whole" / name)]
    assert [row[:2] for row in courses[0]] == [row[:2] for row in courses[1]]
    np.testing.assert_allclose([r[2] for r in courses[0]], [r[2] for r in courses[1]], atol=1e-5)
