import subprocess
import sys

import numpy as np
import pytest

import ltr.data
from ltr.batch import TextLists
from ltr.errors import ShapeError


def test_public_names_exist():
    assert sorted(ltr.data.__all__) == dir(ltr.data) == sorted(ltr.data._HOMES)
    for name in ltr.data.__all__:
        assert getattr(ltr.data, name).__name__ == name


def test_what_a_process_that_loads_batches_unpickles_imports_no_lightning():
    code = (
        "import sys, ltr.data.tokens.passage_encoder, ltr.data.features.table, ltr.data.lists.loaders, ltr.data.lists.pools;"
        "ltr.data.lists.pools.said([]); sys.exit('pytorch_lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_names_are_told_what_there_is():
    with pytest.raises(
        AttributeError,
        match=r"'ltr.data' has no attribute 'Textdata'; did you mean 'TextData'\?",
    ):
        _ = ltr.data.Textdata


@pytest.mark.parametrize(
    ("bounds", "labels", "given"),
    [([0, 1], None, "lists hold 1, with no labels"), ([0, 2], [1.0], "lists hold 2, with 1 labels")],
)
def test_batches_whose_parts_do_not_fit(bounds, labels, given):
    ids = np.zeros(5, np.int64)
    with pytest.raises(ShapeError, match=f"TextLists: 2 documents are encoded, but the {given}"):
        TextLists.of(ids, ids, np.array([0, 2, 5]), np.array(bounds), None if labels is None else np.array(labels))
