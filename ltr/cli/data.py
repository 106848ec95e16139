"""``ltr data check`` and ``ltr data export``: look a data set over, write it as a plain folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from ltr.cli.command import at_least, run, shell, talk
from ltr.errors import ConfigError
from ltr.io.names import suggestion
from ltr.machine.loudness import shows_bars

USAGE = """usage: ltr data check --dataset NAME [--train NAME] [--tokenizer NAME]
       ltr data check --preferences FILE [--tokenizer NAME]
       ltr data export --dataset NAME --output FOLDER

  check   counts, grades, gaps, lengths, and what train and test share, before any training
  export  write any data set as a plain folder

ltr data check --help and ltr data export --help tell more."""


def check(
    *,
    dataset: str | None = None,
    train: str | None = None,
    tokenizer: str | None = None,
    max_query_length: int = 64,
    preferences: str | None = None,
    max_length: int = 512,
    form: str | None = None,
) -> int:
    """Look a data set over before training: counts, grades, gaps, lengths, cut queries, train/test overlap.

    The exit status is 1 when something stands in the way of training or of an honest measurement.

    Args:
        dataset: an ir-datasets id, pydocs/train|dev|test, or a folder
        train: the data set to be trained on, to report what both share
        tokenizer: a hub id or model folder, for lengths in its tokens
        max_query_length: tokens of a query that a model reads; queries that are longer are counted
        preferences: a file of prompts with judged responses, instead of a data set; with a tokenizer three examples are shown
        max_length: most tokens of prompt and response
        form: chat, pair or plain (default: what the tokenizer is made for)
    """
    talk()
    at_least(1, max_query_length=max_query_length)
    if (dataset is None) == (preferences is None):
        raise ConfigError("give either --dataset NAME or --preferences FILE")
    if preferences is not None:
        from ltr.cli.preferences import checked

        print(checked(preferences, tokenizer, max_length, form))
        return 0
    assert dataset is not None
    from ltr.data.collections.check import check as look_over
    from ltr.data.collections.collection import load

    collection = load(dataset)
    report = look_over(
        collection,
        load(train) if train else None,
        _counter(tokenizer) if tokenizer else None,
        max_query_length,
        progress=shows_bars(),
    )
    print(report)
    return 1 if report.problems else 0


def _counter(tokenizer: str) -> Callable[[Sequence[str]], list[int]]:
    from ltr.data.tokens.pairs import backend_of, load_tokenizer, tokens_of
    from ltr.io.model_names import located

    backend = backend_of(load_tokenizer(located(tokenizer)))
    return lambda texts: tokens_of(backend, texts, None).lengths.tolist()


def export(*, dataset: str, output: str) -> None:
    """Write a data set as a plain folder: docs.jsonl, queries.tsv, qrels.trec, and its first-stage scores as a run.

    Args:
        dataset: an ir-datasets id, pydocs/train|dev|test, or a folder
        output: the new folder
    """
    from ltr.data.collections.collection import load
    from ltr.data.collections.export import export as write

    talk()

    folder = write(load(dataset), output, progress=shows_bars())
    print(
        f"{folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}; next: ltr data check {shell('--dataset', folder)}"
    )


ACTIONS: dict[str, Callable] = {"check": check, "export": export}


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if argv[0] not in ACTIONS:
        print(f"ltr data: no action {argv[0]!r}; {suggestion(argv[0], ACTIONS)}", file=sys.stderr)
        return 2
    return run(ACTIONS[argv[0]], argv[1:], prog=f"ltr data {argv[0]}") or 0
