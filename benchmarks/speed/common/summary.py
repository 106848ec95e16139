"""One page of all speed results, made from what the scripts left.

    python benchmarks/speed/common/summary.py [--results FOLDER]

Reads ``benchmarks/results/speed/*.json`` and writes ``README.md`` beside them. Lists of rows become tables; other figures
become lines; what each round measured stays in the JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import report

#: first what most want to know; others follow in order of their names
ORDER = ("rerank", "train", "losses", "evaluate", "loading", "machine")
#: told in one line under each table
FACTS = {"what", "date", "command", "versions", "machine", "quick"}


def page(results: dict[str, dict[str, Any]]) -> str:
    """The page of several results, by name of their script."""
    parts = [
        "# How fast",
        "Made by `make bench`, which installs everything that ltr is compared with; each table by the command under it. "
        "Ratios hold between rows of one table: they were measured in turn, in one run, on one machine.",
    ]
    known = [name for name in ORDER if name in results]
    for name in [*known, *sorted(set(results) - set(known))]:
        parts += [f"## {name}", *section(results[name])]
    return "\n\n".join(parts) + "\n"


def section(result: dict[str, Any]) -> list[str]:
    """The paragraphs of one result."""
    parts = [sentence(str(result["what"]))] if result.get("what") else []
    if result.get("quick"):
        parts.append("**Measured with `--quick`: shows that the script works, and no speed.**")
    lines = []
    for key, value in result.items():
        if key in FACTS:
            continue
        if rows := table_rows(value):
            parts += [f"{key}:", report.table(rows)] if key not in ("rows", "products") else [report.table(rows)]
        elif isinstance(value, (str, int, float)):
            lines.append(f"- {key.replace('_', ' ')}: {value:.4g}" if isinstance(value, float) else f"- {key}: {value}")
        elif isinstance(value, dict) and value and all(isinstance(v, (str, int, float)) for v in value.values()):
            told = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in value.items())
            lines.append(f"- {key.replace('_', ' ')}: {', '.join(told)}")
    return [*parts, *(["\n".join(lines)] if lines else []), origin(result)]


def table_rows(value: Any) -> list[dict[str, Any]] | None:
    """Rows for a table, where a value is a list of them or names them; cells are numbers and short texts."""
    if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
        value = [{"case": name, **row} for name, row in value.items()]
    if not (isinstance(value, list) and value and all(isinstance(row, dict) for row in value)):
        return None
    names = list(dict.fromkeys(key for row in value for key in row))
    rows = [{name: row.get(name) for name in names} for row in value]
    plain = (str, int, float, type(None))
    kept = [name for name in names if all(isinstance(row[name], plain) for row in rows)]
    return [{name: row[name] for name in kept} for row in rows] or None


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def origin(result: dict[str, Any]) -> str:
    """When, where and with what a result was measured."""
    machine, versions = result.get("machine", "?"), result.get("versions", {})
    where = machine if isinstance(machine, str) else ", ".join(f"{k} {v}" for k, v in machine.items())
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"`{result.get('command', '?').strip()}`, {result.get('date', 'no date')}; {where}; {packages}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    given = parser.parse_args()
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(given.results.glob("*.json"))}
    if not results:
        raise SystemExit(f"summary: no results in {given.results}; run make bench")
    target = given.results / "README.md"
    target.write_text(page(results), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
