"""Running an encoder without padding: all documents as one row of tokens, attention within each document.

Everything in an encoder but attention treats tokens one by one, so documents can stand in one row. Attention
is told their lengths through the extra arguments that transformers hands down to it, and works on documents of equal
length together. No token is computed that is not there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ltr.batch import TextLists
from ltr.scorers.first_token import last_states, without_last

NAME = "ltr_packed"

#: encoders whose attention goes through transformers' interface and whose positions can be given, with the place of
#: the first position: RoBERTa and its kin count from the padding id upwards
KINDS = ("bert", "electra", "distilbert", "roberta", "xlm-roberta", "camembert")
FROM_PADDING = ("roberta", "xlm-roberta", "camembert")


def enable(model: Any) -> bool:
    """Let a model take packed input besides its usual one; False where its kind cannot."""
    import transformers
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    fits = model.config.model_type in KINDS and model.config._attn_implementation in ("sdpa", NAME)
    # before version 5 some encoders dropped the extra arguments on the way to attention
    if not fits or int(transformers.__version__.split(".")[0]) < 5:
        return False
    transformers.AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)  # for usual, padded input
    model.set_attn_implementation(NAME)
    return True


def first_states(model: Any, batch: TextLists, docs: Tensor, segments: bool) -> Tensor:
    """Hidden states [docs, hidden] of the first tokens of some documents, which are sorted by length."""
    lengths = batch.lengths[docs]
    ends = lengths.cumsum(0)
    starts = ends - lengths
    positions = torch.arange(int(ends[-1]), device=ends.device) - starts.repeat_interleave(lengths)
    at = batch.doc_offsets[docs].repeat_interleave(lengths) + positions
    first = model.config.pad_token_id + 1 if model.config.model_type in FROM_PADDING else 0
    inputs = {"input_ids": batch.input_ids[at][None], "position_ids": positions[None] + first}
    if segments:
        inputs["token_type_ids"] = batch.segment_ids[at][None]
    common, counts = lengths.unique_consecutive(return_counts=True)
    runs = list(zip(counts.tolist(), common.tolist(), strict=True))
    with without_last(model) as last:
        states = model.base_model(**inputs, runs=runs).last_hidden_state[0]
    return last_states(model, last, states, starts, runs)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    runs: list[tuple[int, int]] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of each token to its own document; without ``runs`` transformers' usual fused attention.

    Args:
        runs: (number of documents, their common length), in the order of the row.

    Shape:
        query, key, value [1, heads, tokens, width]; result [1, tokens, heads, width].
    """
    if runs is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    row = [t[0].transpose(0, 1) for t in (query, key, value)]  # [tokens, heads, width] each
    outputs, start = [], 0
    for docs, length in runs:
        stop = start + docs * length
        q, k, v = (t[start:stop].view(docs, length, *t.shape[1:]).transpose(1, 2) for t in row)
        out = scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)
        outputs.append(out.transpose(1, 2).reshape(docs * length, out.shape[1], out.shape[3]))
        start = stop
    return torch.cat(outputs)[None], None
