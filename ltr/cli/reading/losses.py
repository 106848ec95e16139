"""``ltr losses``: what losses and links there are, and what one of them does."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence

from ltr.cli.command import run
from ltr.errors import ConfigError
from ltr.expressions import class_of, known_names
from ltr.io.importing.declarations import Declared, declared
from ltr.io.names import suggestion
from ltr.losses import FAMILIES


def losses(name: str | None = None, /, links: bool = False) -> None:
    """List every loss with one line, or tell all about one loss, link, target, pair weight or scorer.

    Args:
        name: what to tell about, such as CompositeSoftmax, or a class of your own, such as mypkg.Mine; without it, all
            losses are listed.
        links: list the links instead.
    """
    if name is not None:
        print(described(name))
    else:
        print(link_list() if links else loss_list())


def described(name: str) -> str:
    """Signature and documentation of a public class of ltr, by its short name, or of any class by its full one."""
    if "." in name:
        cls = class_of(name, packages=None)
        parameters = inspect.signature(cls).parameters.values()
        taken = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)
        return f"{name}({taken})\n\n{inspect.getdoc(cls) or ''}".rstrip()
    known = known_names()
    # whoever writes ranknet means RankNet
    exact = {n.lower(): n for n in known}.get(name.lower())
    if exact is None:
        raise ConfigError(f"no loss or link {name!r}; {suggestion(name, known)}; ltr losses lists them")
    told = _declared(exact)
    return f"{exact}({told.signature})\n\n{told.doc}"


def loss_list() -> str:
    """One line per loss: family, name, default targets, first sentence."""
    rows = []
    for family, members in FAMILIES.items():
        for name in members:
            told = _declared(name)
            rows.append((family, name, told.parameters.get("targets") or "", _first_sentence(told)))
    return _aligned([("family", "loss", "targets", "what it does"), *rows])


def link_list() -> str:
    """One line per link: name with its parameters, first sentence."""
    told = [_declared(name) for name in sorted(known_names("ltr.links"))]
    return _aligned(
        [("link", "parameters", "what it does"), *((t.name, ", ".join(t.parameters), _first_sentence(t)) for t in told)]
    )


def _declared(name: str) -> Declared:
    """A class as its source declares it: torch takes seconds to import."""
    return declared(known_names()[name], name)


def _first_sentence(told: Declared) -> str:
    paragraph = " ".join(told.doc.partition("\n\n")[0].split())
    # a sentence ends before a capital letter, an abbreviation does not
    return re.split(r"\. (?=[A-ZΑ-Ω`])", paragraph)[0].rstrip(".:").replace("``", "")


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def main(argv: Sequence[str]) -> None:
    return run(losses, argv, prog="ltr losses")
