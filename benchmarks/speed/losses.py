"""Losses over pairs and ranks: time and peak memory of forward and backward, beside other libraries' in one run.

    python benchmarks/speed/losses.py [--losses RankNet …] [--sizes 64x10 …] [--libraries ltr …] [--threads 1] [--plot FILE.png]

Each case is a process of its own (``common/loss_steps.py``) on the same scores and grades 0 to 4; rivals run in the
environments that ``common/rivals.py`` makes and are left out where those are not installed. With one thread processor time
counts, so that other work on the machine does not; memory is what the process gained at its largest. ``--plot`` draws how
both grow with the number of documents.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import report
from common.children import environment, why
from common.loss_steps import LIBRARIES, LTR
from common.rivals import python_of

HERE = Path(__file__).parent
SIZES = ["64x10", "64x100", "64x1000", "4x4000"]
#: rax compiles its losses; what runs as it is written is compared with what runs as it is written
COMPILED = ("rax",)
#: what the picture shows: lists x these numbers of documents
SHOWN, LISTS, GROWTH = ("RankNet", "LambdaRank", "ApproxNDCG"), 4, (10, 30, 100, 300, 1000, 2000, 4000)


def interpreters() -> dict[str, Path]:
    """Library -> what runs it, for those that are installed."""
    found = {"ltr": Path(sys.executable), "dense torch": Path(sys.executable)}
    homes = {name: "lightning-ir" if name == "lightning-ir" else "current" for name in LIBRARIES if name not in found}
    for name, home in homes.items():
        python = python_of(home)
        if python is None:
            print(f"{name} is not installed (make bench installs it): left out", file=sys.stderr)
        else:
            found[name] = python
    return found


def measured(python: Path, library: str, loss: str, size: str, given: argparse.Namespace) -> dict[str, Any]:
    """What the child found, or ``{"failed": why}``."""
    lists, docs = size.split("x")
    command = [str(python), str(HERE / "common" / "loss_steps.py"), library, loss, lists, docs]
    command += ["--threads", str(given.threads), "--seconds", str(given.seconds)]
    paths = environment(given.threads)
    paths["PYTHONPATH"] = os.pathsep.join([str(HERE), paths["PYTHONPATH"]])
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=paths, timeout=given.limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"no step within {given.limit:g} s"}
    if done.returncode:
        return {"failed": why(done)}
    return json.loads(done.stdout.splitlines()[-1])


def run(
    losses: list[str], sizes: list[str], pythons: dict[str, Path], given: argparse.Namespace
) -> list[dict[str, Any]]:
    """One entry for each case: library, loss, size, ms, peak_mb, or failed."""
    cases = []
    for size in sizes:
        for loss in losses:
            for library, python in pythons.items():
                if loss in LIBRARIES[library][0]:
                    found = measured(python, library, loss, size, given)
                    cases.append({"library": library, "loss": loss, "size": size, **found})
                    print(
                        f"{library}, {loss}, {size}: {found.get('failed') or found['ms']}", file=sys.stderr, flush=True
                    )
    return cases


def rows(cases: list[dict[str, Any]], pythons: dict[str, Path]) -> list[dict[str, Any]]:
    """A line for each loss and size: milliseconds of each library, and how ltr stands beside the fastest eager one."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for case in cases:
        empty = {"loss": case["loss"], "size": case["size"], **{f"{name} ms": None for name in pythons}}
        line = lines.setdefault((case["loss"], case["size"]), {**empty, "ltr MB": None, "least other MB": None})
        line[f"{case['library']} ms"] = case.get("ms")
        if case["library"] == "ltr":
            line["ltr MB"] = case.get("peak_mb")
        elif case.get("peak_mb") is not None:
            line["least other MB"] = min(case["peak_mb"], line["least other MB"] or case["peak_mb"])
    for line in lines.values():
        others = [n for n in pythons if n != "ltr" and n not in COMPILED and line[f"{n} ms"]]
        best = min(others, key=lambda n: line[f"{n} ms"], default=None)
        line["fastest eager other"] = best or "–"
        own = line.get("ltr ms")
        line["times ltr's"] = round(line[f"{best} ms"] / own, 2) if best and own else None
    return list(lines.values())


def plot(cases: list[dict[str, Any]], path: str) -> None:
    """Time and memory over the number of documents, a column for each loss; what failed ends its line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [loss for loss in SHOWN if any(case["loss"] == loss for case in cases)]
    figure, axes = pyplot.subplots(2, len(shown), figsize=(4 * len(shown), 7), sharex=True, sharey="row", squeeze=False)
    for column, loss in enumerate(shown):
        for place, library in enumerate(LIBRARIES):
            own = [case for case in cases if (case["loss"], case["library"]) == (loss, library) and "ms" in case]
            docs = [int(case["size"].split("x")[1]) for case in own]
            style: dict[str, Any] = {"marker": "o", "markersize": 3, "color": f"C{place}", "label": library}
            style["linewidth"] = 2.5 if library == "ltr" else 1
            for line, key in zip(axes[:, column], ("ms", "peak_mb"), strict=True):
                if own:
                    line.loglog(docs, [max(case[key], 0.01) for case in own], **style)
        axes[0, column].set_title(f"{loss}, {LISTS} lists")
        axes[1, column].set_xlabel("documents in each list")
        axes[1, column].set_ylim(bottom=1)
    axes[0, 0].set_ylabel("forward and backward, ms")
    axes[1, 0].set_ylabel("peak memory gained, MB")
    named = {text: line for panel in axes.flat for line, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="lower center", ncols=len(named), frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def size(text: str) -> str:
    """``LISTSxDOCS`` as it was given, when it is that."""
    lists, _, docs = text.partition("x")
    if not (lists.isdecimal() and docs.isdecimal() and int(lists) and int(docs)):
        raise argparse.ArgumentTypeError(f"must be LISTSxDOCS such as 64x1000, got {text!r}")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", nargs="+", default=list(LTR), choices=list(LTR), metavar="NAME")
    parser.add_argument("--sizes", nargs="+", default=SIZES, type=size, metavar="LISTSxDOCS")
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=list(LIBRARIES), metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5, help="of steps for each case (at least three steps)")
    parser.add_argument("--limit", type=float, default=120, help="seconds after which a case is given up")
    parser.add_argument("--quick", action="store_true", help="small sizes and a blink for each, to see that it runs")
    parser.add_argument("--plot", metavar="FILE.png", help=f"draw the growth of {', '.join(SHOWN)}")
    parser.add_argument("--output", help="the JSON file")
    given = parser.parse_args()
    if given.plot and not set(SHOWN) & set(given.losses):
        parser.error(f"--plot draws {', '.join(SHOWN)}; --losses names none of them")
    if given.quick:
        given.sizes, given.seconds = ["2x5"], 0.01
    pythons = {name: python for name, python in interpreters().items() if name in given.libraries}
    cases = run(given.losses, given.sizes, pythons, given)
    print(report.table(rows(cases, pythons)))
    growth = []
    if given.plot:
        sizes = [f"{LISTS}x{docs}" for docs in (GROWTH[:2] if given.quick else GROWTH)]
        growth = run([loss for loss in SHOWN if loss in given.losses], sizes, pythons, given)
    versions = {n: v for case in (*cases, *growth) for n, v in case.pop("versions", {}).items() if n != "python"}
    result = {"threads": given.threads, "cases": cases, "growth": growth, "versions": versions}
    report.write("losses", result, output=given.output)
    # the picture last: whatever befalls it, what was measured is kept
    if growth:
        plot(growth, given.plot)


if __name__ == "__main__":
    main()
