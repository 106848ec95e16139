"""Opening causal language models and their adapters: safe files only, settings checked; and adapters merged for saving."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ltr.errors import ConfigError, DataError, MissingExtra
from ltr.io.files import existing
from ltr.io.model_names import ADAPTER
from ltr.machine.freed_memory import settle
from ltr.scorers.text.loading import quiet, refuse_adapter

#: in names of tensors that make a score of a model's last state
HEADS = ("head", "score", "value", "reward", "regress", "classif", "gating")
#: encoders that transformers can also turn into decoders
ENCODERS = (
    "bert",
    "electra",
    "roberta",
    "xlm-roberta",
    "camembert",
    "modernbert",
    "deberta",
    "deberta-v2",
    "mpnet",
    "distilbert",
)


def open_model(who: str, source: str, head: bool, revision: str | None = None) -> tuple[Any, bool]:
    """(a transformers model in float32, whether its head is new): with one logit of the last token, or with the vocabulary's.

    A folder that holds an adapter alone is opened on its base, and merged.

    Args:
        who: for errors.
        source: folder or hub id.
        head: one logit (``AutoModelForSequenceClassification``) instead of those of the vocabulary.
        revision: of a hub model.

    Raises:
        ConfigError: a name that is no model, weights that are no safetensors, an encoder, an adapter whose base is not there.
    """
    folder = Path(source)
    if folder.is_dir() and (folder / ADAPTER).is_file() and not (folder / "config.json").is_file():
        return _with_adapter(who, folder, head)
    if not folder.is_dir() and (folder.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1):
        raise ConfigError(f"{who}: no folder {source}; give a folder with config.json or a hub id")
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        raise ConfigError(f"{who}: {source} must hold its weights as *.safetensors, found none")
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    kind = AutoModelForSequenceClassification if head else AutoModelForCausalLM
    try:
        with quiet():
            config = AutoConfig.from_pretrained(source, revision=revision or "main", trust_remote_code=False)
            if head:
                config.num_labels = 1
            if type(config) not in AutoModelForCausalLM._model_mapping or config.model_type in ENCODERS:
                raise ConfigError(
                    f"{who}: {source} is a {config.model_type} model, which is no causal language model; take ltr.scorers."
                    "CrossEncoder for encoders"
                )
            if head and type(config) not in AutoModelForSequenceClassification._model_mapping:
                raise _headless(who, config)
            made: Any = kind.from_pretrained(
                source, config=config, revision=revision or "main", use_safetensors=True, trust_remote_code=False,
                dtype=torch.float32, output_loading_info=True,
            )  # fmt: skip
            model, report = made
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        offline = " (the hub is switched off by HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") else ""
        if isinstance(error, ConfigError):
            raise
        if head and "mismatch" in str(error):  # mismatched_sizes, or a size mismatch in transformers 4
            raise ConfigError(
                f"{who}: the head in {source} has another shape than that of one score; start from its backbone, or from a model "
                "with one label"
            ) from error
        raise ConfigError(f"{who}: cannot open {source}{offline}: {str(error).strip().splitlines()[0]}") from error
    if head and not hasattr(model, "score"):
        raise _headless(who, config)
    if not head and any(name.startswith("lm_head.") for name in report["missing_keys"]):
        raise ConfigError(
            f"{who}: the weights in {source} have no vocabulary head (lm_head), so that its words would be random: it is a reward "
            "model, or a bare body; take a causal language model, or CausalScorer(prompt=None) for its reward"
        )
    other = [
        name
        for name in report["unexpected_keys"]
        if head
        and not name.startswith(("lm_head.", f"{model.base_model_prefix}."))
        and any(word in name for word in HEADS)
    ]
    if other:
        raise ConfigError(
            f"{who}: {source} holds {other[0]}, a head of another make, in whose place one of transformers would be read or begin "
            "anew; save it as score.weight of one row, or take it out of the weights to train a new one"
        )
    lost = sorted(name for name in report["missing_keys"] if not name.startswith(("score.", "lm_head.")))
    if lost:
        raise ConfigError(f"{who}: the weights in {source} lack {len(lost)} tensors, such as {lost[0]}")
    refuse_adapter(model, source, who)
    model.config.use_cache = False
    return model, any(name.startswith("score.") for name in report["missing_keys"])


def _headless(who: str, config: Any) -> ConfigError:
    return ConfigError(
        f"{who}: {config.model_type} models have no scoring head in transformers that reads the last token; take a model of another "
        "architecture, or ask it by a prompt"
    )


def drop_nothing(model: Any) -> None:
    """Turn off whatever a model drops in training; its configuration goes on saying what it was trained with."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def _with_adapter(who: str, folder: Path, head: bool) -> tuple[Any, bool]:
    """A model with the adapters of a folder merged into it. Raises ConfigError, DataError where they do not fit their base."""
    known = _adapter_settings(folder)
    base = known.get("base_model_name_or_path")
    if not base:
        raise ConfigError(
            f"{who}: {folder} holds an adapter alone, and its {ADAPTER} names no base (base_model_name_or_path); write it there, or "
            "save the model merged"
        )
    try:
        model, new = open_model(who, base, head, known.get("revision"))
    except ConfigError as error:
        raise ConfigError(
            f"{who}: {folder} holds an adapter alone, and its base {base!r} cannot be opened ({error}); put the base there, "
            "or save the model merged"
        ) from error
    held = load_file(existing(folder / "adapter_model.safetensors", f"{folder} holds no adapters"))
    package = peft(who)
    try:
        with _unheard():
            laid = package.PeftModel.from_pretrained(model, str(folder))
            report = package.set_peft_model_state_dict(laid, held)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ConfigError(
            f"{who}: the adapter in {folder} does not fit its base {base} ({reason:.200}); give the base that it was trained on, or "
            "save the model merged"
        ) from error
    if not hasattr(laid, "merge_and_unload"):
        raise ConfigError(
            f"{who}: {folder} holds an adapter of the kind {known.get('peft_type')}, which cannot be merged into a model; take one "
            "that changes weights, such as LoRA"
        )
    if strange := [name for name in _strange(report) if not (head and "lm_head." in name)]:
        raise ConfigError(
            f"{who}: the adapter in {folder} does not fit its base {base}: {strange[0]} is in one of them alone; give the base that it "
            "was trained on"
        )
    _untie(laid.get_base_model(), held)
    with _unheard():
        whole = laid.merge_and_unload()
    words, answers = whole.get_input_embeddings(), None if head else whole.get_output_embeddings()
    if answers is not None and words.weight is not answers.weight:
        whole.config.tie_word_embeddings = False  # or saving would leave one of them out
    # what is laid on it now is laid on this, not on the base alone
    whole.name_or_path = whole.config._name_or_path = str(folder)
    return whole, new and not any(".score." in name for name in held)


def _adapter_settings(folder: Path) -> dict[str, Any]:
    place = folder / ADAPTER
    try:
        return json.loads(place.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{place}: it must be JSON ({error})") from error


def _untie(model: Any, held: dict[str, Tensor]) -> None:
    """Give a head, before adapters are merged, weights of its own where low ranks are added to it or to the words that it shares.

    Shared weights would get what was learnt for one of both, or twice what was learnt for both.
    """
    words, answers = (
        module.get_base_layer() if hasattr(module, "get_base_layer") else module
        for module in (model.get_input_embeddings(), model.get_output_embeddings())
    )
    if answers is None or words.weight is not answers.weight:
        return
    names = [name.removesuffix(".base_layer") for name, module in model.named_modules() if module in (words, answers)]
    if any("lora_" in key and f".{name}." in key for key in held for name in names):
        answers.weight = nn.Parameter(answers.weight.detach().clone())


def _strange(report: Any) -> list[str]:
    """Tensors that adapters have and the model lacks, or the other way round."""
    return [*report.unexpected_keys, *(name for name in report.missing_keys if ".lora_" in name)]


def peft(who: str) -> Any:
    """The package of adapters. Raises MissingExtra."""
    try:
        import peft as package
    except ImportError as error:
        raise MissingExtra("peft", "llm", f"for adapters ({who})") from error
    return package


def adapted(who: str, model: Any, rank: int, alpha: float | None, dropout: float, head: bool) -> Any:
    """The model with low-rank adapters on all linear layers of its body; everything else is frozen but a head."""
    if rank < 1 or not 0 <= dropout < 1:
        raise ConfigError(f"{who}: lora must be at least 1, and lora_dropout in [0, 1), got {rank} and {dropout}")
    package = peft(who)
    config = package.LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        task_type="SEQ_CLS" if head else "CAUSAL_LM",
        modules_to_save=["score"] if head else None,
    )
    with _unheard():
        return package.get_peft_model(model, config)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Without what transformers tells the authors of peft of names that are to go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def compute_layers_again(model: Any) -> None:
    """In training each layer keeps its input alone, and computes the rest again for the gradient."""
    # the name that is to go is the only one in older versions of transformers
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    if next(model.parameters()).device.type == "cpu":
        for module in model.modules():
            if getattr(module, "gradient_checkpointing", False):
                # a part of the layer: its own hooks are passed over when it is computed again
                next(module.children()).register_forward_pre_hook(_settles)


def _settles(*_: Any) -> None:
    """Before each layer, in the backward pass too: what it frees leaves gaps between gradients, .3 GB of which can be used no more.

    Blocks that go back to the system one by one (``mallopt``) keep .2 GB less, and a quarter of the step is then spent on new pages.
    """
    settle()


def merged(model: Any) -> Any:
    """A plain model of the same function: adapters added to what they adapt; the model itself where it has none."""
    if not hasattr(model, "merge_and_unload"):
        return model
    with _unheard():
        return copy.deepcopy(model).merge_and_unload()


def restore(model: Any, folder: Path) -> None:
    """Take the adapters (and a head) that a saved model holds by themselves; what they adapt stays as it was opened.

    Raises:
        DataError: adapters of another model, or none.
    """
    weights = existing(folder / "adapter_model.safetensors", f"{folder} holds no adapters")
    try:
        report = peft(type(model).__name__).set_peft_model_state_dict(model, load_file(weights))
    except RuntimeError as error:
        raise DataError(f"{weights}: {str(error).strip().splitlines()[-1].strip()}") from error
    if strange := _strange(report):
        raise DataError(f"{weights}: {strange[0]} does not belong to this model")
