"""``ltr predict``: what a trained scorer on features says of new documents, in the unit of the labels."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ltr.cli.command import beside_output, check_outputs, run, talk

if TYPE_CHECKING:
    from ltr.data.features.unlabelled import Unlabelled
    from ltr.inference.feature_ranker import FeatureRanker

log = logging.getLogger(__name__)


def predict(
    data: str,
    /,
    *,
    model: str,
    output: str = "-",
    list_id: str | None = None,
    item_id: str | None = None,
    device: str = "auto",
    allow: list[str] | None = None,
) -> None:
    """Predict the labels of documents with features, as a CSV table in the order of the file.

    It holds list and item where the data name them (else the line), the prediction in the unit of the labels (such as
    seconds, as a column predicted_seconds) where the model learnt a transform of them, and the score, which is what was
    learnt; larger is better. Columns are found by the names that the features had in training. Labels are not needed.

    Examples:
      ltr predict new.csv --model runs/log/best
      ltr predict new.parquet --model runs/log/best --output predicted.csv

    Args:
        data: a table with named columns (.csv, .tsv, .parquet), or an SVMlight file; packed or not.
        model: the folder of a scorer on features, such as runs/log/best.
        output: the table to write; - is standard output.
        list_id: column of the list, which scorers with attention look at as a whole (default: that of the training, where
            there is one).
        item_id: column of the document (default: likewise).
        device: auto, cpu, cuda, cuda:1 ...
        allow: packages, or classes by their import paths, that the model may name as its scorer; those of ltr it may anyway.
    """
    talk()
    check_outputs({"--output": output}, [data, model])
    from ltr.io.sources import Source

    Source(data, "data")  # before torch is loaded
    from ltr.data.features.unlabelled import read_unlabelled
    from ltr.inference.feature_ranker import FeatureRanker
    from ltr.io.files import replacing

    ranker = FeatureRanker.load(model, device, allow or ())
    known = ranker.settings
    new = read_unlabelled(data, known.feature_names, known.n_features, list_id, item_id, known.reading)
    if new.lists is None and ranker.scorer.looks_at_lists and len(new.lines) > 1:
        log.warning(
            "predict: %s names no lists, so that its %d documents are scored as one, and %s looks at lists as a whole: name "
            "the column of the list with --list-id, as in training",
            *(data, len(new.lines), type(ranker.scorer).__name__),
        )
    table = columns(ranker, new)
    with replacing(output) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(table)
        rows.writerows(zip(*table.values(), strict=True))
    unit = next(iter([name for name in table if name.startswith("predicted")]), "score")
    print(f"{output}: {unit} of {len(new.lines):,} documents", file=beside_output(output))


def columns(ranker: FeatureRanker, new: Unlabelled) -> dict[str, Sequence[str]]:
    """Name -> column of the table."""
    import numpy as np

    order, sizes = new.grouped()
    scores = np.empty(len(order), np.float32)
    scores[order] = ranker.scores(new.features[order], sizes.tolist())
    table: dict[str, Sequence[str]] = {}
    if new.lists is not None:
        table["list_id"] = new.lists.tolist()
    if new.items is not None:
        table["item_id"] = new.items.tolist()
    if new.items is None:
        table["line"] = list(map(str, new.lines.tolist()))
    if ranker.target is not None:
        amounts = ranker.target.back(scores)
        table[f"predicted_{ranker.settings.unit or 'label'}"] = [f"{amount:.9g}" for amount in amounts.tolist()]
    # nine digits tell any two float32 numbers apart: fewer would make ties of scores that differ
    table["score"] = [f"{score:.9g}" for score in scores.tolist()]
    return table


def main(argv: Sequence[str]) -> None:
    return run(predict, argv, prog="ltr predict", short={"output": "-o", "model": "-m"})
