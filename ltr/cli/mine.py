"""``ltr mine``: hard negatives from a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from ltr.cli.command import check_outputs, shell, talk
from ltr.cli.command import run as run_command
from ltr.cli.judged import inputs_of
from ltr.errors import ConfigError
from ltr.machine.loudness import shows_bars

if TYPE_CHECKING:
    from ltr.data.candidates.mining import Mined
    from ltr.data.collections.collection import Collection

#: endings of what can be written
ENDINGS = (".trec", ".trec.gz", ".tsv", ".tsv.gz", ".parquet")


def mine(
    run: str,
    dataset: str,
    output: list[str],
    teacher: str | None = None,
    skip: int = 10,
    depth: int = 100,
    max_score: float | None = None,
    margin: float | None = None,
    relative_margin: float | None = None,
    per_query: int | None = None,
    choose: Literal["random", "top"] = "random",
    min_grade: int = 1,
    seed: int = 0,
) -> None:
    """Mine hard negatives: documents that a run finds, and that are not relevant as far as judgements and a teacher tell.

    A candidate falls when it is judged relevant, when it has the same words as a relevant document (under another id),
    by its rank (--skip, --depth), or by the scores of a teacher: above --max-score, or too near to the relevant
    document that the teacher likes least (--margin, --relative-margin). How many fell to each is printed.

    Written are, by the ending of --output: a run (.trec), or triples of ids, query TAB relevant TAB negative (.tsv),
    either of which ltr fit takes as --data.train_candidates; the texts of these as anchor, positive, negative (.parquet),
    which sentence-transformers trains on.

    Example: ltr mine --run bm25 --dataset my/train --teacher taught.trec --margin 0.5 --per-query 8 --output mined.trec

    Args:
        run: a TREC run file, bm25, or the name of a folder's run.
        dataset: queries, judgements and texts: an ir-datasets id, a folder, pydocs/train.
        output: one or more files.
        teacher: a run with a teacher's scores of candidates and of relevant documents (ltr rerank --with-judged).
        skip: leave out the first so many ranks.
        depth: leave out what stands below this rank.
        max_score: leave out what the teacher scores higher.
        margin: a negative scores at least so much less than the relevant documents.
        relative_margin: the same as a share of the relevant document's score, such as 0.05.
        per_query: so many negatives of each query at most (default: all).
        choose: which of more: random ones by --seed, or the top of the run.
        min_grade: judged documents from this grade on are relevant.
        seed: of the choice; the same seed gives the same bytes.
    """
    talk()
    from ltr.data.candidates.mining import Mining
    from ltr.data.candidates.mining import mine as mined_from

    settings = Mining(skip, depth, max_score, margin, relative_margin, per_query, choose, min_grade, seed)
    for path in output:
        if not path.endswith(ENDINGS):
            raise ConfigError(f"--output {path}: what is written follows from its ending: {', '.join(ENDINGS)}")
        check_outputs({"--output": path}, [run, teacher, *inputs_of(dataset)])
    if len(set(output)) < len(output):
        raise ConfigError(f"--output names a file twice: {' '.join(output)}")
    from ltr.data.candidates.sources import candidates
    from ltr.data.collections.collection import load

    collection = load(dataset)
    found = candidates(collection, run, depth, progress=shows_bars())
    taught = None if teacher is None else candidates(collection, teacher, 10**9)
    mined = mined_from(collection, found, settings, taught)
    for line in report(mined, settings.per_query):
        print(line)
    for path in output:
        _write(path, mined, collection)
        print(f"{path}: {len(mined.run.scores):,} negatives for {len(mined.run):,} queries of {dataset}")
    runs = [path for path in output if path.endswith((".trec", ".trec.gz", ".tsv", ".tsv.gz"))]
    if runs:
        print("next: ltr fit --config folder " + shell(f"--data.train={dataset}", f"--data.train_candidates={runs[0]}"))


def report(mined: Mined, per_query: int | None) -> Iterator[str]:
    """What fell to each filter, and which queries have too few, a line each."""
    n = mined.candidates
    yield f"{n:,} candidates of {len(mined.run) + len(mined.none):,} queries with relevant documents"
    for name, count in mined.fell.items():
        if count:
            yield f"  fell to {name:<24}{count:>10,}  {count / n:6.1%}"
    if mined.spared:
        yield f"  more than --per-query asks for  {mined.spared:>10,}  {mined.spared / n:6.1%}"
    yield f"  negatives                       {len(mined.run.scores):>10,}  {len(mined.run.scores) / n:6.1%}"
    for those, what in (
        (mined.few, f"queries with fewer than {per_query} negatives: they keep what they have"),
        (mined.none, "queries without a negative: they are left out"),
        (mined.untaught, "of these the teacher scored no relevant document, so that no margin can be told"),
        (mined.absent, "queries that the run does not hold: they are left out"),
        (mined.unasked, "queries without a relevant document: they were not looked at"),
        (mined.lost, "relevant documents are not in the collection: they are left out"),
    ):
        if those:
            yield f"{len(those):,} {what} ({', '.join(those[:3])}{', …' if len(those) > 3 else ''})"


def _write(path: str, mined: Mined, collection: Collection) -> None:
    from ltr.io.trec import plain_or_compressed, write_run

    if path.endswith((".trec", ".trec.gz")):
        write_run(path, mined.run)
    elif path.endswith(".parquet"):
        _write_texts(path, mined, collection)
    else:
        with plain_or_compressed(path) as file:
            file.writelines("\t".join(triple) + "\n" for triple in mined.triples())


def _write_texts(path: str, mined: Mined, collection: Collection) -> None:
    import pandas as pd

    from ltr.io.files import beside

    triples = list(mined.triples())
    ids = list(dict.fromkeys(doc_id for _, *docs in triples for doc_id in docs))
    texts = dict(zip(ids, collection.texts(ids), strict=True))
    rows = [(collection.queries[q], texts[positive], texts[negative]) for q, positive, negative in triples]
    table = pd.DataFrame(rows, columns=["anchor", "positive", "negative"], dtype=object)
    with beside(path) as part:
        table.to_parquet(part, engine="pyarrow", index=False)


def main(argv: Sequence[str]) -> None:
    run_command(mine, argv, prog="ltr mine", short={"run": "-r", "output": "-o"})
