"""Running an encoder without padding: all documents as one row of tokens, attention within each document.

Everything in an encoder but attention treats tokens one by one, so documents can stand in one row. Attention
is told their lengths through the extra arguments that transformers hands down to it, and works on documents of equal
length together. No token is computed that is not there.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import pad

from ltr.batch import TokenRows
from ltr.scorers.text import first_token
from ltr.scorers.text.heads import encoder_of
from ltr.scorers.text.microbatches import Row, row
from ltr.scorers.text.row_attention import attention

NAME = "ltr_packed"

#: encoders whose attention goes through transformers' interface and whose positions can be given, with the place of
#: the first position: RoBERTa and its kin count from the padding id upwards
KINDS = ("bert", "electra", "distilbert", "roberta", "xlm-roberta", "camembert", "modernbert")
FROM_PADDING = ("roberta", "xlm-roberta", "camembert")
#: encoders that add to attention what depends on how far apart two tokens stand
BIASED = ("mpnet", "deberta", "deberta-v2", "t5")


def enable(model: Any) -> str | None:
    """Let a model take packed input besides its usual one; gives the reason where its kind cannot."""
    import transformers

    reason = _obstacle(model.config, transformers.__version__)
    if reason is None:
        register()
        model.set_attn_implementation(NAME)
    return reason


def register() -> None:
    """Make packed attention known to transformers, in this process."""
    import transformers
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    transformers.AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)  # for usual, padded input


def _obstacle(config: Any, version: str) -> str | None:
    kind = config.model_type
    if kind in BIASED:
        return "its attention depends on distances within a padded batch"
    if kind not in KINDS:
        return "its kind is not known to take positions and lengths"
    if getattr(config, "is_decoder", False):
        return "it is set up as a decoder (is_decoder), which reads in one direction"
    if getattr(config, "classifier_pooling", "cls") != "cls":
        return f"its head reads the {config.classifier_pooling} of all tokens, not the first"
    if config._attn_implementation not in ("sdpa", NAME):
        return f"its attention is {config._attn_implementation}, not sdpa"
    if int(version.split(".")[0]) < 5:
        return f"transformers {version} drops the lengths on the way to attention; from 5 on it hands them down"
    return None


def first_states(model: Any, tokens: TokenRows, docs: Tensor, segments: bool) -> Tensor:
    """Hidden states [docs, hidden] of the first tokens of some documents, which are sorted by length."""
    line = row(tokens, docs)
    if model.config.model_type == "modernbert":
        return states_of(model, line, segments)[line.starts]
    bounds = _bounds(line)
    encoder, last = first_token.split(model)
    inputs = inputs_of(model.config, line, segments)
    states = encoder(**inputs, runs=line.runs, bounds=bounds).last_hidden_state[0]
    return first_token.last_states(model, last, states, line.starts, line.runs, bounds)


def states_of(model: Any, line: Row, segments: bool) -> Tensor:
    """Hidden states [tokens, hidden] of a row of documents."""
    return encoder_of(model)(**_inputs(model, line, segments)).last_hidden_state[0]


def logits_of(model: Any, line: Row, segments: bool) -> Tensor:
    """Logits [tokens, words] that a masked-language model gives the tokens of a row of documents."""
    return model(**_inputs(model, line, segments)).logits[0]


def _inputs(model: Any, line: Row, segments: bool) -> dict[str, Any]:
    inputs = inputs_of(model.config, line, segments)
    if model.config.model_type == "modernbert":
        # else it would draw a mask of the whole row against itself, which packed attention does not read
        inputs["attention_mask"] = {"full_attention": None, "sliding_attention": None}
    return {**inputs, "runs": line.runs, "bounds": _bounds(line)}


def _bounds(line: Row) -> Tensor | None:
    return pad(line.ends, (1, 0)).int() if line.ends.device.type == "cuda" else None


def inputs_of(config: Any, line: Row, segments: bool) -> dict[str, Any]:
    """What an encoder's embeddings take, for a row of documents; ``segments``: whether it tells token types apart."""
    positions = _from_padding(line, config.pad_token_id) if config.model_type in FROM_PADDING else line.positions
    inputs: dict[str, Any] = {"input_ids": line.input_ids[None], "position_ids": positions[None]}
    return {**inputs, "token_type_ids": line.segment_ids[None]} if segments else inputs


def _from_padding(line: Row, pad_id: int) -> Tensor:
    """Positions [tokens] from one above the padding id upwards.

    A text may hold the padding token itself. Such models count the other tokens alone and give it the padding id as
    its position, in training as everywhere, so this is what a pair's score is.
    """
    counted = line.input_ids.ne(pad_id)
    places = counted.cumsum(0)
    before = (places[line.starts] - counted[line.starts].long()).repeat_interleave(line.ends - line.starts)
    return (places - before) * counted + pad_id
