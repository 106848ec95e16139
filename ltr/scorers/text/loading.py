"""Opening an encoder with one scoring logit: safe files only, settings checked, one clear line about a fresh head."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from ltr.errors import ConfigError
from ltr.io.model_names import ADAPTER, VOCABULARIES, holds_tokenizer, tokenizer_source
from ltr.machine.forks import across_forks
from ltr.scorers.text.heads import in_head
from ltr.scorers.views import plain
from ltr.settings.texts import FILE

log = logging.getLogger(__name__)

#: settings of the architectures for one kind of dropout
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")
HIDDEN_DROPOUT = ("hidden_dropout_prob", "dropout", "mlp_dropout", "embedding_dropout")
HEAD_DROPOUT = ("classifier_dropout", "seq_classif_dropout", "cls_dropout")


def load(
    source: str,
    attention_dropout: float | None,
    dropout: float | None,
    head_dropout: float | None,
    layers: int | None,
    revision: str | None,
) -> tuple[Any, bool]:
    """(transformers model for sequence classification with one logit, whether its head is new).

    Raises:
        ConfigError: for a name that is neither a folder nor on the hub, a folder without config.json or without
            safetensors, a head of several labels, a dropout outside [0, 1), more layers than there are.
    """
    from transformers import AutoModelForSequenceClassification

    config = _config(source, revision)
    _set_dropout(config, "head_dropout", HEAD_DROPOUT, head_dropout)
    prepare(config, "CrossEncoder", source, attention_dropout, dropout, layers)
    model, missing = opened(AutoModelForSequenceClassification, config, "CrossEncoder", source, revision)
    lost = [name for name in missing if not in_head(model, name)]
    _refuse_lost(lost, "CrossEncoder", source)
    if missing:
        log.info("%s has no scoring head: %s start from random values", source, ", ".join(missing))
    return model, bool(missing)


def load_encoder(
    kind: Any,
    who: str,
    source: str,
    attention_dropout: float | None,
    dropout: float | None,
    layers: int | None,
    revision: str | None,
) -> Any:
    """transformers' model of texts that are read alone: an encoder, or one with its masked-LM head.

    Args:
        kind: transformers' class that opens it, such as ``AutoModel``.
        who: the scorer, for messages.
        source, attention_dropout, dropout, layers, revision: see ``CrossEncoder``.

    Raises:
        ConfigError: as ``load`` does, and for a cross-encoder.
    """
    config = config_of(source, revision, who)
    if any("ForSequenceClassification" in name for name in config.architectures or ()):
        raise ConfigError(
            f"{who}: {source} is a cross-encoder ({config.architectures[0]}), which reads query and document together and "
            f"gives no vectors; start from its backbone, or take model.scorer=CrossEncoder"
        )
    prepare(config, who, source, attention_dropout, dropout, layers)
    model, missing = opened(kind, config, who, source, revision)
    # no vector is made by a pooler: what stands there stays as it is
    lost = [name for name in missing if "pooler." not in name]
    head = [name for name in lost if not name.startswith(f"{model.base_model_prefix}.")]
    if head and model is not model.base_model:
        raise ConfigError(
            f"{who}: {source} has no masked-LM head ({head[0]} and {len(head) - 1} other tensors are not there), and a fresh "
            "one would give random weights; take a masked-language model, such as distilbert-base-uncased"
        )
    _refuse_lost(lost, who, source)
    for name, parameter in model.named_parameters():
        if "pooler." in name:
            parameter.requires_grad_(False)
    return model


def prepare(
    config: Any, who: str, source: str, attention_dropout: float | None, dropout: float | None, layers: int | None
) -> None:
    """Set dropout and the number of layers in a configuration. Raises ConfigError for what cannot be."""
    _set_dropout(config, "attention_dropout", ATTENTION_DROPOUT, attention_dropout, who)
    _set_dropout(config, "dropout", HIDDEN_DROPOUT, dropout, who)
    if layers is not None:
        if not 1 <= layers <= config.num_hidden_layers:
            raise ConfigError(f"{who}: layers must be 1 to {config.num_hidden_layers} for {source}, got {layers}")
        config.num_hidden_layers = layers


def opened(kind: Any, config: Any, who: str, source: str, revision: str | None) -> tuple[Any, list[str]]:
    """(a model, the tensors that its weights lack). Raises ConfigError where it cannot be opened safely."""
    _check_weights(source, who)
    try:
        with quiet():
            model, report = kind.from_pretrained(
                source, config=config, revision=revision or "main", use_safetensors=True, trust_remote_code=False,
                dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"{who}: cannot open {source}: {_first_line(error)}") from error
    wrong = sorted(entry[0] for entry in report["mismatched_keys"])
    if wrong:
        raise ConfigError(
            f"{who}: {len(wrong)} tensors in {source} have another size than config.json says, such as {wrong[0]}; "
            "the two files do not belong together"
        )
    refuse_adapter(model, source, who)
    return model, sorted(report["missing_keys"])


def empty(source: str) -> tuple[Any, int]:
    """A model with the embeddings, the head and one layer that config.json describes, with random weights; and how many
    layers it should have.

    Raises:
        ConfigError: as ``load`` does for the configuration.
    """
    from transformers import AutoModelForSequenceClassification

    config = _config(source, None)
    number, config.num_hidden_layers = config.num_hidden_layers, 1
    # the random values are thrown away, so the caller's generator must not have drawn them
    with quiet(), torch.random.fork_rng(devices=[]):
        return AutoModelForSequenceClassification.from_config(config), number


def open_tokenizer(source: str, revision: str | None) -> Any:
    """The fast tokenizer beside the model, or beside the base of an adapter that has none."""
    from transformers import AutoTokenizer

    # without any file transformers would make up an empty vocabulary
    place = tokenizer_source(source)
    folder = Path(place)
    if folder.is_dir() and not holds_tokenizer(folder):
        raise ConfigError(f"no tokenizer in {place}: it holds none of {', '.join(VOCABULARIES)}")
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(place, revision=revision or "main", trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no tokenizer in {place}: {_first_line(error)}") from error


def open_cutting(source: str, revision: str | None, who: str) -> Any:
    """``open_tokenizer`` for a scorer that reads the beginning of a text that is too long; another habit of a model is told."""
    tokenizer = open_tokenizer(source, revision)
    if tokenizer.truncation_side == "left" and not (Path(source) / FILE).is_file():
        log.warning(
            "%s: the tokenizer of %s keeps the end of a text that is too long (truncation_side left), and ltr its beginning: such "
            "texts have other scores than elsewhere; give a larger max_length, or shorten texts yourself",
            *(who, source),
        )
    return tokenizer


class _Quiet:
    """How many threads want transformers to be quiet, and how it was before the first of them."""

    lock = across_forks(threading.Lock())
    wanting = 0
    before = (0, False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' loading bars and its table of fresh weights, which ``load`` says in one line."""
    from transformers.utils import logging as noise

    with _Quiet.lock:
        if not _Quiet.wanting:
            _Quiet.before = noise.get_verbosity(), noise.is_progress_bar_enabled()
            noise.set_verbosity_error()
            noise.disable_progress_bar()
        _Quiet.wanting += 1
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.wanting -= 1
            if not _Quiet.wanting:
                level, bars = _Quiet.before
                noise.set_verbosity(level)
                if bars:
                    noise.enable_progress_bar()


def encoder_layers(model: Any) -> nn.ModuleList:
    """The stack of layers of the encoder."""
    for module in model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == model.config.num_hidden_layers:
            return module
    raise ConfigError(f"CrossEncoder: {type(model).__name__} has no list of layers; freeze_layers must be 0")


def takes_segments(model: Any) -> bool:
    """Whether a model, compiled or not, tells the query's tokens from the document's by their type."""
    # what torch.compile gives takes any arguments by its signature
    known = "token_type_ids" in inspect.signature(plain(model).forward).parameters
    return known and (getattr(model.config, "type_vocab_size", 0) or 0) > 1


def takes_mask(model: Any) -> bool:
    """Whether a model, compiled or not, wants to know which tokens are real: FNet, which mixes all, did not in transformers 4."""
    known = inspect.signature(plain(model).forward).parameters.values()
    # one that takes whatever it is given may hand it on: without a mask padding would be read as text
    return any(one.name == "attention_mask" or one.kind is one.VAR_KEYWORD for one in known)


def max_positions(config: Any) -> int | None:
    """How many tokens a text may have, or None where positions are without bound."""
    positions = getattr(config, "max_position_embeddings", None)
    if not positions or positions < 0:
        return None
    # RoBERTa and its kin count positions from the padding id upwards
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        return positions - config.pad_token_id - 1
    return positions


def check_length(config: Any, source: str, max_length: int, who: str = "CrossEncoder") -> None:
    """Raise ConfigError unless the model from ``source`` has positions for ``max_length`` tokens."""
    positions = max_positions(config)
    if positions is not None and max_length > positions:
        raise ConfigError(
            f"{who}: {source} reads at most {positions} tokens, got texts of up to {max_length}; set max_length to "
            f"{positions} or less"
        )


def _config(source: str, revision: str | None) -> Any:
    """The configuration of a model with one logit."""
    config = config_of(source, revision, "CrossEncoder")
    classifies = any("ForSequenceClassification" in name for name in config.architectures or ())
    if classifies and config.num_labels != 1:
        raise ConfigError(
            f"CrossEncoder: {source} has a head of {config.num_labels} labels; a ranker needs one logit: "
            "start from its backbone, or from a model with num_labels 1"
        )
    config.num_labels = 1
    return config


def config_of(source: str, revision: str | None, who: str) -> Any:
    """transformers' configuration of a model. Raises ConfigError, in the name of ``who``, where there is none."""
    from transformers import AutoConfig

    folder = Path(source)
    if folder.is_dir() and not (folder / "config.json").exists():
        inside = sorted(p.parent for p in folder.glob("*/config.json"))
        hint = f"; did you mean {inside[0]}?" if inside else ""
        if (folder / FILE).exists():
            hint = "; it holds a scorer on features: open it with ltr.inference.FeatureRanker.load"
        raise ConfigError(f"{who}: the folder {source} holds no config.json, so it is no saved model{hint}")
    if not folder.is_dir() and (folder.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1):
        raise ConfigError(f"{who}: no folder {source}; give a folder with config.json or a hub id")
    try:
        return AutoConfig.from_pretrained(source, revision=revision or "main", trust_remote_code=False)
    except (OSError, ValueError) as error:
        offline = " (the hub is switched off by HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise ConfigError(
            f"{who}: {source} is neither a folder here nor a model that can be fetched{offline}: {_first_line(error)}"
        ) from error


def _check_weights(source: str, who: str) -> None:
    folder = Path(source)
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        pickled = [p.name for p in sorted(folder.glob("*.bin"))]
        got = f"only {', '.join(pickled)}, which may run code when opened" if pickled else "no weights"
        raise ConfigError(
            f"{who}: {source} must hold its weights as *.safetensors, found {got}; save it again with "
            "transformers' save_pretrained"
        )


def refuse_adapter(model: Any, source: str, who: str) -> None:
    """Refuse weights beside which an adapter lies: what reads layers by their weights, and what saves them, would miss it.

    transformers puts it around the layers where peft is installed, leaves it out where it is not, and forgets a head that was
    trained with it.

    Raises:
        ConfigError: there is one.
    """
    if (Path(source) / ADAPTER).is_file() or getattr(model, "_hf_peft_config_loaded", False):
        raise ConfigError(
            f"{who}: {source} holds an adapter ({ADAPTER}) beside whole weights; merge it into them (peft's PeftModel."
            "from_pretrained(model, folder).merge_and_unload()) and save that, or take the file away if it is not meant"
        )


def _refuse_lost(lost: list[str], who: str, source: str) -> None:
    """Refuse what transformers would fill with random values: encoder weights that are absent."""
    if lost:
        raise ConfigError(
            f"{who}: the weights in {source} lack {len(lost)} tensors of the encoder, such as {lost[0]}; "
            "they belong to another architecture than config.json says"
        )


def _set_dropout(
    config: Any, what: str, names: tuple[str, ...], value: float | None, who: str = "CrossEncoder"
) -> None:
    if value is None:
        return
    if not 0 <= value < 1:
        raise ConfigError(f"{who}: {what} must be at least 0 and below 1, got {value}")
    known = [name for name in names if hasattr(config, name)]
    if not known and value > 0:
        raise ConfigError(f"{who}: a {config.model_type} model has no setting for {what}; leave it out")
    for name in known:
        setattr(config, name, value)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
