"""``ltr rerank``: reorder candidates with a trained model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ltr.cli.command import at_least, beside_output, check_outputs, shell, talk
from ltr.cli.command import run as run_command
from ltr.cli.judged import inputs_of
from ltr.errors import ConfigError, DataError
from ltr.io.parsing.strict_json import from_json
from ltr.io.streams import is_stream
from ltr.machine.loudness import shows_bars

if TYPE_CHECKING:
    from ltr.inference.documents import Ranked
    from ltr.inference.reranker import Reranker
    from ltr.inference.run_reranking import Ranking
    from ltr.io.runs import Run


class Cluster(NamedTuple):
    """Where a run is reranked in place of this process; see the options of the same names."""

    address: str
    workers: int | None
    device: str
    model: str
    allow: tuple[str, ...]
    batch_tokens: int | Literal["auto"] | None

    def ranking(
        self,
        reranker: Reranker,
        dataset: str,
        first: Run,
        top_k: int | None,
        mixing: bool | float,
        probable: bool,
    ) -> Ranking:
        """What ranks there as ``reranker`` does here."""
        from ltr.integrations.ray_data import Model, OnRay, Workers

        model = Model.like(self.model, reranker, self.device, self.allow, self.batch_tokens)
        workers = Workers(self.workers, self.device)
        return OnRay(self.address, workers, model, dataset, first, top_k, mixing, probable)


def rerank(
    model: str,
    dataset: str | None = None,
    run: str | None = None,
    output: str | None = None,
    query: str | None = None,
    depth: int = 100,
    top_k: int | None = None,
    interpolate: bool = False,
    weight: float | None = None,
    scores: Literal["raw", "probability"] = "raw",
    with_judged: bool = False,
    batch_tokens: int | Literal["auto"] | None = None,
    max_length: int | None = None,
    max_query_length: int | None = None,
    passages: Literal["first", "max", "mean"] | None = None,
    stride: int | None = None,
    max_passages: int | None = None,
    device: str = "auto",
    precision: Literal["auto", "32", "bf16"] = "auto",
    allow: list[str] | None = None,
    ray: str | None = None,
    workers: int | None = None,
) -> None:
    """Reorder documents with a trained model, in one of three ways.

    A run:      ltr rerank --model M --dataset NAME --run bm25.trec --output ours.trec
                Finished queries are kept beside the output; the same command goes on after an interruption.
    One query:  ltr rerank --model M --dataset NAME --query "join two paths"
                Retrieves with BM25, reranks, and prints the best documents.
    A stream:   ltr rerank --model M < queries.jsonl > ranked.jsonl
                A line that cannot be ranked comes out with its reason under "error", and the next is read.
                Each line {"query": "...", "docs": ["...", ...]}, perhaps with "ids" and "first_scores"; a document
                may be {"title": "...", "text": "..."}.

    Args:
        model: folder (such as runs/demo/best) or hub id of a cross-encoder.
        dataset: an ir-datasets id, pydocs, or a folder: where queries and texts are.
        run: first stage: a TREC run file, bm25, scoreddocs, or the name of a folder's run.
        output: the TREC run to write.
        query: rerank the BM25 candidates of this text.
        depth: documents per query that are reranked; the first stage's best.
        top_k: documents per query that are given out (default: all that were reranked; 10 with --query).
        interpolate: mix with the first stage's scores at the weight stored with the model.
        weight: mix at this weight of the first stage, from 0 to 1.
        scores: what is given out: the model's own scores, or probabilities of relevance by the map that ltr calibrate stored
            with the model (else by the sigmoid), in the same order.
        with_judged: score the relevant documents of each query too, where the run does not hold them: for a teacher, whose
            scores ltr mine compares and ltr fit --data.teacher learns.
        batch_tokens: tokens computed at once (by each thread on a CPU); lower it when memory is short, or let auto find it by trying (on a GPU; on a
            CPU auto is what is fastest there).
        max_length: tokens of query and document together (default: as the model was trained).
        max_query_length: tokens of the query among them; longer queries are cut (default: as the model was trained, at most
            half of max_length).
        passages: what is read of documents longer than that: first reads their beginning; max and mean read all, in
            passages that overlap, and take the largest or mean score (default: as the model was saved, else first).
        stride: tokens from the start of a passage to that of the next, at most (default: 3/4 of a passage).
        max_passages: read so many passages of a document, from its beginning (default: all).
        device: auto, cpu, cuda, cuda:1 ...
        precision: 32 is exact; bf16 is about twice as fast where the hardware has it; auto is bf16 there.
        ray: rerank --run on a Ray cluster: local (one worker for each core of this machine), auto, or HOST:PORT. Model and
            collection must be there under the same names on all nodes.
        workers: with --ray: how many (default: one for each GPU of the cluster, or each core where it has none).
        allow: packages, or classes by their import paths, that the model may name as its scorer; those of ltr it may anyway.
    """
    talk()
    _check(dataset, run, output, query)
    if scores == "probability" and (interpolate or weight is not None):
        raise ConfigError("--scores probability is about the model's own scores; leave out --interpolate and --weight")
    if with_judged and (interpolate or weight is not None or query is not None or run is None):
        raise ConfigError(
            "--with-judged adds documents that the first stage has no score of, for a teacher: it needs --run, and no "
            "--interpolate, --weight or --query"
        )
    if ray is not None and run is None:
        raise ConfigError("--ray reranks a whole run; give --run, --output and --dataset")
    if workers is not None and ray is None:
        raise ConfigError("--workers goes only with --ray; without it the model takes all cores of this machine")
    at_least(
        1,
        depth=depth,
        workers=workers,
        top_k=top_k,
        stride=stride,
        max_passages=max_passages,
        max_query_length=max_query_length,
    )
    check_outputs({"--output": output}, [run, model, *inputs_of(dataset)])
    from ltr.inference.reranker import Reranker

    reranker = Reranker.load(
        model,
        device,
        precision,
        batch_tokens,
        max_length,
        max_query_length,
        passages,
        stride,
        max_passages,
        allow or (),
    )
    mixing: bool | float = interpolate if weight is None else weight
    probable = scores == "probability"
    if query is not None and dataset is not None:
        _one_query(reranker, query, dataset, depth, top_k or 10, mixing, probable)
    elif run is not None and dataset is not None and output is not None:
        cluster = None if ray is None else Cluster(ray, workers, device, model, tuple(allow or ()), batch_tokens)
        _whole_run(reranker, dataset, run, output, depth, top_k, mixing, probable, with_judged, cluster)
    else:
        # as bytes, so that a line that is no text does not take those before it along
        for line in _stream(reranker, getattr(sys.stdin, "buffer", sys.stdin), top_k, mixing, probable):
            print(line, flush=True)


def _check(dataset: str | None, run: str | None, output: str | None, query: str | None) -> None:
    """Refuse options that do not fit together before anything heavy is loaded."""
    if query is not None and (run or output):
        raise ConfigError("--query prints the best documents of one text; leave out --run and --output")
    if query is not None and not query.strip():
        raise ConfigError("--query must not be empty")
    if query is not None and not dataset:
        raise ConfigError("--query needs --dataset, the collection to search")
    if (run or output) and not (run and output and dataset):
        missing = [f"--{k}" for k, v in {"run": run, "output": output, "dataset": dataset}.items() if not v]
        raise ConfigError(f"to rerank a run, give --run, --output and --dataset; {' and '.join(missing)} missing")
    if query is None and not run and dataset:
        raise ConfigError("--dataset needs --run and --output (a whole run), or --query (one text)")
    if query is None and not run and sys.stdin.isatty():
        raise ConfigError("nothing to rerank: give --run and --output, or --query, or JSON lines on standard input")


def _one_query(
    reranker: Reranker, query: str, dataset: str, depth: int, top_k: int, mixing: bool | float, probable: bool
) -> None:
    from ltr.data.candidates.sources import retrieve
    from ltr.data.collections.collection import load

    collection = load(dataset)
    candidates = retrieve(collection, {"query": query}, k=depth, progress=shows_bars())
    if mixing is True:
        reranker.check_first_stage("bm25")
    if "query" not in candidates or not len(candidates["query"][0]):
        raise DataError(f"no document of {dataset} has a word in common with {query!r}")
    ids, first = candidates["query"][0].tolist(), candidates["query"][1].tolist()
    texts = collection.texts(ids)
    for one in reranker.rank(query, texts, ids, top_k, first, mixing, probable):
        print(f"{one.rank:>3}  {one.score:>8.3f}  {one.id}")
        print(f"{'':15}{_snippet(texts[one.index])}")


def _snippet(text: str, width: int = 100) -> str:
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    cut = line.rfind(" ", 0, width)
    return line[: cut if cut > 0 else width] + " …"


def _whole_run(
    reranker: Reranker,
    dataset: str,
    source: str,
    output: str,
    depth: int,
    top_k: int | None,
    mixing: bool | float,
    probable: bool,
    judged: bool,
    cluster: Cluster | None,
) -> None:
    from pathlib import Path

    from ltr.data.candidates.sources import candidates, with_relevant
    from ltr.data.collections.collection import load
    from ltr.inference.run_reranking import rerank_run

    show = shows_bars()
    collection = load(dataset)
    check_outputs({"--output": output}, [collection.runs.get(source)])
    first = candidates(collection, source, depth, progress=show)
    if mixing is True:
        reranker.check_first_stage(first.name)
    if judged:
        first = with_relevant(first, collection)
    ranking = None if cluster is None else cluster.ranking(reranker, dataset, first, top_k, mixing, probable)
    try:
        written = rerank_run(
            reranker, collection, first, output, top_k, mixing, progress=show, probability=probable, ranking=ranking
        )
    except KeyboardInterrupt:
        if not is_stream(output):
            print("\nwhat is finished is kept; the same command goes on from here", file=sys.stderr)
        raise
    said = beside_output(output)
    print(f"{output}: {written:,} documents for {len(first):,} queries of {dataset}", file=said)
    if not is_stream(output):
        print(_scale(output), file=said)
    if collection.has_qrels and not is_stream(output):
        compared = (source, output) if Path(source).is_file() else (output,)
        print(f"next: {shell('ltr', 'evaluate', '--run', *compared, '--dataset', dataset)}", file=said)


def _scale(path: str) -> str:
    """Where the scores of a run lie, and how far apart: what a student of them must know."""
    import numpy as np

    from ltr.data.text.label_scale import top_share
    from ltr.io.trec import read_run

    run = read_run(path)
    sizes = np.diff(run.offsets)
    means = np.repeat(np.add.reduceat(run.scores, run.offsets[:-1][sizes > 0]) / sizes[sizes > 0], sizes[sizes > 0])
    share = f"; a softmax of them gives the best document {top_share(run.offsets, run.scores):.3f} of a query's weight"
    return (
        f"scores     mean {run.scores.mean():.4g}, standard deviation {run.scores.std():.4g} (within a query "
        f"{np.sqrt(((run.scores - means) ** 2).mean()):.4g}), from {run.scores.min():.4g} to {run.scores.max():.4g}"
        f"{share if sizes.max() > 1 else ''}"
    )


def _stream(
    reranker: Reranker, lines: Iterable[str | bytes], top_k: int | None, mixing: bool | float, probable: bool
) -> Iterable[str]:
    """One line of JSON out for each line in; a line that cannot be ranked gets its reason under "error", and the next is read.

    Raises:
        DataError: at the end, where there were such lines.
    """
    failed: list[str] = []
    total = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        total += 1
        record: dict[str, Any] = {}
        try:
            record = _record(line)
            first = record.get("first_scores")
            ranked = reranker.rank(record["query"], record["docs"], record.get("ids"), top_k, first, mixing, probable)
        except (DataError, ConfigError) as error:
            failed.append(f"standard input:{number}: {error}")
            yield _line({**_kept(record), "error": failed[-1]})
        else:
            yield _line({**_kept(record), "ranking": [_as_json(one, probable) for one in ranked]})
    if failed:
        others = f" ({len(failed)} of {total} lines could not be ranked, this was the first)" if len(failed) > 1 else ""
        raise DataError(f"{failed[0]}{others}")


def _line(record: dict[str, Any]) -> str:
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # half a surrogate pair in what the user sent along
        return json.dumps(record)
    return line


def _record(line: str | bytes) -> dict[str, Any]:
    try:
        text = line.decode() if isinstance(line, bytes) else line
    except UnicodeDecodeError as error:
        raise DataError(f"a line must be UTF-8 text ({error})") from None
    got = text.strip()[:80]
    try:
        record = from_json(text)
    except ValueError as error:
        raise DataError(f"a line must be JSON, got {got!r} ({error})") from None
    if not isinstance(record, dict) or not {"query", "docs"} <= set(record) or not isinstance(record["docs"], list):
        raise DataError(f'a line must be an object with "query" and a list "docs", got {got}')
    for name, kinds, what in (
        ("ids", (str, int), "strings or whole numbers"),
        ("first_scores", (int, float), "numbers"),
    ):
        values = record.get(name)
        if values is not None and not (isinstance(values, list) and all(isinstance(v, kinds) for v in values)):
            raise DataError(f'"{name}" must be a list of {what}, got {values!r:.80}')
    return record


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    """What a line said besides its documents: the query, and whatever the user needs to know it again."""
    return {key: value for key, value in record.items() if key not in ("docs", "ids", "first_scores")}


def _as_json(one: Ranked, probable: bool) -> dict[str, Any]:
    # of probabilities every digit: those near 0 and 1 differ by the last of them; nine tell float32 scores apart
    score = one.score if probable else float(f"{one.score:.9g}")
    return {"id": one.id, "score": score, "rank": one.rank, "index": one.index}


def main(argv: list[str]) -> None:
    return run_command(rerank, argv, prog="ltr rerank", short={"output": "-o", "query": "-q"})
