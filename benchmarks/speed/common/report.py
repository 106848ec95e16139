"""A result of a speed benchmark: a table on the terminal, and a JSON file that says what was measured, where and with what."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: where results are kept unless ``--output`` names a file
RESULTS = Path(__file__).parents[2] / "results" / "speed"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with the same keys as a Markdown table: numbers to the right, absent values as a dash.

    >>> print(table([{"path": "packed", "x": 1.5}, {"path": "plain", "x": None}]))
    | path   |   x |
    | ------ | --: |
    | packed | 1.5 |
    | plain  |   – |
    """
    names = list(rows[0])
    cells = [[_text(row[name]) for name in names] for row in rows]
    numeric = [all(isinstance(row[name], (int, float, type(None))) for row in rows) for name in names]
    widths = [max(3, len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]

    def line(values: Sequence[str]) -> str:
        placed = (v.rjust(w) if right else v.ljust(w) for v, w, right in zip(values, widths, numeric, strict=True))
        return f"| {' | '.join(placed)} |"

    rule = line(["-" * (w - 1) + ":" if right else "-" * w for w, right in zip(widths, numeric, strict=True)])
    return "\n".join([line(names), rule, *map(line, cells)])


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def machine() -> dict[str, Any]:
    """The processor, its cores and instruction sets that matter, and the operating system; no name of the host."""
    import torch

    name, info = platform.processor(), Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        name = {key.strip(): value.strip() for key, value in lines}.get("model name", name)
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": name,
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions(packages: Sequence[str] = ()) -> dict[str, str]:
    """Versions of Python and of packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write(name: str, result: dict[str, Any], packages: Sequence[str] = ("torch",), output: str | None = None) -> Path:
    """Keep a result as JSON with date, command, versions and machine; says on the terminal where it lies.

    Args:
        name: of the benchmark: ``losses`` is kept as ``benchmarks/results/speed/losses.json``.
        result: what was measured.
        packages: whose versions matter.
        output: another file.
    """
    path = Path(output) if output else RESULTS / f"{name}.json"
    given = f" {shlex.join(sys.argv[1:])}" if sys.argv[1:] else ""
    whole = {
        **result,
        "date": datetime.date.today().isoformat(),
        "command": f"python benchmarks/speed/{name}.py{given}",
        "versions": {**versions(packages), **result.get("versions", {})},
        "machine": machine(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    print(f"kept in {os.path.relpath(path)}", file=sys.stderr)
    return path
