"""``ltr losses``: what losses and links there are, and what one of them does."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence

from ltr.cli.command import run
from ltr.errors import ConfigError
from ltr.io.names import suggestion


def losses(name: str | None = None, /, links: bool = False) -> None:
    """List every loss with one line, or tell all about one loss, link, target or pair weight.

    Args:
        name: what to tell about, such as CompositeSoftmax; without it, all losses are listed.
        links: list the links instead.
    """
    if name is not None:
        print(described(name))
    else:
        print(link_list() if links else loss_list())


def described(name: str) -> str:
    """Signature and documentation of a public name of ltr.losses or ltr.links."""
    from ltr.expressions import known_names

    names = known_names()
    # whoever writes ranknet means RankNet
    exact = {n.lower(): n for n in names}.get(name.lower())
    if exact is None:
        raise ConfigError(f"no loss or link {name!r}; {suggestion(name, names)}; ltr losses lists them")
    found = names[exact]
    return f"{exact}({_signature(found)})\n\n{inspect.getdoc(found)}"


def loss_list() -> str:
    """One line per loss: family, name, first sentence, default targets."""
    import ltr.losses

    rows = []
    for family, members in ltr.losses.FAMILIES.items():
        for name in members:
            loss = getattr(ltr.losses, name)
            targets = inspect.signature(loss).parameters.get("targets")
            default = repr(targets.default) if targets and targets.default is not inspect.Parameter.empty else ""
            rows.append((family, name, default, _first_sentence(loss)))
    return _aligned([("family", "loss", "targets", "what it does"), *rows])


def link_list() -> str:
    """One line per link: name with its parameters, first sentence."""
    import ltr.links

    kinds = [getattr(ltr.links, n) for n in ltr.links.__all__ if n != "Link"]
    rows = [(kind.__name__, ", ".join(inspect.signature(kind).parameters), _first_sentence(kind)) for kind in kinds]
    return _aligned([("link", "parameters", "what it does"), *rows])


def _signature(found: type) -> str:
    parameters = inspect.signature(found).parameters.values()
    return ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)


def _first_sentence(found: type) -> str:
    paragraph = " ".join((inspect.getdoc(found) or "").partition("\n\n")[0].split())
    # a sentence ends before a capital letter, an abbreviation does not
    return re.split(r"\. (?=[A-ZΑ-Ω`])", paragraph)[0].rstrip(".:").replace("``", "")


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def main(argv: Sequence[str]) -> None:
    return run(losses, argv, prog="ltr losses")
