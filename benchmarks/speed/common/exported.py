"""The model of the benchmarks on 8-bit integers, by ``ltr export``, on texts of the same kind and queries of its own."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from common.texts import questions

#: queries to calibrate and check on, and passages of each
QUERIES, DOCS, CALIBRATION = 320, 25, 20


def exported(model: Path, max_length: int, quick: bool = False) -> Path:
    """The folder of the exported model, beside the model's files; made when it is not there yet.

    Raises:
        LtrError: the export misses its tolerance (tau .97, nDCG@10 .002; none with ``quick``).
    """
    from ltr.cli.export import export
    from ltr.scorers.cpu.quantised import FILE

    folder = model / ("int8-quick" if quick else "int8")
    if (folder / FILE).is_file():
        return folder
    print("exporting the model to 8-bit integers, some minutes …", file=sys.stderr)
    n_queries, calibration = (12, 4) if quick else (QUERIES, CALIBRATION)
    options = {"min_tau": -0.99, "max_ndcg_change": 1.0} if quick else {}
    with tempfile.TemporaryDirectory() as data:
        write_collection(Path(data), n_queries, 8 if quick else DOCS)
        export(
            str(model), data, str(folder), run="first", depth=DOCS, calibration=calibration, max_length=max_length, **options
        )  # fmt: skip
    return folder


def write_collection(folder: Path, n_queries: int, n_docs: int) -> None:
    """A plain folder of queries that the benchmark does not ask, with the right passage of each as its judgement."""
    with (
        open(folder / "docs.jsonl", "w") as docs,
        open(folder / "queries.tsv", "w") as queries,
        open(folder / "qrels.trec", "w") as qrels,
        open(folder / "run.first.trec", "w") as run,
    ):
        for i, asked in enumerate(questions(n_queries, n_docs, "test", seed=7)):
            queries.write(f"q{i}\t{asked.query}\n")
            qrels.write(f"q{i} 0 q{i}d{asked.positive} 1\n")
            for j, text in enumerate(asked.docs):
                docs.write(json.dumps({"doc_id": f"q{i}d{j}", "text": text}) + "\n")
                run.write(f"q{i} Q0 q{i}d{j} {j + 1} {n_docs - j} first\n")
