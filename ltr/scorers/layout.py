"""The folders of sentence-transformers: which modules stand behind the encoder, what they do, and which prompts there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltr.errors import ConfigError, DataError
from ltr.settings import Prompts

MODULES = "modules.json"
FACTS = "config_sentence_transformers.json"
LENGTHS = "sentence_bert_config.json"
#: what older versions called it, by the architecture; newer ones still read these
OLDER_LENGTHS = tuple(
    f"sentence_{kind}_config.json" for kind in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
#: facts: how many numbers of a vector, and how many words of a sparse one, are used
TRUNCATED, MOST_WORDS = "truncate_dim", "max_active_dims"
#: settings that a tokenizer may be given without reading another text
NEUTRAL = {
    "truncation": (True, "longest_first"),
    "padding": (True, False, "longest", "max_length"),
    "return_attention_mask": (True,),
}
#: where their modules are at home: one of the same name from elsewhere may do anything
HOME = "sentence_transformers."
#: what they call a cross-encoder
CROSS = "CrossEncoder"
#: our names of poolings -> theirs
POOLINGS = {"mean": "mean", "first": "cls", "last": "lasttoken"}
#: their older way to say it, which all versions read
FLAGS = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "lasttoken": "pooling_mode_lasttoken",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
}
#: their names of similarities -> ours
SIMILARITIES = {"cosine": "cos", "dot": "dot"}
#: the name of queries' prompt
QUERY_PROMPT = "query"
#: names that documents' prompts have, in the order in which they are looked for
DOC_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True)
class Layout:
    """What a folder says of itself.

    Attributes:
        root: the folder (or the hub id) itself, where the modules' folders stand.
        source: where transformers opens the encoder: there, or in a folder below.
        kinds: class names of the modules, such as ``("Transformer", "Pooling", "Normalize")``.
        folders: of the modules below the root, by their class names.
        prompts: of queries and documents.
        other_prompts: names of those that are for something else.
        doc_prompt_passed_over: the name of documents' prompt where sentence-transformers takes none: it looks for ``document``
            first, which is an empty text where nobody names it (since its version 5); empty where it takes the same.
        similarity: ``cos`` or ``dot``, or their name of another one; None where it does not say.
        truncated: how many numbers of a vector are used; None for all.
        most_words: how many words of a sparse vector are kept, the heaviest; None for all.
        max_length: tokens that are read of a document; None where it does not say.
        max_query_length: of a query; None where it is the same.
        lengths: all that stands beside the encoder.
    """

    root: str
    source: str
    kinds: tuple[str, ...]
    folders: Mapping[str, str]
    prompts: Prompts
    other_prompts: tuple[str, ...]
    doc_prompt_passed_over: str
    similarity: str | None
    truncated: int | None
    most_words: int | None
    max_length: int | None
    max_query_length: int | None
    lengths: Mapping[str, Any]

    def config(self, kind: str, revision: str | None) -> dict[str, Any]:
        """The configuration of a module."""
        return _read(self.root, f"{self.folders[kind]}/config.json".lstrip("/"), revision) or {}

    def file(self, kind: str, name: str, revision: str | None) -> Path | None:
        """A file of a module, from the hub where the model is there; None where there is none."""
        return found(self.root, f"{self.folders[kind]}/{name}".lstrip("/"), revision)


def layout_of(source: str, revision: str | None, who: str) -> Layout | None:
    """The layout of a folder (or a hub id) of sentence-transformers; None for a plain model of transformers.

    Raises:
        ConfigError: an encoder in a place where ltr does not open it, a module of another package, two of one kind, or a
            way to read texts that ltr does not have.
        DataError: a file that cannot be understood.
    """
    modules = _read(source, MODULES, revision)
    if modules is None:
        return None
    own = [str(one["type"]) for one in modules if not str(one["type"]).startswith(HOME)]
    if own:
        raise ConfigError(
            f"{who}: {source} has a module {own[0]}, which is not one of sentence-transformers; what it does is not known here: "
            "let sentence-transformers (for token vectors: MultiVectorEncoder) open the folder and save it, and take that"
        )
    kinds = tuple(str(one["type"]).rpartition(".")[2] for one in modules)
    if twice := [kind for kind in kinds if kinds.count(kind) > 1]:
        raise ConfigError(
            f"{who}: {source} has {kinds.count(twice[0])} modules {twice[0]} one after the other, of which ltr would take one "
            "alone; what they make of a text together is not known here"
        )
    folders = {kind: str(one["path"]) for kind, one in zip(kinds, modules, strict=True)}
    inside = folders.get("Transformer", folders.get("MLMTransformer", ""))
    if inside and not Path(source).is_dir():
        raise ConfigError(f"{who}: {source} keeps its encoder in {inside}; download it, and give the folder")
    facts = _read(source, FACTS, revision) or {}
    lengths = lengths_of(source, revision, inside)
    refuse_processing(lengths, source, who)
    longest = lengths.get("max_seq_length")
    prompts = facts.get("prompts") or {}
    doc_name = next((name for name in DOC_PROMPTS if prompts.get(name)), "")
    doc = prompts.get(doc_name) or ""
    similarity = facts.get("similarity_fn_name") or None
    return Layout(
        source,
        str(Path(source) / inside) if inside else source,
        kinds,
        folders,
        Prompts(prompts.get(QUERY_PROMPT) or "", doc),
        tuple(name for name, text in prompts.items() if text and name not in (QUERY_PROMPT, *DOC_PROMPTS)),
        doc_name if doc_name not in ("", DOC_PROMPTS[0]) else "",
        SIMILARITIES.get(similarity, similarity) if similarity else None,
        facts.get(TRUNCATED),
        facts.get(MOST_WORDS),
        lengths.get("document_length") or longest,
        lengths.get("query_length"),
        lengths,
    )


def lengths_of(source: str, revision: str | None, inside: str = "") -> dict[str, Any]:
    """What stands beside an encoder on how it reads texts; empty where nothing does.

    Args:
        source: the folder, or hub id.
        revision: of a hub model.
        inside: the encoder's folder in it.
    """
    places = (f"{inside}/{name}".lstrip("/") for name in (LENGTHS, *OLDER_LENGTHS))
    return next((told for place in places if (told := _read(source, place, revision))), {})


def refuse_processing(lengths: Mapping[str, Any], source: str, who: str) -> None:
    """Raise ConfigError for a tokenizer that is given settings beside its own (``processing_kwargs``), which ltr does not give;
    those that change no text are let pass."""
    processing = lengths.get("processing_kwargs") or {}
    told = {
        name: {key: value for key, value in (processing.get(name) or {}).items() if value not in NEUTRAL.get(key, ())}
        for name in ("common", "text")
    }
    if any(told.values()):
        shown = {name: others for name, others in told.items() if others}
        raise ConfigError(
            f"{who}: {source} gives its tokenizer settings of its own ({LENGTHS}: processing_kwargs {shown}), which ltr does "
            "not: scores would be others; take them out if they are not meant"
        )


def refuse_lowering(lengths: Mapping[str, Any], tokenizer: Callable[[], Any], source: str, who: str) -> None:
    """Refuse a model that lower-cases texts before its tokenizer, where that does not do so itself.

    Args:
        lengths: see ``lengths_of``.
        tokenizer: opens the model's.
        source, who: for the message.

    Raises:
        ConfigError: it does.
    """
    if not lengths.get("do_lower_case"):
        return
    # slow tokenizers have none, and how they normalise cannot be asked
    normalizer = getattr(getattr(tokenizer(), "backend_tokenizer", None), "normalizer", None)
    if normalizer is None or any(letter.isupper() for letter in normalizer.normalize_str("ABC")):
        raise ConfigError(
            f"{who}: {source} lower-cases texts before its tokenizer reads them (do_lower_case in {LENGTHS}), which ltr does "
            "not: scores would be others; let sentence-transformers open the folder and save it, whose tokenizer then "
            "lower-cases by itself, or set do_lower_case to false if that is meant"
        )


def kinds_of(source: str) -> list[str]:
    """Class names of the modules that a folder (or a hub id) of sentence-transformers lists; none for any other."""
    return [str(one["type"]).rpartition(".")[2] for one in _read(source, MODULES, None) or ()]


def is_cross_encoder(source: str, revision: str | None = None) -> bool:
    """Whether a folder (or a hub id) of sentence-transformers holds a cross-encoder."""
    return (_read(source, FACTS, revision) or {}).get("model_type") == CROSS


def length_of_pairs(source: str, revision: str | None = None) -> int | None:
    """Tokens of query and document together that a cross-encoder of sentence-transformers reads; None where it does not say."""
    if not is_cross_encoder(source, revision) or _read(source, MODULES, revision) is None:
        return None
    return lengths_of(source, revision).get("max_seq_length")


def refuse_reading(source: str, revision: str | None, tokenizer: Callable[[], Any], who: str) -> None:
    """Refuse a cross-encoder of sentence-transformers that reads texts as ltr does not: behind a prompt, lower-cased, or
    by settings of the tokenizer that are not its own.

    Args:
        source: the folder, or hub id.
        revision: of a hub model.
        tokenizer: opens the model's.
        who: for the message.

    Raises:
        ConfigError: it does.
    """
    facts = _read(source, FACTS, revision) or {}
    if facts.get("model_type") != CROSS:
        return
    lengths = lengths_of(source, revision)
    refuse_processing(lengths, source, who)
    refuse_lowering(lengths, tokenizer, source, who)
    prompt = (facts.get("prompts") or {}).get(facts.get("default_prompt_name") or "")
    if prompt:
        raise ConfigError(
            f"{who}: {source} reads texts behind the prompt {prompt!r} (default_prompt_name in {FACTS}), which ltr does not "
            "write: scores would be others; set default_prompt_name to null, and put the prompt before the queries"
        )


def pooling_of(layout: Layout, revision: str | None, who: str) -> tuple[str, bool]:
    """(our name of the pooling, whether vectors are normalised).

    Raises:
        ConfigError: modules or a pooling that ltr does not have.
    """
    wrong = [kind for kind in layout.kinds if kind not in ("Transformer", "Pooling", "Normalize")]
    if wrong or "Pooling" not in layout.kinds:
        what = f"a module {wrong[0]}" if wrong else "no Pooling"
        raise ConfigError(
            f"{who}: {layout.root} has {what}; a bi-encoder is Transformer, Pooling and perhaps Normalize"
        )
    config = layout.config("Pooling", revision)
    mode = config.get("pooling_mode") or [name for name, flag in FLAGS.items() if config.get(flag)]
    names = [mode] if isinstance(mode, str) else list(mode)
    ours = {theirs: own for own, theirs in POOLINGS.items()}
    if len(names) != 1 or names[0] not in ours:
        raise ConfigError(
            f"{who}: {layout.root} pools by {' and '.join(names) or 'nothing'}; ltr pools by {', '.join(ours)}"
        )
    if not config.get("include_prompt", True) and any(layout.prompts):
        raise ConfigError(
            f"{who}: {layout.root} leaves its prompts out of the pooling (include_prompt), which ltr does not; take a "
            "model that includes them, or one without prompts"
        )
    return ours[names[0]], "Normalize" in layout.kinds


def write_layout(
    folder: Path,
    modules: Mapping[str, tuple[str, Mapping[str, Any]]],
    prompts: Prompts,
    similarity: str,
    max_length: int,
    kind: str = "SentenceTransformer",
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write what makes a folder of transformers one of sentence-transformers.

    Args:
        folder: holds the encoder already.
        modules: class path -> (name of its folder, empty for the encoder's; its configuration).
        prompts: of queries and documents.
        similarity: their name of it.
        max_length: tokens that are read of a text.
        kind: their class that opens the folder.
        more: facts beside prompts and similarity, by their names; those that are None are left out.
    """
    listed = []
    for at, (path, (name, config)) in enumerate(modules.items()):
        listed.append({"idx": at, "name": str(at), "path": name, "type": path})
        if name:
            (folder / name).mkdir()
            _write(folder / name / "config.json", config)
    _write(folder / MODULES, listed)
    _write(
        folder / LENGTHS,
        {"max_seq_length": max_length, "do_lower_case": False, **dict(modules)[next(iter(modules))][1]},
    )
    facts = {
        "model_type": kind,
        "prompts": {"query": prompts.query, "document": prompts.doc},
        "default_prompt_name": None,
        "similarity_fn_name": similarity,
    }
    _write(folder / FACTS, facts | {name: value for name, value in (more or {}).items() if value is not None})


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def found(source: str, name: str, revision: str | None) -> Path | None:
    """Where a file of a model lies, which the hub gives where the model is no folder; None where there is none."""
    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.is_file() else None
    from transformers.utils.hub import cached_file

    try:
        kept = cached_file(
            source, name, revision=revision or "main",
            _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False,
            _raise_exceptions_for_gated_repo=False,
        )  # fmt: skip
    except OSError:  # no such model: what opens its configuration says so
        return None
    return None if kept is None else Path(kept)


def _read(source: str, name: str, revision: str | None) -> Any:
    """A JSON file beside a model; None where there is none."""
    path = found(source, name, revision)
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON, as sentence-transformers writes it: {error}") from error
