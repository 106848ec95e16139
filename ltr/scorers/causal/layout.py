"""The folders of sentence-transformers that hold a causal reranker: a chat template for query and document, and two answers."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

from ltr.errors import DataError
from ltr.scorers.causal.prompts import Frame, Prompt, prompt_of, token_ids
from ltr.scorers.layout import FACTS, LENGTHS, MODULES, kinds_of, lengths_of, refuse_lowering, refuse_processing
from ltr.scorers.text.saving import write_tokenizer

log = logging.getLogger(__name__)

#: the module that compares two answers, and its folder
LOGITS = "LogitScore"
FOLDER = f"1_{LOGITS}"
#: a template that writes query and document, and leaves other messages to the one that was there before
HEAD, ELSE, END = "{%- if messages[0]['role'] == 'query' -%}", "{%- else -%}", "{%- endif -%}"
#: texts by which joints are tried
QUERY, DOCUMENT = "what is", "an apple pie"


def is_causal(folder: Path) -> bool:
    """Whether a folder of sentence-transformers holds a causal reranker."""
    return (folder / MODULES).is_file() and LOGITS in kinds_of(str(folder))


def write_layout(folder: Path, prompt: Prompt, frame: Frame, tokenizer: Any, max_length: int) -> bool:
    """Make a saved folder one of sentence-transformers too; whether it is.

    It is not where the prompt and the texts, written as one text, are other tokens than piece by piece, as behind a space:
    then scores would differ there.
    """
    before, between, after = prompt.pieces
    if not same_tokens(frame, prompt, tokenizer):
        return False
    own = copy.deepcopy(tokenizer)
    held = own.chat_template or ""
    if held.startswith(HEAD):
        held = held.partition(ELSE)[2].removesuffix(END)
    first, middle, last = (f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" for text in (before, between, after))
    asked = f"{first}{{{{ messages[0]['content'] }}}}{middle}{{{{ messages[1]['content'] }}}}{last}"
    own.chat_template = f"{HEAD}{asked}{ELSE}{held}{END}"
    own.padding_side = "left"
    write_tokenizer(own, folder)
    kinds = {"": "base.modules.transformer.Transformer", FOLDER: f"cross_encoder.modules.logit_score.{LOGITS}"}
    files = {
        MODULES: [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.{kind}"}
            for i, (path, kind) in enumerate(kinds.items())
        ],
        LENGTHS: {
            "transformer_task": "text-generation",
            "modality_config": {
                name: {"method": "forward", "method_output_name": "logits", **more}
                for name, more in (("text", {}), ("message", {"format": "flat"}))
            },
            "module_output_name": "causal_logits",
            "max_seq_length": max_length + frame.tokens,
        },
        FACTS: {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"},
        f"{FOLDER}/config.json": {
            "true_token_id": frame.yes,
            "false_token_id": frame.no,
            "module_input_name": "causal_logits",
        },
    }
    (folder / FOLDER).mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return True


def read_layout(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """The arguments of ``CausalScorer`` that ask a folder's model as sentence-transformers would.

    Raises:
        ConfigError: texts that are lower-cased before the tokenizer, or settings of the tokenizer that are not its own.
        DataError: a chat template without the roles of query and document, or answers that are no texts.
    """
    facts, lengths = _read(folder / FACTS), lengths_of(str(folder), None)
    processing = lengths.get("processing_kwargs") or {}
    refuse_processing(lengths, str(folder), "CausalScorer")
    refuse_lowering(lengths, lambda: tokenizer, str(folder), "CausalScorer")
    answers = _read(folder / _folder_of_answers(folder) / "config.json")
    told = {name: value for name, value in (processing.get("chat_template") or {}).items() if name != "restore_suffix"}
    instruction = (facts.get("prompts") or {}).get(facts.get("default_prompt_name") or "")
    messages = [{"role": "system", "content": instruction}] if instruction else []
    messages += [{"role": role, "content": f"{{{role}}}"} for role in ("query", "document")]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, **told)
    except Exception as error:  # whatever a template does wrong
        raise DataError(f"{folder}: its chat template cannot write a query and a document: {error}") from error
    if text.count("{query}") != 1 or text.partition("{query}")[2].count("{document}") != 1:
        raise DataError(
            f"{folder}: its chat template must write the query (role query), and behind it the document (role document), got "
            f"{text!r:.100}"
        )
    arguments = {"prompt": text, "instruction": None}
    for name, key in (("yes", "true_token_id"), ("no", "false_token_id")):
        arguments[name] = "" if answers.get(key) is None else tokenizer.decode([answers[key]])
    prompt = prompt_of(**arguments)
    frame = Frame(prompt, tokenizer)
    for name, key, found in (("yes", "true_token_id", frame.yes), ("no", "false_token_id", frame.no)):
        if found != answers.get(key):
            raise DataError(
                f"{folder}: its answer {name} is the token {answers.get(key)}, whose text {arguments[name]!r} is read as {found}: it "
                "cannot be named by a text here; open the folder it was made from with CausalScorer(prompt=..., yes=..., no=...)"
            )
    if not same_tokens(frame, prompt, tokenizer):
        log.warning(
            "%s: its prompt and the texts are put together token by token here, and as one text in sentence-transformers, "
            "which makes other tokens at the joints: scores differ a little",
            folder,
        )
    return arguments


def _folder_of_answers(folder: Path) -> str:
    """The folder of the module that compares two answers."""
    modules = json.loads((folder / MODULES).read_text(encoding="utf-8"))
    return next(str(one["path"]) for one in modules if str(one["type"]).endswith(f".{LOGITS}"))


def same_tokens(frame: Frame, prompt: Prompt, tokenizer: Any) -> bool:
    """Whether the prompt with a query and a document in it is the same tokens as a whole and piece by piece."""
    before, between, after = frame.pieces
    apart = [*before, *token_ids(tokenizer, QUERY), *between, *token_ids(tokenizer, DOCUMENT), *after]
    texts = prompt.pieces
    return apart == token_ids(tokenizer, f"{texts[0]}{QUERY}{texts[1]}{DOCUMENT}{texts[2]}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise DataError(f"{path}: it must be JSON ({error})") from error
