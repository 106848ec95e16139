"""A language model aligned by four losses, a few steps each: what its scores of held-out completions do meanwhile.

    python benchmarks/speed/common/smollm2.py FOLDER
    python -m benchmarks.quality.policies --model FOLDER --data PATH/TO/alpacaeval-graded --work runs/policies

Lists of graded completions of a prompt, cut at some tokens. All losses see the same lists in the same order, in steps of the
same size with adapters of the same rank; none is tuned. Held-out prompts are measured before training and every few steps.
A run (loss, seed) is a file in the work folder: what is finished is not done again. Figures: ``curves.csv`` (a row for each
measurement), ``results.json`` (differences from the untrained model and from the order by length, over held-out prompts)
and ``curves.png``.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.quality.preference_sets import OpeningPreferences
from ltr.batch import TextLists
from ltr.data.lists.sampling import Drawn
from ltr.io.files import replacing
from ltr.io.model_names import located
from ltr.links import Identity, Softplus
from ltr.losses import DPO, IPO, CompositeSoftmax, LabelSoftmax, Loss, SimPO
from ltr.metrics.measures.preferences import length_correlation, pair_accuracy
from ltr.metrics.statistics.contrasts import contrast, corrected
from ltr.metrics.statistics.samples import PerQuery
from ltr.report.charts.style import drawing, save
from ltr.scorers import PolicyRatio
from ltr.scorers.causal.policy_ratio import completion_tokens
from ltr.training.run.records import versions

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "policies"


@dataclass(frozen=True)
class Method:
    """A loss, and the scores that it is made for."""

    loss: Loss
    scores: dict[str, Any] = field(default_factory=dict)


METHODS = {
    "DPO": Method(DPO(), {"beta": 0.1}),
    "IPO": Method(IPO(tau=0.5), {"beta": 1.0, "length": "mean"}),
    "SimPO": Method(SimPO(gamma=1.0), {"reference": None, "beta": 2.0, "length": "mean"}),
    "CompositeSoftmax": Method(
        CompositeSoftmax(Identity() + Softplus(), targets=LabelSoftmax(temperature=2.0)), {"beta": 0.1}
    ),
}


@dataclass(frozen=True)
class HeldOut:
    """Held-out lists with what the untrained model says of them.

    Attributes:
        batches: some lists each.
        reference: [completions] float64 log-probabilities before training.
        tokens: [completions] of each.
        labels, lengths: [completions]; lengths are of the whole completions, in characters.
        offsets: [lists + 1].
    """

    batches: list[TextLists]
    reference: np.ndarray
    tokens: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray

    @property
    def owners(self) -> np.ndarray:
        """[completions] their lists."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def data_of(args: argparse.Namespace, seed: int) -> OpeningPreferences:
    """Training lists in the order of a seed, and held-out ones: the first prompts of dev."""
    return OpeningPreferences(
        f"{args.data}/train.jsonl.gz", test=f"{args.data}/dev.jsonl.gz", tokenizer=located(args.model),
        max_length=args.tokens + args.prompt_tokens, response_tokens=args.tokens, docs_per_list=args.docs,
        lists_per_batch=args.lists, seed=seed,
    )  # fmt: skip


def log_probs(model: PolicyRatio, batches: list[TextLists]) -> np.ndarray:
    """[completions] float64 log-probabilities under the policy as it is now."""
    model.eval()
    with torch.no_grad(), autocast():
        found = [model.scored(batch, batch.tokens) for batch in batches]
    model.train()
    return torch.cat(found).double().numpy()


def autocast() -> torch.autocast:
    """bfloat16 where the policy is computed, for policy and reference alike."""
    return torch.autocast("cpu", torch.bfloat16)


def chosen(args: argparse.Namespace, data: OpeningPreferences) -> Drawn:
    """Some completions of each held-out prompt, the same for all losses and seeds."""
    drawn = data.encoder("test").drawn()
    known, rng = data.table("test"), np.random.default_rng(0)
    places = [np.sort(a + rng.permutation(b - a)[: args.docs]) for a, b in _spans(known.offsets[: args.held_out + 1])]
    offsets = np.arange(len(places) + 1) * args.docs
    docs = np.concatenate(places)
    return Drawn(drawn.entries[: len(places)], offsets, drawn.docs[docs], drawn.labels[docs])


def held_out(args: argparse.Namespace) -> HeldOut:
    """The held-out completions under the untrained policy."""
    model = PolicyRatio(args.model, lora=args.rank)  # fresh adapters change nothing
    data = data_of(args, 0)
    encoder, lists = data.encoder("test"), chosen(args, data)
    n = len(lists.entries)
    batches = [encoder[lists.take(np.arange(i, min(i + 4, n)))] for i in range(0, n, 4)]
    tokens = torch.cat([completion_tokens(batch.tokens) for batch in batches]).numpy()
    labels, lengths = told(data, lists)
    return HeldOut(batches, log_probs(model, batches), tokens, labels, lengths, lists.offsets)


def told(data: OpeningPreferences, lists: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Labels and lengths of whole completions, in characters."""
    known = data.table("test")
    return known.labels[lists.docs], known.characters[lists.docs].astype(float)


def longest(args: argparse.Namespace) -> np.ndarray:
    """[lists] pair accuracy of the order by length on the held-out completions; no model is needed."""
    data = data_of(args, 0)
    lists = chosen(args, data)
    labels, lengths = told(data, lists)
    return pair_accuracy(lengths, labels, lists.offsets)


def _spans(offsets: np.ndarray) -> Iterator[tuple[int, int]]:
    yield from zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)


def measured(method: Method, held: HeldOut, now: np.ndarray) -> dict[str, np.ndarray]:
    """Measure -> [lists]: what the method's scores say of the held-out completions.

    Pairs are those of different labels. ``margin`` is the mean difference of their scores, ``kl`` the mean of log π − log
    π_ref over the data's completions (nats), ``length`` Spearman's correlation of scores and lengths.
    """
    moved = now - held.reference
    scores = now if method.scores.get("reference", "start") is None else moved
    if method.scores.get("length") == "mean":
        scores = scores / held.tokens
    scores = method.scores["beta"] * scores
    margins = []
    for a, b in _spans(held.offsets):
        better = held.labels[a:b, None] > held.labels[a:b]
        margins.append((scores[a:b, None] - scores[a:b])[better].mean() if better.any() else 0.0)
    sums = np.bincount(held.owners, weights=moved)
    return {
        "pair_accuracy": pair_accuracy(scores, held.labels, held.offsets),
        "margin": np.array(margins),
        "kl": sums / np.diff(held.offsets),
        "spearman_length": length_correlation(scores, held.lengths, held.offsets),
    }


def train(args: argparse.Namespace, name: str, seed: int, held: HeldOut) -> dict[str, Any]:
    """One run: measurements at 0, ``every``, 2 ``every`` ... steps, with the loss of the steps between."""
    method, begin = METHODS[name], time.process_time()
    torch.manual_seed(seed)
    model = PolicyRatio(args.model, lora=args.rank, **method.scores).train()
    adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=args.lr, weight_decay=0.0)
    course: list[dict[str, Any]] = [{"step": 0, "loss": None, **_listed(measured(method, held, held.reference))}]
    losses = []
    for step, batch in enumerate(_batches(data_of(args, seed)), 1):
        assert batch.labels is not None
        with autocast():
            scores = model(batch)
        loss = method.loss(scores, batch.pad(batch.labels), batch.mask)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        losses.append(float(loss.detach()))
        if step % args.every == 0:
            found = measured(method, held, log_probs(model, held.batches))
            course.append({"step": step, "loss": float(np.mean(losses[-args.every :])), **_listed(found)})
        if step == args.steps:
            break
    return {
        "loss": name, "seed": seed, "expression": repr(method.loss), "scores": method.scores, "course": course,
        "losses": losses, "processor_seconds": round(time.process_time() - begin, 1),
    }  # fmt: skip


def _batches(data: OpeningPreferences) -> Iterator[TextLists]:
    """Batches epoch after epoch."""
    data.setup("fit")
    while True:
        yield from data.train_dataloader()


def _listed(found: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {measure: values.tolist() for measure, values in found.items()}


SETTINGS = ("docs", "lists", "tokens", "prompt_tokens", "held_out", "steps", "every", "rank", "lr")


def run_of(args: argparse.Namespace, name: str, seed: int, held: Callable[[], HeldOut]) -> dict[str, Any]:
    """A run from the work folder, made before if it is not there.

    Args:
        held: asked only where something is to be trained.

    Raises:
        SystemExit: it was made with other settings.
    """
    settings = {one: getattr(args, one) for one in SETTINGS}
    path = Path(args.work, f"{name}-{seed}.json")
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept["settings"] != settings:
            raise SystemExit(f"policies: {path} was made with other settings {kept['settings']}; choose another --work")
        return kept["run"]
    run = train(args, name, seed, held())
    with replacing(path) as file:
        json.dump({"settings": settings, "run": run}, file)
    print(f"{name} seed {seed}: {run['processor_seconds']:.0f} s", flush=True)
    return run


MEASURES = ("pair_accuracy", "margin", "kl", "spearman_length")


def rows_of(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each measurement, means over the held-out prompts."""
    return [
        {
            "loss": run["loss"], "seed": run["seed"], "step": point["step"], "training loss": point["loss"],
            **{measure: float(np.mean(point[measure])) for measure in MEASURES},
        }
        for run in runs for point in run["course"]
    ]  # fmt: skip


def differences(runs: list[dict[str, Any]], base: np.ndarray | None = None) -> list[dict[str, Any]]:
    """How each loss's last pair accuracy differs from its first, prompt by prompt, Holm-corrected.

    Args:
        base: [lists] pair accuracy of something else, in place of the first measurement.
    """
    found = []
    for name in dict.fromkeys(run["loss"] for run in runs):
        own = [run for run in runs if run["loss"] == name]
        first, last = (np.array([run["course"][at]["pair_accuracy"] for run in own]) for at in (0, -1))
        ids = [str(i) for i in range(first.shape[1])]
        other = first if base is None else base[None]
        after = PerQuery(name, "pair_accuracy", last, ids)
        found.append(contrast(after, PerQuery("base", "pair_accuracy", other, ids)))
    return [
        {
            "loss": one.system, "difference": one.difference, "low": one.low, "high": one.high,
            "detectable": one.detectable, "prompts": one.n_queries, "p": one.p["fisher"], "p_holm": one.adjusted["fisher"],
        }
        for one in corrected(found)
    ]  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]], longest: float) -> str:
    """Markdown: each run before its first step and after its last, of the rows of ``curves.csv``, and the order by length."""
    names = {"pair_accuracy": "pairs", "margin": "margin", "kl": "log π − log π_ref", "spearman_length": "length"}
    lines = [f"| loss | seed | {' | '.join(f'{name}, before → after' for name in names.values())} |"]
    lines.append("|---" * (len(names) + 2) + "|")
    for loss, seed in dict.fromkeys((row["loss"], row["seed"]) for row in rows):
        own = [row for row in rows if (row["loss"], row["seed"]) == (loss, seed)]
        ends = [f"{float(own[0][m]):.3f} → {float(own[-1][m]):.3f}" for m in names]
        lines.append(f"| {loss} | {seed} | {' | '.join(ends)} |")
    lines.append(f"| longest response | | {longest:.3f} | | | 1.000 |")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], longest: float) -> Any:
    """A panel for each measure, a line for each run; dotted what the order by length has."""
    titles = {
        "pair_accuracy": "pair accuracy, held out", "margin": "margin of scores, held out",
        "kl": "mean log π − log π_ref (nats)", "spearman_length": "correlation of score and length",
    }  # fmt: skip
    colors = dict(zip(METHODS, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), strict=True))
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9.0, 5.6), layout="constrained")
        for axis, measure in zip(figure.subplots(2, 2).flat, MEASURES, strict=True):
            for name, seed in dict.fromkeys((row["loss"], row["seed"]) for row in rows):
                own = [row for row in rows if (row["loss"], row["seed"]) == (name, seed)]
                axis.plot(
                    [row["step"] for row in own], [row[measure] for row in own], color=colors[name], marker="o",
                    markersize=3, label=name if seed == min(r["seed"] for r in rows if r["loss"] == name) else None,
                )  # fmt: skip
            if measure == "pair_accuracy":
                axis.axhline(longest, color="0.3", linestyle=":", label="longest response")
            axis.set(title=titles[measure], xlabel="step")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a causal language model with a chat template")
    parser.add_argument("--data", required=True, help="folder of graded lists of responses, train and dev")
    parser.add_argument("--work", required=True, help="where finished runs are kept")
    parser.add_argument("--losses", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--every", type=int, default=12, help="steps between two measurements")
    parser.add_argument("--lists", type=int, default=1, help="prompts in a step")
    parser.add_argument("--docs", type=int, default=4, help="completions of a prompt")
    parser.add_argument("--tokens", type=int, default=32, help="of a completion, at most")
    parser.add_argument("--prompt-tokens", type=int, default=64, help="of its prompt, at least")
    parser.add_argument("--held-out", type=int, default=24, help="prompts that are measured")
    parser.add_argument("--rank", type=int, default=16, help="of the adapters")
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--results", default=str(RESULTS))
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    """Train what is lacking; write tables and curves of what is there."""
    args = arguments(given)
    held = cache(lambda: held_out(args))
    runs = [run_of(args, name, seed, held) for seed in range(args.seeds) for name in args.losses]
    rows, folder, by_length = rows_of(runs), Path(args.results), longest(args)
    mean = float(by_length.mean())
    with replacing(folder / "curves.csv") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        kept = [{k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
        writer.writerows(kept)
    result = {
        "command": "python -m benchmarks.quality.policies", "settings": {one: getattr(args, one) for one in SETTINGS},
        "seeds": args.seeds, "losses": {run["loss"]: [run["expression"], run["scores"]] for run in runs},
        "against the untrained model": differences(runs), "longest response": mean,
        "against the longest response": differences(runs, by_length),
        "processor_seconds": {f"{run['loss']} {run['seed']}": run["processor_seconds"] for run in runs},
        "versions": versions(),
    }  # fmt: skip
    with replacing(folder / "results.json") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    save(draw(rows, mean), folder / "curves.png")
    print(table(kept, mean))
    for against in ("against the untrained model", "against the longest response"):
        print(f"\npair accuracy {against}")
        for one in result[against]:
            print(
                f"{one['loss']:18} {one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}], p after Holm "
                f"{one['p_holm']:.3f}, {one['prompts']} prompts find {one['detectable']:.3f}"
            )


if __name__ == "__main__":
    main()
