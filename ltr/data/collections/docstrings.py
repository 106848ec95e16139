"""Docstrings of the public objects of installed modules.

Runs as a process of its own (``python -m ltr.data.collections.docstrings OUT``), so that the one that asks imports none of the
packages. Importing beats parsing source here: documentation of compiled functions, and of functions whose docstring is
put together by decorators, exists only at run time, and so do the public names of what lives in private modules.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import types
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

#: public modules of the standard library; those that a platform or a Python release does not have are passed over
STDLIB = """
    builtins os os.path pathlib shutil glob fnmatch tempfile fileinput filecmp stat io sys platform errno
    string re difflib textwrap unicodedata locale gettext codecs struct
    datetime calendar time zoneinfo collections collections.abc heapq bisect array weakref types copy pprint reprlib enum
    graphlib numbers math cmath decimal fractions random statistics itertools functools operator
    pickle copyreg shelve dbm sqlite3 zlib gzip bz2 lzma zipfile tarfile csv configparser tomllib netrc plistlib
    hashlib hmac secrets argparse optparse getopt logging logging.config logging.handlers getpass curses ctypes
    threading multiprocessing multiprocessing.pool multiprocessing.shared_memory concurrent.futures subprocess sched queue
    contextvars asyncio socket ssl select selectors signal mmap
    email email.message email.utils email.policy email.header json mailbox mimetypes base64 binascii quopri
    html html.parser xml.etree.ElementTree xml.dom xml.dom.minidom xml.sax xml.sax.saxutils
    webbrowser wsgiref.util urllib.request urllib.parse urllib.error urllib.robotparser http http.client http.server
    http.cookies http.cookiejar ftplib poplib imaplib smtplib uuid socketserver xmlrpc.client xmlrpc.server ipaddress
    wave colorsys cmd shlex typing doctest unittest unittest.mock pdb bdb faulthandler cProfile pstats timeit trace
    tracemalloc sysconfig warnings dataclasses contextlib abc atexit traceback gc inspect site code codeop zipimport
    pkgutil modulefinder runpy importlib importlib.metadata importlib.resources importlib.util importlib.abc
    importlib.machinery ast symtable token keyword tokenize tabnanny pyclbr py_compile compileall dis pickletools
    pwd grp termios tty pty fcntl resource syslog venv zipapp ensurepip
"""

#: public modules of packages that this project needs anyway; each package's are read in this order
PACKAGES = {
    "numpy": "numpy numpy.linalg numpy.fft numpy.random numpy.ma numpy.char numpy.strings numpy.polynomial "
    "numpy.lib.stride_tricks numpy.lib.format numpy.testing",
    "scipy": "scipy.cluster.hierarchy scipy.cluster.vq scipy.constants scipy.datasets scipy.fft scipy.integrate "
    "scipy.interpolate scipy.io scipy.linalg scipy.ndimage scipy.odr scipy.optimize scipy.signal scipy.sparse "
    "scipy.sparse.linalg scipy.sparse.csgraph scipy.spatial scipy.spatial.distance scipy.special scipy.stats "
    "scipy.stats.qmc",
    "pandas": "pandas pandas.api.types pandas.api.extensions pandas.api.indexers pandas.api.typing pandas.tseries.offsets "
    "pandas.plotting pandas.testing",
    "torch": "torch torch.nn torch.nn.functional torch.nn.init torch.nn.utils torch.nn.utils.rnn torch.optim "
    "torch.optim.lr_scheduler torch.optim.swa_utils torch.utils.data torch.distributions torch.linalg torch.fft "
    "torch.special torch.autograd torch.sparse torch.utils.checkpoint torch.amp torch.random",
    "networkx": "networkx",
}


def modules_of(top: str) -> list[str]:
    """The public modules of a package that are read."""
    return PACKAGES.get(top, "").split()


class Documented(NamedTuple):
    """A public object and its documentation; ``alias`` tells that it was defined under another name or class."""

    name: str
    parameters: list[str] | None
    doc: str
    alias: bool = False


def documented(module_name: str) -> Iterator[Documented]:
    """The public functions and classes of a module, with the classes' methods and properties, in order of name."""
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return
    names = getattr(module, "__all__", None)
    for name in sorted(set(names) if names is not None else vars(module)):
        value = getattr(module, name, None)
        if name.startswith("_") or (names is None and not _at_home(value, module_name)):
            continue
        if inspect.isclass(value):
            yield from _class(f"{module_name}.{name}", value)
        elif callable(value) and not isinstance(value, types.ModuleType):
            yield from _documented(f"{module_name}.{name}", value)


def _at_home(value: Any, module_name: str) -> bool:
    """Whether a module without ``__all__`` defines a value itself, or in its private twin (``_struct``)."""
    home = getattr(value, "__module__", None) or ""
    top = module_name.partition(".")[0]
    return home.lstrip("_") == module_name or (home.startswith(f"{top}.") and top in PACKAGES)


def _class(name: str, cls: type) -> Iterator[Documented]:
    if issubclass(cls, Warning) or type(cls).__name__ == "tensortype":
        return  # torch's typed tensors (torch.IntTensor, …) repeat torch.Tensor
    yield from _documented(name, cls)
    top, _, last = name.rpartition(".")
    top = top.partition(".")[0]
    for member in sorted(dir(cls)):
        value = inspect.getattr_static(cls, member, None)
        owner = next((c for c in cls.__mro__ if member in vars(c)), None)
        if member.startswith("_") or value is None or owner is None or inspect.isclass(value):
            continue
        # what a class takes over from another package or from a builtin type is documented there
        if owner is cls or (owner.__module__.partition(".")[0] == top and top in PACKAGES):
            value = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            yield from _documented(f"{name}.{member}", value, owner is not cls or cls.__name__ != last)


def _documented(name: str, value: Any, alias: bool = False) -> Iterator[Documented]:
    doc = getattr(value, "__doc__", None)
    if not isinstance(doc, str) or not doc.strip():
        return
    if not inspect.isclass(value) and doc == type(value).__doc__:
        return  # an instance without documentation of its own shows its class's
    last = name.rpartition(".")[2]
    yield Documented(name, _parameters(value), inspect.cleandoc(doc), alias or getattr(value, "__name__", last) != last)


#: parameters that say nothing about what a function does
USUAL = {"self", "cls", "args", "kwargs", "kwds", "backend", "backend_kwargs"}


def _parameters(value: Any) -> list[str] | None:
    if type(value).__name__ == "ufunc":  # x1, x2, out, where, casting, ... for every one
        return None
    try:
        signature = inspect.signature(value)
    except Exception:  # compiled without a signature, a property, or one that its own module cannot evaluate
        return None
    return [p.name for p in signature.parameters.values() if p.name not in USUAL]


def merged(records: Iterable[Documented]) -> list[Documented]:
    """One record for each distinct documentation, under the name that a reader would look for.

    That is one that the object was defined under rather than an alias or a subclass's, and of several the shortest.
    """
    best: dict[str, Documented] = {}
    for record in records:
        text = " ".join(record.doc.split()).lower()
        other = best.setdefault(text, record)
        if (record.alias, len(record.name), record.name) < (other.alias, len(other.name), other.name):
            best[text] = record
    return sorted(best.values(), key=lambda r: r.name)


def main(out: str) -> None:
    """Write the documentation of all modules as JSON lines."""
    warnings.simplefilter("ignore")  # deprecated names warn when touched
    modules = [*STDLIB.split(), *(m for top in PACKAGES for m in modules_of(top))]
    with open(out, "w", encoding="utf-8") as file:
        for record in merged(r for module in modules for r in documented(module)):
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
