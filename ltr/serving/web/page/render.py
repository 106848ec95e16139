"""The texts of the pages, and the policies that forbid them to load anything."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files

from ltr import __version__
from ltr.report.page.html import asset as report_asset
from ltr.serving.dialects.base import Json


def page(key_needed: bool) -> tuple[str, str]:
    """(text, content security policy) of the page that ranks what a person pastes.

    Args:
        key_needed: it asks for a key.
    """
    style = report_asset("page.css") + asset("try.css")
    script = asset("try.js")
    text = (
        asset("try.html")
        .replace("{{style}}", style)
        .replace("{{script}}", script)
        .replace("{{version}}", escape(__version__))
        .replace("{{key}}", "" if key_needed else "hidden")
    )
    return text, _policy(script)


def reference(description: Json) -> tuple[str, str]:
    """(text, content security policy) of the page that describes all addresses."""
    parts = []
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(path, method.upper(), operation))
    text = (
        asset("docs.html")
        .replace("{{style}}", report_asset("page.css") + asset("try.css"))
        .replace("{{version}}", escape(__version__))
        .replace("{{operations}}", "\n".join(parts))
    )
    return text, _policy(None)


def _operation(path: str, method: str, operation: Json) -> str:
    head = f"<h2><code>{method} {escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>"
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schemas = content.get("schema", {})
    each = [schemas] if "title" in schemas else schemas.get("anyOf", [])
    bodies = "".join(map(_body, each))
    codes = "".join(
        f"<tr><th><code>{escape(code)}</code></th><td>{escape(told['description'])}</td></tr>"
        for code, told in operation["responses"].items()
    )
    return f"<section>{head}{bodies}<details><summary>Statuses</summary><table>{codes}</table></details></section>"


def _body(schema: Json) -> str:
    needed = schema.get("required", ())
    pairs = {name: field for pair in schema.get("anyOf", ()) for name, field in pair["properties"].items()}
    rows = "".join(
        f"<tr><th><code>{escape(name)}</code>{' *' if name in needed else ''}</th>"
        f"<td><code>{escape(_type(field))}</code></td><td>{escape(field.get('description', ''))}</td></tr>"
        for name, field in {**pairs, **schema["properties"]}.items()
    )
    return f'<h3>{escape(schema["title"])}</h3><div class="wide"><table>{rows}</table></div>'


def _type(field: Json) -> str:
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    if "enum" in field:
        return " or ".join(json.dumps(value) for value in field["enum"])
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    return " or ".join(f"list of {_type(field['items'])}" if kind == "array" else kind for kind in kinds)


def asset(name: str) -> str:
    """The text of a file that lies beside this one in the package."""
    return files("ltr.serving.web.page").joinpath(name).read_text(encoding="utf-8")


def _policy(script: str | None) -> str:
    """The one script is named by its hash; it may speak with this server alone."""
    own = "'none'"
    if script is not None:
        own = f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {own}; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
