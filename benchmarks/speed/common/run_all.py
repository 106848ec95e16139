"""What ``make bench`` does: every script of benchmarks/speed in turn, then the page of all results.

    python benchmarks/speed/common/run_all.py [--quick] [--only NAME …]

A script that fails does not keep the others from running; it is told at the end. With ``--quick`` they run in small, into a
folder of their own, so that no figures of a real run are lost.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
SPEED = HERE.parent
RESULTS = SPEED.parent / "results" / "speed"
QUICK = RESULTS / "quick"
#: scripts that measure a GPU: left out where there is none, unless in small
ON_GPU = {"gpu"}
#: how scripts are made small that need more, or other words, than ``--quick``
SMALL = {
    "gpu": ["--quick", "--device", "cpu"],
    "loading": ["--passages", "16000", "--steps", "4", "--seconds", "0.5", "--layers", "1"],
}


def scripts(only: list[str] | None = None) -> list[Path]:
    """The scripts, in order of their names."""
    found = sorted(SPEED.glob("*.py"))
    names = [path.stem for path in found]
    if unknown := set(only or ()) - set(names):
        raise SystemExit(f"bench: no script {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return [path for path in found if not only or path.stem in only]


def possible(paths: list[Path], quick: bool) -> list[Path]:
    """Without those that need a GPU, where there is none; says which."""
    import torch

    lacking = [path for path in paths if path.stem in ON_GPU and not quick and not torch.cuda.is_available()]
    for path in lacking:
        print(f"bench: {path.stem} is left out: no GPU here", file=sys.stderr)
    return [path for path in paths if path not in lacking]


def minutes(path: Path) -> int | None:
    """How long a script says that it takes."""
    said = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    found = re.search(r"akes (?:about )?(\d+) minutes?", said)
    return int(found[1]) if found else None


def command(path: Path, quick: bool) -> list[str]:
    """How a script is called, in full or in small."""
    if not quick:
        return [sys.executable, str(path)]
    small = SMALL.get(path.stem, ["--quick"])
    return [sys.executable, str(path), *small, "--output", str(QUICK / f"{path.stem}.json")]


def run(paths: list[Path], quick: bool) -> list[str]:
    """Run scripts one after the other; gives the names of those that failed."""
    expected = [minutes(path) for path in paths]
    known = sum(filter(None, expected))
    silent = [path.stem for path, own in zip(paths, expected, strict=True) if own is None]
    if not quick:
        rest = f", and what {', '.join(silent)} take" if silent else ""
        print(f"bench: about {known} minutes{rest}", file=sys.stderr)
    (QUICK if quick else RESULTS).mkdir(parents=True, exist_ok=True)
    failed, started = [], time.perf_counter()
    for i, path in enumerate(paths, 1):
        spent = (time.perf_counter() - started) / 60
        print(f"\nbench: {path.stem} ({i} of {len(paths)}, {spent:.0f} minutes so far)", file=sys.stderr, flush=True)
        done = subprocess.run(command(path, quick), check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        failed += [path.stem] if done.returncode else []
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="in small: whether everything works, no figures to keep")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these scripts")
    given = parser.parse_args()
    failed = run(possible(scripts(given.only), given.quick), given.quick)
    summary = [sys.executable, str(HERE / "summary.py"), "--results", str(QUICK if given.quick else RESULTS)]
    subprocess.run(summary, check=True)
    if failed:
        raise SystemExit(f"bench: {', '.join(failed)} failed, see above")


if __name__ == "__main__":
    main()
