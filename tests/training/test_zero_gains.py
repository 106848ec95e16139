"""Lists whose labels are all 0 have no gain, whatever scaling and rounding make of a 0."""

import numpy as np
import pandas as pd

from ltr.data import EngagementData
from ltr.inference.scoring import Scored
from ltr.metrics import evaluate_labels
from ltr.training.scored import predictions_of


def written(path, rows):
    pd.DataFrame(rows, columns=["list_id", "item_id", "seconds"]).assign(x=1.0).to_csv(path, index=False)
    return str(path)


def test_lists_without_gain_count_0(tmp_path):
    """Six of twelve dev lists are all 0; where the sum of the others is 1 each, the mean is one half."""
    train = written(tmp_path / "train.csv", [(f"t{i}", j, 7.0 * j + i) for i in range(3) for j in range(4)])
    dev = written(tmp_path / "dev.csv", [(f"d{i}", j, 9.0 * (i % 2) * j) for i in range(12) for j in range(2)])
    data = EngagementData(train=train, dev=dev, standardise_label=True)
    whole = data.whole("dev")
    undone = data.target.back(whole.labels.numpy())
    assert 0 < undone[0] < 1e-6, "the trap: scaled, rounded and scaled back, a 0 would be a gain above 0"
    scored = [Scored(q, whole.doc_ids[2 * i : 2 * i + 2], np.array([0.0, 1.0])) for i, q in enumerate(whole.query_ids)]
    truth = predictions_of("dev", scored, [], data.part("dev"))[1]
    assert truth.gains.tolist() == [0.0, 9.0 * 0, 0.0, 9.0] * 6
    found = evaluate_labels(np.tile([0.0, 1.0], 12), truth, "ndcg_label@10")
    assert found["ndcg_label@10"] == 0.5
