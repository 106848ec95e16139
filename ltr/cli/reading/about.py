"""``ltr --version``: what runs here, for a bug report or to see why ``auto`` chose what it chose."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re

from ltr.errors import DataError
from ltr.machine.cores import affinity, cores, quota

#: packages on whose versions results depend
PACKAGES = ["torch", "pytorch-lightning", "transformers", "tokenizers", "ir-datasets"]
#: extras for those who change ltr itself
INTERNAL = {"dev", "test"}


def about() -> str:
    """Versions, device, threads, cache folder and extras, one line each."""
    rows = [
        ("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        *((name, version_of(name) or "not installed") for name in PACKAGES),
        ("device", device()),
        ("threads", threads()),
        ("cache", cache()),
        ("extras", extras()),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def version_of(package: str) -> str | None:
    """The installed version, read without an import."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def device() -> str:
    """What ``--device auto`` takes, by torch's own word: only torch knows whether driver and build fit each other."""
    try:
        import torch
    except (ImportError, OSError) as error:  # just then one asks for versions
        return f"none: torch does not load ({str(error).strip().splitlines()[0]})"
    if not torch.cuda.is_available():
        return "cpu" + (" (this build of torch knows no GPU)" if torch.version.cuda is None else " (no GPU was found)")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"cuda ({', '.join(names)}; CUDA {torch.version.cuda})"


def threads() -> str:
    """Cores that this process may use and why not more, what the environment says of threads, and how many compute at once."""
    there, share = os.cpu_count() or 1, quota()
    bounds = ["affinity"] if affinity() < there else []
    bounds += [f"a quota of {share:g}"] if share is not None and share < affinity() else []
    shown = f"{cores()} of {there} cores ({', '.join(bounds)})" if bounds else f"{there} cores"
    return f"{shown}, OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS') or 'not set'}{at_work()}"


def at_work() -> str:
    """How many workers compute at once on a CPU; empty where torch does not load."""
    try:
        from ltr.machine.threads import workers
    except (ImportError, OSError):
        return ""
    return f", at work {workers()}"


def cache() -> str:
    """The folder of the cache, and who chose it."""
    from ltr.io.caching.cache_folder import cache_folder

    chosen = next((name for name in ("LTR_CACHE", "XDG_CACHE_HOME") if os.environ.get(name)), "default")
    try:
        return f"{cache_folder()} ({chosen})"
    except DataError as error:
        return str(error)


def extras() -> str:
    """Extras whose packages are all there, and what the others lack."""
    lacking: dict[str, list[str]] = {}
    try:
        needs = importlib.metadata.requires("ltr") or []
    except importlib.metadata.PackageNotFoundError:
        return "unknown: ltr was not installed by pip"
    for need in needs:
        requirement = re.match(r"([\w.-]+).*;.*extra == ['\"]([\w-]+)['\"]", need)
        if requirement and requirement[2] not in INTERNAL:
            missing = lacking.setdefault(requirement[2], [])
            missing += [] if version_of(requirement[1]) else [requirement[1]]
    here = ", ".join(name for name, missing in lacking.items() if not missing) or "none"
    rest = [f"{name} ({', '.join(missing)} missing)" for name, missing in lacking.items() if missing]
    return "; ".join([here, *rest])
