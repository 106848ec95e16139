"""One static site of guides, results and a reference of every class: what ``make docs`` runs.

Pages are made by Zensical, the successor of Material for MkDocs, from a configuration in the latter's form. The site repeats the repository's folders, so that links work there as they do where the code is hosted. It asks for nothing from
the network, neither when it is built nor when it is read, and opens from a disk. Needs the extra ``docs``; imports nothing of ltr.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import griffe
import yaml

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
#: what pages are made from, and what they link to
MIRRORED = [
    "*.md",
    "ltr/guides/*.md",
    "data/*",
    "configs/**/*.md",
    "configs/**/*.yaml",
    "benchmarks/results/**/*",
]
#: modules with a page of their own beside the packages, which show what they import
MODULES = ["ltr.batch", "ltr.errors", "ltr.io.trec"]
CONFIGURATION = {
    "site_name": "ltr",
    "site_description": "Learning to rank with losses that know where accuracy matters",
    "docs_dir": "docs",
    "site_dir": "site",
    "use_directory_urls": False,  # pages open from a disk, without a server
    "theme": {
        "font": False,  # those of the reader's system: others would be fetched
        "language": "en",
        "icon": {"logo": "lucide/list-ordered"},
        "features": ["content.code.copy", "navigation.footer", "navigation.indexes", "navigation.top", "toc.follow"],
        "palette": [
            {
                "media": f"(prefers-color-scheme: {scheme})",
                "scheme": name,
                "toggle": {"icon": f"lucide/{icon}", "name": f"Switch to {other} mode"},
            }
            for scheme, name, icon, other in (
                ("light", "default", "moon", "dark"),
                ("dark", "slate", "sun", "light"),
            )
        ],
    },
    "extra_css": ["site.css"],
    "markdown_extensions": [
        "admonition",
        "attr_list",
        "tables",
        {"toc": {"permalink": True}},
        "pymdownx.superfences",
        {"pymdownx.highlight": {"use_pygments": True}},
    ],
    "plugins": [
        "search",
        "offline",
        {
            "mkdocstrings": {
                "handlers": {
                    "python": {
                        "paths": [str(ROOT)],
                        "options": {
                            "extensions": [{str(Path(__file__)): {}}],
                            "docstring_style": "google",
                            "docstring_section_style": "list",
                            "docstring_options": {"warn_unknown_params": False, "warnings": False},
                            "filters": ["!^_"],
                            "heading_level": 2,
                            "members_order": "source",
                            "merge_init_into_class": True,
                            "separate_signature": True,
                            "show_bases": False,
                            "show_root_heading": True,
                            "show_root_full_path": False,
                            "show_root_toc_entry": True,
                            "show_signature_annotations": False,
                            "show_source": False,
                            "show_symbol_type_heading": True,
                            "show_symbol_type_toc": True,
                        },
                    }
                }
            }
        },
    ],
    # named so that the plugin offline asks for no other of this name on the network
    "extra": {"generator": False, "polyfills": ["iframe-worker.js"]},
}
STYLE = """\
.md-grid { max-width: 72rem; }
.md-typeset pre > code { font-size: .68rem; line-height: 1.35; }
.md-typeset table:not([class]) { font-size: .7rem; }
.md-typeset table:not([class]) :is(td, th) { padding: .5em .9em; }
.md-typeset table:not([class]) td:not([style*="right"]) { min-width: 7rem; }
.md-typeset table:not([class]) th[style*="right"] { min-width: 0; }
.md-typeset table:not([class]) td[style*="right"] { white-space: nowrap; }
.md-typeset table:not([class]) code { word-break: normal; }
.doc-contents > p:first-child { margin-top: 0; }
"""


#: browsers start no workers for pages that lie on a disk; the search runs in a hidden frame there
WORKER = """\
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    onmessage = null;
    onerror = null;
    #frame = document.createElement("iframe");
    #waiting = [];

    constructor(url) {
      super();
      this.#frame.hidden = true;
      document.body.append(this.#frame);
      const inside = this.#frame.contentWindow;
      inside.postMessage = data => setTimeout(() => {
        const event = new MessageEvent("message", { data: structuredClone(data) });
        this.onmessage?.(event);
        this.dispatchEvent(event);
      });
      const script = inside.document.createElement("script");
      script.src = new URL(url, document.baseURI);
      script.onload = () => {
        const waiting = this.#waiting;
        this.#waiting = null;
        waiting.forEach(data => this.postMessage(data));
      };
      script.onerror = event => this.onerror?.(event);
      inside.document.body.append(script);
    }

    postMessage(data) {
      if (this.#waiting) {
        this.#waiting.push(data);
        return;
      }
      const inside = this.#frame.contentWindow;
      const event = new inside.MessageEvent("message", { data: structuredClone(data) });
      setTimeout(() => { inside.onmessage?.(event); inside.dispatchEvent(event); });
    }

    terminate() {
      this.#frame.remove();
    }
  };
}
"""


class Docstrings(griffe.Extension):
    """Docstrings as Markdown means them."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """A docstring whose examples are code, not quotations, and whose source and notes are paragraphs of their own."""
    text = re.sub(r"(?<=\S)\n(Note|Source): ", r"\n\n\1: ", docstring)
    return re.sub(r"^>>> (?:.+\n?)+", lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text, flags=re.MULTILINE)


def mirror(docs: Path) -> None:
    """Copy what pages are made from, in the folders in which it lies."""
    for pattern in MIRRORED:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                place = docs / path.relative_to(ROOT)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)


def title_of(page: Path) -> str:
    return next(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("# "))[2:]


def reference(docs: Path) -> list[dict[str, str]]:
    """Write a page for each package with public names; returns their entries of the navigation."""
    package = griffe.load("ltr", search_paths=[str(ROOT)], resolve_aliases=True)
    pages = {f"ltr.{name}": public(module) for name, module in package.modules.items() if module.is_init_module}
    folder = docs / "reference"
    folder.mkdir()
    entries = []
    for name in [*(name for name, members in pages.items() if members), *MODULES]:
        lines = [f"# {name}", ""]
        if name in pages:
            lines += [package[name.removeprefix("ltr.")].docstring.value, ""]
            lines += [f"::: {name}.{member}\n" for member in pages[name]]
        else:
            lines += [f"::: {name}", "    options:", "      show_root_heading: false", ""]
        (folder / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
        entries.append({name: f"reference/{name}.md"})
    return entries


def public(module: griffe.Module) -> list[str]:
    """Classes and functions that a package imports from its own modules, to be found under its name."""
    return [
        name
        for name, member in module.members.items()
        if member.is_alias
        and member.target_path.startswith(f"{module.path}.")  # type: ignore[union-attr]
        and (member.is_class or member.is_function)
    ]


def navigation(docs: Path) -> list[dict[str, object]]:
    """The order in which pages stand."""
    guides = re.findall(
        r"^- \[\w+\]\((\w+)\.md\)", (docs / "ltr/guides/README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    results = sorted(docs.glob("benchmarks/results/*/README.md"))
    return [
        {"Start": "README.md"},
        {
            "Guides": [
                "ltr/guides/README.md",
                *({title_of(docs / f"ltr/guides/{g}.md"): f"ltr/guides/{g}.md"} for g in guides),
            ]
        },
        {
            "Data and recipes": [
                {title_of(docs / path): path}
                for path in ("data/README.md", "configs/recipes/README.md", "configs/benchmarks/README.md")
            ]
        },
        {"Results": [{title_of(path): str(path.relative_to(docs))} for path in results]},
        {"Reference": reference(docs)},
        {"Changes": "CHANGELOG.md"},
        {"Contributing": "CONTRIBUTING.md"},
    ]


def main() -> int:
    docs = BUILD / "docs"
    shutil.rmtree(docs, ignore_errors=True)
    mirror(docs)
    (docs / "site.css").write_text(STYLE, encoding="utf-8")
    (docs / "iframe-worker.js").write_text(WORKER, encoding="utf-8")
    configuration = BUILD / "mkdocs.yml"
    settings = {**CONFIGURATION, "nav": navigation(docs)}
    configuration.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(configuration)])
    if not done.returncode:
        print(f"open {(BUILD / 'site' / 'index.html').relative_to(ROOT)}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
