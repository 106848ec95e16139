"""PyTerrier: a trained ranker as a stage of a pipeline, and a first stage on any collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ltr.errors import DataError, MissingExtra
from ltr.integrations.rankers import Model, ranker_of, scores_of

if TYPE_CHECKING:
    import pandas as pd

try:
    import pyterrier as pt
except ImportError:
    raise MissingExtra("pyterrier", "pyterrier", "to rank in its pipelines") from None


def _check_queries(frame: pd.DataFrame) -> None:
    """Raise DataError where a row has no query id, or an id stands for two texts: documents would get another's scores."""
    missing = frame["qid"].isna().to_numpy(bool)
    if missing.any():
        raise DataError(f"pyterrier: row {int(np.argmax(missing))} has no qid; every row needs one")
    texts: dict[str, str] = {}
    for qid, text in frame[["qid", "query"]].drop_duplicates().itertuples(index=False):
        if texts.setdefault(str(qid), text) != text:
            raise DataError(
                f"pyterrier: qid {qid} stands for two queries, {texts[str(qid)]!r:.60} and {text!r:.60}; give each its own"
            )


class Rerank(pt.Transformer):
    """Scores and ranks the documents of each query anew: ``bm25 >> pt.text.get_text(dataset) >> Rerank("runs/demo/best")``.

    All queries of a frame go through the model together. Other columns stay, and so does the frame that was given.

    Args:
        model: see ``ltr.integrations.rankers.Model``.
        text_field: the column of documents' texts.
        probability: see ``Reranker.rank``.

    Raises:
        DataError: from a frame with a row without a qid, or with a qid that stands for two queries.
    """

    def __init__(self, model: Model, text_field: str = "text", probability: bool = False):
        super().__init__()
        self.model, self.text_field, self.probability = model, text_field, probability
        self.ranker = ranker_of(model)

    def __repr__(self) -> str:
        return f"ltr.Rerank({self.model!r})"

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """The frame with new scores and ranks, which begin at 0 as everywhere in PyTerrier."""
        pt.validate.columns(inp, includes=["qid", "query", "docno", self.text_field])
        _check_queries(inp)
        found = inp.drop(columns=["score", "rank"], errors="ignore").copy()
        groups = found.groupby("qid", sort=False).indices
        queries = [found["query"].iloc[places[0]] for places in groups.values()]
        texts = [found[self.text_field].iloc[places].tolist() for places in groups.values()]
        scores = scores_of(self.ranker, queries, texts, self.probability, list(map(str, groups)))
        column = np.empty(len(found))
        for places, own in zip(groups.values(), scores, strict=True):
            column[places] = own
        found["score"] = column
        return pt.model.add_ranks(found)


class Retrieve(pt.Transformer):
    """BM25 of ltr over a collection, with the texts of what it finds: ``Retrieve("pydocs/test") >> Rerank(...)``.

    Args:
        dataset: an ir-datasets id, pydocs, or a folder.
        k: documents per query.
    """

    def __init__(self, dataset: str, k: int = 100):
        super().__init__()
        from ltr.data.collections.collection import load

        self.dataset, self.k = dataset, k
        self.collection = load(dataset)

    def __repr__(self) -> str:
        return f"ltr.Retrieve({self.dataset!r})"

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """One row for each document that was found; what else a query's row holds goes along."""
        import pandas as pd

        from ltr.data.candidates.sources import retrieve
        from ltr.data.tokens.pairs import readable

        pt.validate.query_frame(inp, extra_columns=["query"])
        _check_queries(inp)
        queries = dict(zip(inp["qid"].astype(str), inp["query"], strict=True))
        run = retrieve(self.collection, queries, self.k)
        rows: dict[str, list] = {"qid": [], "docno": [], "score": [], "text": []}
        for qid in run:
            docs, scores = run[qid][0].tolist(), run[qid][1].tolist()
            rows["qid"] += [qid] * len(docs)
            rows["docno"] += docs
            rows["score"] += scores
            rows["text"] += map(readable, self.collection.texts(docs))
        found = pd.DataFrame({**rows, "score": np.asarray(rows["score"], np.float64)}).astype({"qid": str})
        kept = inp.drop(columns=["docno", "score", "rank", "text"], errors="ignore").astype({"qid": str})
        return pt.model.add_ranks(kept.merge(found, on="qid"))

    def topics(self) -> pd.DataFrame:
        """The collection's queries, as ``pt.Experiment`` takes them."""
        import pandas as pd

        queries = self.collection.queries
        return pd.DataFrame({"qid": list(queries), "query": list(queries.values())})

    def qrels(self) -> pd.DataFrame:
        """The collection's judgements, as ``pt.Experiment`` takes them."""
        import pandas as pd

        rows = [(q, d, grade) for q, own in self.collection.qrels.items() for d, grade in own.items()]
        return pd.DataFrame(rows, columns=["qid", "docno", "label"])
