"""Scores of rows in pandas, and a function for DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ltr.errors import DataError, MissingExtra
from ltr.integrations.rankers import Model, ranker_of, scores_of_rows
from ltr.io.names import suggestion

if TYPE_CHECKING:
    import pandas as pd


def scored(
    frame: pd.DataFrame,
    model: Model,
    query: str = "query",
    text: str = "text",
    into: str = "score",
    probability: bool = False,
) -> pd.DataFrame:
    """A copy of a table with a column of scores; its rows stay where they are.

    Args:
        frame: one row for each query and document.
        model: see ``ltr.integrations.rankers.Model``.
        query, text: columns with the texts of both.
        into: the column of scores, float64.
        probability: see ``Reranker.rank``.

    Raises:
        DataError: a column that is not there, an empty query, a cell that is no text.
    """
    for name in (query, text):
        if name not in frame.columns:
            raise DataError(
                f"scored: no column {name!r} in the table; {suggestion(name, list(map(str, frame.columns)))}"
            )
    queries, texts = frame[query].tolist(), frame[text].tolist()
    return frame.assign(**{into: scores_of_rows(ranker_of(model), queries, texts, probability)})


def ranked(
    frame: pd.DataFrame,
    model: Model,
    query: str = "query",
    text: str = "text",
    into: str = "score",
    top_k: int | None = None,
    probability: bool = False,
) -> pd.DataFrame:
    """``scored``, with a column ``rank`` from 1, queries in the order in which they come and each query's best rows first.

    Args:
        frame, model, query, text, into, probability: see ``scored``.
        top_k: rows of a query to keep; None for all.
    """
    found = scored(frame, model, query, text, into, probability)
    found["rank"] = found.groupby(query, sort=False)[into].rank(ascending=False, method="first").astype(int)
    place = found.groupby(query, sort=False).ngroup()
    order = np.lexsort((found["rank"], place))
    found = found.iloc[order]
    return found if top_k is None else found[found["rank"] <= top_k]


def add_to_duckdb(connection: Any, model: Model, name: str = "ltr_score", probability: bool = False) -> None:
    """Give a DuckDB connection a function of a query and a text: ``SELECT ltr_score(query, body) FROM docs``.

    Rows go through the model as many at a time as DuckDB hands over. Where either text is NULL, so is the score.

    Args:
        connection: of ``duckdb.connect()``.
        model: see ``ltr.integrations.rankers.Model``.
        name: of the function.
        probability: see ``Reranker.rank``.

    Raises:
        MissingExtra: duckdb is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise MissingExtra("duckdb", "duckdb", "to score in SQL") from None
    import pyarrow

    ranker = ranker_of(model)

    def score(queries: Any, texts: Any) -> Any:
        found = scores_of_rows(ranker, queries.to_pylist(), texts.to_pylist(), probability)
        return pyarrow.array(found, pyarrow.float64())

    kind = duckdb.sqltypes.VARCHAR
    connection.create_function(name, score, [kind, kind], duckdb.sqltypes.DOUBLE, type="arrow")
