"""Tokens of preferences trained on per second and the memory that takes, by ltr and by TRL: 8 pairs of about 110 tokens a row.

    python benchmarks/speed/align.py [--model FOLDER] [--rounds 2] [--steps 2] [--threads 1] [--only ltr …] [--quick] [--output FILE]

DPO (policy and reference) and a reward model with a head, on a causal language model with a chat template. Every way has the
same model, texts, precision, threads, optimiser and learning rate, and trains all weights; checkpointing, the default of TRL,
computes the activations of layers again for the gradient. Each is a process of its own, one at a time, started
anew in every round; the first step of a process is not counted. What ltr computes of the reference before the first step is
counted, shared by all steps. Tokens are those of the rows, without padding. A ratio is the median over rounds of TRL's
seconds a step by the way's own, for the same task and precision. Memory is the largest resident set of the whole process.
Takes about 30 minutes for a model of 135 M weights, with one thread on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import train
from common import report
from common.smollm2 import smollm2
from common.texts import questions
from train import Way, say

#: the words of a response that are read
WORDS = 44
WAYS = [
    Way(f"{package} {task} {precision}{note}", way, {"kind": kind, "bf16": precision == "bf16", **kept}, environment)
    for kind, task in (("dpo", "DPO"), ("reward", "reward"))
    for precision in ("fp32", "bf16")
    for package, way, environment in (("TRL", "trl", "current"), ("ltr", "ltr", None))
    for note, kept in ((", checkpointing", {}), (", activations kept", {"kept": True}))
]


def pairs(count: int, words: int = WORDS) -> list[tuple[str, str, str]]:
    """(prompt, chosen, rejected) texts."""
    asked = questions(count, 2, "train", seed=3)

    def cut(text: str) -> str:
        return " ".join(text.split()[:words])

    return [(one.query, cut(one.docs[one.positive]), cut(one.docs[1 - one.positive])) for one in asked]


def tokens_of(texts: list[tuple[str, str, str]], model: str) -> int:
    """Tokens of all rows: of a prompt with each of its two responses."""
    from ltr.data import load_tokenizer

    tokenizer = load_tokenizer(model)

    def row(prompt: str, response: str) -> int:
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        return len(
            tokenizer(tokenizer.apply_chat_template(messages, tokenize=False), add_special_tokens=False)["input_ids"]
        )

    return sum(row(prompt, response) for prompt, *both in texts for response in both)


def rows_of(found: dict[Way, list[dict[str, Any]]], tokens: float, clock: str) -> list[dict[str, Any]]:
    """The table, in the order of the ways; ratios where TRL was measured at the same task, precision and activations."""
    seconds = {way: [statistics.median(answer[clock]) for answer in answers] for way, answers in found.items()}
    memory = {way: max(answer["peak_mb"] for answer in answers) for way, answers in found.items()}
    theirs = {tuple(sorted(way.settings.items())): way for way in found if way.way == "trl"}
    rows = []
    for way in found:
        to = theirs.get(tuple(sorted(way.settings.items())))
        ratios = [] if to is None else [a / b for a, b in zip(seconds[to], seconds[way], strict=True)]
        rows.append(
            {
                "way": way.name,
                "tokens/s": round(tokens / statistics.median(seconds[way]), 1),
                "x TRL": round(statistics.median(ratios), 2) if ratios else None,
                "peak MB": round(memory[way]),
                "memory / TRL": to and round(memory[way] / memory[to], 2),
            }
        )
    return rows


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", help="a causal language model with a chat template; by default SmolLM2 of 135 M weights"
    )
    parser.add_argument("--pairs", type=int, default=8, help="in a step")
    parser.add_argument("--words", type=int, default=WORDS, help="of a response, at most")
    parser.add_argument("--steps", type=int, default=2, help="measured in each process, after a first one")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only ways whose names hold one of these")
    parser.add_argument(
        "--clock", choices=["seconds", "processor_seconds"], default="seconds",
        help="processor_seconds, with one thread, on a machine that others use too",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one short step of few pairs: no figures to keep")
    parser.add_argument("--output", help="another file for the JSON")
    given = parser.parse_args()
    if given.quick:
        given.pairs, given.words, given.steps, given.rounds = 2, 8, 1, 1
    return given


def main() -> None:
    """Measure every way that can be, print and keep the table."""
    from ltr.io.model_names import located

    given = arguments()
    model = located(given.model or smollm2())
    texts = pairs((given.steps + 1) * given.pairs, given.words)
    tokens = tokens_of(texts, model) / (given.steps + 1)
    task = {
        "model": model, "device": given.device, "threads": given.threads, "steps": given.steps + 1, "pairs": given.pairs,
        "texts": texts,
    }  # fmt: skip
    found = train.measure(train.available(given.only, WAYS), task, given.rounds)
    if not found:
        raise SystemExit("align: no way is left to measure")
    rows = rows_of(found, tokens, given.clock)
    length = tokens / given.pairs / 2
    result = {
        "what": f"training steps of {given.pairs} pairs, {length:.0f} tokens a row on the mean; {given.threads} "
        f"thread{'s' * (given.threads > 1)} on {given.device}; peak MB: of the whole process",
        "clock": given.clock,
        "rounds": given.rounds,
        "quick": given.quick,
        "rows": rows,
        "seconds": {way.name: [answer[given.clock] for answer in answers] for way, answers in found.items()},
        "versions": {name: value for answers in found.values() for name, value in answers[0]["versions"].items()},
    }
    print(f"{result['what']}\n\n{report.table(rows)}")
    say(f"{tokens:.0f} tokens a step")
    report.write("align", result, ("torch", "transformers", "pytorch-lightning", "ltr"), given.output)


if __name__ == "__main__":
    main()
