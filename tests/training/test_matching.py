"""What a model trained on texts must know of them: validation and the saved model read them alike."""

import json

import numpy as np
import pytest
import torch

from ltr.data.text.text_data import TextData
from ltr.data.tokens.passages import Reading
from ltr.inference.reranker import Reranker
from ltr.inference.scoring import score_run
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.training.matching import settings_of


@pytest.mark.parametrize(
    "reading", [Reading(), Reading("max"), Reading("mean", stride=6), Reading("max", 9, 2)], ids=str
)
def test_a_saved_model_scores_as_validation_did(tiny_folder, tiny_model, reading):
    records = [json.loads(line) for line in (tiny_folder / "docs.jsonl").read_text().splitlines()]
    texts = {one["doc_id"]: {**one, "text": one["text"] * (i + 1)} for i, one in enumerate(records)}
    (tiny_folder / "docs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in texts.values()))
    data = TextData(
        dev=str(tiny_folder), dev_candidates="first", max_length=40, max_query_length=20, tokenizer=str(tiny_model),
        reading=reading,
    )  # fmt: skip
    data.prepare_data()
    data.setup()
    torch.manual_seed(1)
    scorer = CrossEncoder(str(tiny_model))
    run = score_run(scorer, data.val_dataloader(), device="cpu", precision="32")
    settings = settings_of(scorer, data)
    assert (settings.passages, settings.stride, settings.max_passages) == tuple(vars(reading).values())
    ranker = Reranker(scorer, settings, "cpu", "32")
    queries = dict(line.split("\t") for line in (tiny_folder / "queries.tsv").read_text().splitlines())
    assert len(run) == 4
    for query in run:
        ids, scores = run[query]
        np.testing.assert_allclose(scores, ranker.score([(queries[query], texts[doc]) for doc in ids]), atol=1e-5)
