"""The packages that ltr is measured against and tested with, each set in a virtual environment of its own.

    python benchmarks/speed/common/rivals.py [NAME …] [--check]

Makes the environments that are lacking (some minutes and gigabytes in all); what is there with the wanted versions stays.
They lie in ``.venv-rivals`` at the root of the repository, or in the folder that ``$LTR_RIVALS`` names. Needs nothing but
Python itself.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import types
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]

#: environment -> the packages in it, with their versions
NAMES = {
    "current": ROOT / "benchmarks" / "speed" / "rivals-current.txt",
    "lightning-ir": ROOT / "benchmarks" / "speed" / "rivals-lightning-ir.txt",
    "infinity": ROOT / "benchmarks" / "speed" / "rivals-infinity.txt",
    "clients-cohere-5": ROOT / "tests" / "serving" / "clients" / "cohere-5.txt",
    "clients-cohere-7": ROOT / "tests" / "serving" / "clients" / "cohere-7.txt",
    "schemathesis": ROOT / "tests" / "serving" / "clients" / "schemathesis.txt",
}
#: stands in an environment once all of it is installed, and holds the list that it was made from
DONE = "installed.txt"

#: what allRank imports only to load data, and is not needed for its losses
ALLRANK_ABSENT = ("pkg_resources", "torchvision", "torchvision.transforms", "gcsfs", "flatten_dict")


class Step(NamedTuple):
    """Packages that pip installs together."""

    packages: list[str]
    options: list[str]
    optional: bool


def folder() -> Path:
    """Where the environments lie."""
    return Path(os.environ.get("LTR_RIVALS") or ROOT / ".venv-rivals")


def python_of(name: str) -> Path | None:
    """The interpreter of an environment, or None where it has not been made (or not to its end).

    Args:
        name: ``current`` (sentence-transformers, allRank, PT-Ranking, rax, ranx …) or another of ``NAMES``.

    Raises:
        KeyError: another name.
    """
    if name not in NAMES:
        raise KeyError(f"rivals: no environment {name!r}; there are {', '.join(NAMES)}")
    place = folder() / name
    return interpreter(place) if (place / DONE).is_file() else None


def interpreter(place: Path) -> Path:
    """Where the interpreter of a virtual environment lies."""
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def steps(text: str) -> Iterator[Step]:
    """The paragraphs of a list of packages, in order; one without packages is a mere remark.

    >>> list(steps("# optional: --no-deps\\na==1\\n\\n# a remark\\n\\nb==2\\nc"))
    [Step(packages=['a==1'], options=['--no-deps'], optional=True), Step(packages=['b==2', 'c'], options=[], optional=False)]
    """
    for paragraph in text.split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
        packages = [line for line in lines if not line.startswith("#")]
        said = " ".join(line for line in lines if line.startswith("#"))
        if packages:
            yield Step(packages, ["--no-deps"] if "--no-deps" in said else [], "optional" in said)


def install(name: str) -> Path | None:
    """Make an environment, or leave it when its list of packages has not changed; gives its interpreter.

    Raises:
        SystemExit: pip refused a package that is not optional.
    """
    wanted, place = NAMES[name].read_text(encoding="utf-8"), folder() / name
    if (place / DONE).is_file() and (place / DONE).read_text(encoding="utf-8") == wanted:
        print(f"{name}: is there", file=sys.stderr)
        return python_of(name)
    print(f"{name}: installing into {os.path.relpath(place)}; this takes some minutes", file=sys.stderr)
    (place / DONE).unlink(missing_ok=True)
    venv.create(place, with_pip=True)
    for step in steps(wanted):
        print(f"  {' '.join(step.packages)}", file=sys.stderr, flush=True)
        command = [str(interpreter(place)), "-m", "pip", "install", "--quiet", *step.options, *step.packages]
        if subprocess.run(command, check=False).returncode:
            if not step.optional:
                raise SystemExit(f"rivals: pip could not install {' '.join(step.packages)} into {place}; see above")
            print("  … could not be installed; what needs it is left out of the tables", file=sys.stderr)
    (place / DONE).write_text(wanted, encoding="utf-8")
    return python_of(name)


def stand_in(*modules: str) -> None:
    """Put an empty module in place of each that cannot be imported, so that others that import it can be.

    Every name of such a module is a function that does nothing. For allRank's losses: ``stand_in(*ALLRANK_ABSENT)``.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = _Empty(name)


class _Empty(types.ModuleType):
    __path__: list[str] = []  # noqa: RUF012 (a module's own attribute: it has no folders)

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **options: None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--check", action="store_true", help="install nothing, say what is there")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no environment {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in given.names or NAMES:
        found = python_of(name) if given.check else install(name)
        print(f"{name}: {found or 'not installed'}")


if __name__ == "__main__":
    main()
