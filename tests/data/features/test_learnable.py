"""Training labels that teach nothing are refused or named, and so are features that hold the label."""

import numpy as np
import pytest

from ltr.data import EngagementData, LetorData
from ltr.errors import DataError


def written(tmp_path, rows):
    path = tmp_path / "train.txt"
    path.write_text("".join(f"{label} qid:{q} 1:{x}\n" for q, label, x in rows))
    return str(path)


@pytest.mark.parametrize("label", [0, 2])
def test_equal_labels_are_refused_at_the_start_of_training(tmp_path, label):
    path = written(tmp_path, [("a", label, 1), ("a", label, 2), ("b", label, 3)])
    for data in (LetorData(train=path, dev=path), EngagementData(train=path)):
        with pytest.raises(
            DataError, match=rf"train.txt: all 3 training labels are {label}, so there is nothing to learn"
        ):
            data.setup("fit")
    LetorData(dev=path).setup("validate")


def test_lists_that_teach_nothing_are_counted(tmp_path, caplog):
    path = written(
        tmp_path, [("a", 0, 1), ("a", 0, 2), ("b", 1, 3), ("c", 0, 5), ("c", 1, 2), ("d", 2, 2), ("d", 0, 2)]
    )
    LetorData(train=path).setup("fit")
    assert caplog.messages == [
        f"{path}: 2 of 4 training lists (50%) have one label for all documents, 1 of them a single document: losses of pairs "
        "and lists learn nothing from these"
    ]


@pytest.mark.parametrize("of", [lambda y: y, np.log1p, lambda y: -3 * y, lambda y: y**3 + 1])
def test_a_feature_that_is_the_label_is_named(tmp_path, caplog, of):
    labels = np.random.default_rng(0).integers(0, 9, 2000)
    (tmp_path / "log.csv").write_text(
        "q,d,s,other,copy\n"
        + "".join(f"q{i // 10},{i},{y},{(i * 7) % 31},{of(y)}\n" for i, y in enumerate(labels.tolist()))
    )
    settings = {"list_id": "q", "item_id": "d", "label": "s"}
    EngagementData(train=str(tmp_path / "log.csv"), **settings).setup("fit")
    assert [message.split("the feature ")[1].split()[0] for message in caplog.messages] == ["copy"]


def test_a_feature_that_errs_once_is_no_copy(tmp_path, caplog):
    rows = [(f"q{i // 4}", i % 4, i % 4) for i in range(4000)]
    rows[1234] = (rows[1234][0], rows[1234][1], 3.5)
    LetorData(train=written(tmp_path, rows)).setup("fit")
    assert caplog.messages == []
