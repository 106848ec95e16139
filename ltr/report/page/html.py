"""A page as one HTML file: its frame, its contents, and what stands on top of it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files

from ltr import __version__
from ltr.report.page.page import Page
from ltr.report.page.sections import Part, link_part, section_part
from ltr.report.page.tables import paragraphs, plain_table

PAPER = "https://arxiv.org/abs/2506.04446"


def render(page: Page) -> str:
    """The page as the text of one HTML file that needs no network.

    Args:
        page: what to show; what is empty is left out or said to be missing.

    Raises:
        MissingExtra: matplotlib, which draws the pictures, is not installed.
    """
    style, script = asset("page.css"), asset("page.js")
    parts = [section_part(section, f"s{i}") for i, section in enumerate(page.sections, 1)]
    parts += [link_part(page.links)] if page.links else []
    parts += [_configuration(page.configuration)] if page.configuration.strip() else []
    # the policy names the one script by its hash: a script that came with a text would not run
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta name="generator" content="ltr {__version__}">',
            f"<title>{escape(page.title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#main">Skip to the results</a>',
            f'<div class="frame">{_head(page)}<div class="body">{_contents(parts)}<main id="main">',
            *(part.html for part in parts),
            *(["<p>Nothing is finished yet.</p>"] if not parts else []),
            f"</main></div>{_foot()}</div>",
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def asset(name: str) -> str:
    """The text of a file that lies beside this one in the package."""
    return files("ltr.report.page").joinpath(name).read_text(encoding="utf-8")


def _head(page: Page) -> str:
    title = f"<header><h1>{escape(page.title)}</h1>"
    intro = "".join(f'<p class="intro">{text}</p>' for text in paragraphs(page.intro))
    signature = (
        f'<p class="signature"><b>Signature</b> (tables with the same one can be compared): '
        f"<code>{escape(page.signature)}</code></p>"
        if page.signature
        else ""
    )
    return f"{title}{_missing(page.missing)}{intro}{signature}{_failures(page)}</header>"


def _missing(missing: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in missing)
    if not items:
        return ""
    return f'<section class="notice"><h2>This report is not finished. Still missing:</h2><ul>{items}</ul></section>'


def _failures(page: Page) -> str:
    if not page.failures:
        return ""
    count = len(page.failures)
    table = plain_table(["what", "reason"], [list(pair) for pair in page.failures], "What failed, and why")
    what = "1 part failed and stands" if count == 1 else f"{count} parts failed and stand"
    return (
        f'<section class="notice"><h2>{what} in no table</h2>'
        f"<details><summary>Reasons</summary>{table}</details></section>"
    )


def _contents(parts: list[Part]) -> str:
    if not parts:
        return ""
    items = "".join(
        f'<li><a href="#{part.id}">{escape(part.title)}</a>'
        + (f"<ol>{''.join(_entry(id, title) for id, title in part.entries)}</ol>" if part.entries else "")
        + "</li>"
        for part in parts
    )
    return f'<nav aria-label="Contents"><p class="head">Contents</p><ol>{items}</ol></nav>'


def _entry(id: str, title: str) -> str:
    return f'<li><a href="#{id}">{escape(title)}</a></li>'


def _configuration(text: str) -> Part:
    lines = len(text.strip().splitlines())
    body = f"<details><summary>All {lines} lines</summary><pre>{escape(text.strip())}</pre></details>"
    html = f'<section id="configuration"><h2>Full configuration</h2>{body}</section>'
    return Part("configuration", "Full configuration", re.sub(r"^All 1 lines", "The line", html), [])


def _foot() -> str:
    return (
        f"<footer>Made by ltr {escape(__version__)}. Selective losses: G. I. Shamir and M. K. Warmuth, "
        f'<a href="{PAPER}">Selective Matching Losses</a>, 2025.</footer>'
    )
