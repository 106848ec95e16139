"""``ltr distil``: from a first stage to a student that is measured, step by step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ltr.cli.command import run, talk

if TYPE_CHECKING:
    from ltr.experiments.pipeline import Pipeline

#: pairs that are scored to see how fast a teacher is
TRIED = 64
#: options of a teacher that decide how fast it is
READING = (
    *("device", "precision", "batch_tokens", "max_length", "max_query_length"),
    *("passages", "stride", "max_passages", "allow"),
)


def distil(recipe: str, /, *, folder: str | None = None, dry_run: bool = False) -> int:
    """Distil a teacher into a student after a recipe: retrieve, mine, teacher, student, evaluate.

    Every step writes a folder that is complete or absent. The same command goes on after an interruption: finished
    steps are not done again, an unfinished one goes on where it can.

    Args:
        recipe: a YAML file; ltr guide search explains it.
        folder: write there instead of where the recipe says.
        dry_run: show what would be run, with counts and the teacher's time from some pairs that are scored now.
    """
    talk()
    from ltr.cli.main import main as execute
    from ltr.experiments.distilling import pipeline_of, read_recipe

    read = read_recipe(recipe, folder)
    pipeline = pipeline_of(read)
    if dry_run:
        _show(pipeline, read)
        return 0
    status = pipeline.run(execute, lambda line: print(line, flush=True))
    if not status:
        table = (pipeline.folder / "5-evaluate" / "table.txt").read_text(encoding="utf-8")
        print(f"\n{table}\nstudent      {pipeline.folder / '4-student' / 'run' / 'best'}")
    return status


def _show(pipeline: Pipeline, recipe: dict[str, Any]) -> None:
    """What would be run, and how long the teacher takes."""
    from ltr.data.collections.collection import load
    from ltr.experiments.cells.runner import duration
    from ltr.experiments.distilling import teachers_of
    from ltr.inference.reranker import Reranker

    for step, done, commands in pipeline.shown():
        print(f"{step.name}{': done already' if done else ''}")
        for command in commands:
            print(f"  {command}")
    train, test = load(recipe["train"]), load(recipe.get("test") or recipe["dev"])
    relevant = {
        q: sum(grade >= 1 for grade in judged.values()) for q, judged in train.qrels.items() if q in train.queries
    }
    asked = [q for q, count in relevant.items() if count]
    mining = recipe.get("mine") or {}
    found = (recipe.get("retrieve") or {}).get("k", 100)
    depth = max(0, min(mining.get("depth", 100), found) - mining.get("skip", 10))
    taught = len(asked) * min(depth, mining.get("per_query") or depth) + sum(relevant.values())
    measured = len(test.queries) * min(found, test.n_docs)
    texts = [text for _, (_, text) in zip(range(TRIED), train.docs(), strict=False)]
    some = [(train.queries[asked[i % len(asked)]], text) for i, text in enumerate(texts)]
    seconds = 0.0
    for options in teachers_of(recipe):
        known = {name: options[name] for name in READING if name in options}
        if isinstance(known.get("allow"), str):
            known["allow"] = [known["allow"]]
        teacher = Reranker.load(options["model"], **known)
        teacher.score(some[:8])  # the first pairs are slower
        began = time.perf_counter()
        teacher.score(some)
        seconds += (taught + measured) * (time.perf_counter() - began) / max(len(some), 1)
    print(
        f"\n{len(asked):,} training queries, {len(test.queries):,} test queries; at most {taught:,} + {measured:,} pairs for the "
        f"teacher: about {duration(seconds)} on this machine"
    )
    print("the student's training says how long it takes when its first steps are measured")


def main(argv: Sequence[str]) -> Any:
    return run(distil, argv, prog="ltr distil")
