"""Rows of tokens read from left to right without padding; rows of a list may share a prefix that is computed once.

All tokens of a micro-batch stand in one line. A *branch* is a prefix followed by documents that go on from it: documents
see the prefix and themselves. A prefix of no tokens makes plain packed rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ltr.batch import Lists, TokenRows

NAME = "ltr_branches"
#: architectures whose attention goes through transformers' interface, with positions that can be given and no windows
KINDS = ("llama", "qwen2", "qwen3", "gemma", "mistral", "smollm3", "granite", "olmo2")


class Branch(NamedTuple):
    """A shared prefix and the documents behind it.

    Attributes:
        prefix: tokens of the prefix; 0 for none.
        runs: (documents, their common length), in the order in which they stand.
    """

    prefix: int
    runs: list[tuple[int, int]]


class Line(NamedTuple):
    """Tokens of several branches, one behind the other.

    Attributes:
        ids: [tokens].
        positions: [tokens] of each token in its row.
        branches: what belongs together.
        places: [documents + 1 rows' tokens] where each token of the rows stands in the line, row after row.
    """

    ids: Tensor
    positions: Tensor
    branches: list[Branch]
    places: Tensor


def obstacle(config: Any) -> str | None:
    """Why a model cannot read lines; None where it can."""
    if config.model_type not in KINDS:
        return f"the kind {config.model_type} is not known to take positions and branches"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return "its attention has a window"
    if getattr(config, "final_logit_softcapping", None) or getattr(config, "attn_logit_softcapping", None):
        return "its logits are capped"
    return None


def turning_length(config: Any) -> int | None:
    """The number of tokens beyond which all rows that are computed at once get other positions (LongRoPE); None for most models."""
    told = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if "longrope" not in (told.get("rope_type"), told.get("type")):
        return None
    return told.get("original_max_position_embeddings") or config.original_max_position_embeddings


def enable(model: nn.Module) -> None:
    """Let a model read lines besides its usual input."""
    import transformers
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    transformers.AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)  # for usual, padded input
    model.set_attn_implementation(NAME)  # type: ignore[operator]


def line_of(tokens: TokenRows, rows: Tensor, prefixes: list[tuple[list[int], int]]) -> Line:
    """Rows as a line.

    Args:
        tokens: the rows.
        rows: the numbers of those that are computed, each once.
        prefixes: (places in ``rows``, tokens of the prefix that they share), which together hold every place.
    """
    device, lengths, starts = tokens.ids.device, tokens.lengths[rows].tolist(), tokens.offsets[rows].tolist()
    before = [0]
    for length in lengths:
        before.append(before[-1] + length)
    pieces: list[Tensor] = []
    positions: list[Tensor] = []
    places = torch.empty(before[-1], dtype=torch.int64)
    branches, at = [], 0
    for members, prefix in prefixes:
        order = sorted(members, key=lambda one: -lengths[one])
        first = starts[order[0]]
        pieces.append(torch.arange(first, first + prefix))
        positions.append(torch.arange(prefix))
        shared = torch.arange(at, at + prefix)
        at += prefix
        runs: list[tuple[int, int]] = []
        for one in order:
            own = lengths[one] - prefix
            pieces.append(torch.arange(starts[one] + prefix, starts[one] + lengths[one]))
            positions.append(torch.arange(prefix, lengths[one]))
            places[before[one] : before[one] + prefix] = shared
            places[before[one] + prefix : before[one + 1]] = torch.arange(at, at + own)
            at += own
            runs = [*runs[:-1], (runs[-1][0] + 1, own)] if runs and runs[-1][1] == own else [*runs, (1, own)]
        branches.append(Branch(prefix, runs))
    ids = tokens.ids[torch.cat(pieces).to(device)]
    return Line(ids, torch.cat(positions).to(device), branches, places.to(device))


def shared_prefixes(batch: Lists, tokens: TokenRows, rows: Tensor, least: int = 2) -> list[tuple[list[int], int]]:
    """Which rows share a prefix: those of a list, as many tokens as all of them begin with.

    A row keeps at least its last token to itself.
    """
    owners = torch.bucketize(rows.cpu(), batch.list_offsets.cpu()[1:], right=True).tolist()
    groups: dict[int, list[int]] = {}
    for place, owner in enumerate(owners):
        groups.setdefault(owner, []).append(place)
    ids, starts, lengths = tokens.ids, tokens.offsets[rows].tolist(), tokens.lengths[rows].tolist()
    found = []
    for members in groups.values():
        first = starts[members[0]]
        shared = min(lengths[one] for one in members) - 1
        for one in members[1:]:
            other = starts[one]
            same = ids[first : first + shared].eq(ids[other : other + shared])
            shared = shared if bool(same.all()) else int(same.long().argmin())
        if len(members) >= least and shared > 0:
            found.append((members, shared))
        else:
            found += [([one], 0) for one in members]
    return found


def states(body: nn.Module, line: Line) -> Tensor:
    """[tokens, hidden] last hidden states of a line's tokens."""
    # a mask of four dimensions is handed down as it is, and branches stand in its place
    unread = torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=line.ids.device)
    given = {"input_ids": line.ids[None], "position_ids": line.positions[None], "attention_mask": unread}
    return body(**given, branches=line.branches, use_cache=False).last_hidden_state[0]


def padded_states(body: nn.Module, tokens: TokenRows, rows: Tensor) -> Tensor:
    """[tokens of the rows, hidden] the same for models that cannot read lines: rows padded on the right."""
    lengths = tokens.lengths[rows]
    at = torch.arange(int(lengths.max()), device=lengths.device)
    mask = at < lengths[:, None]
    # padded by whichever token: a model's own padding id may be none of its tokens (-1), and nothing on the left sees it
    ids = tokens.ids[(tokens.offsets[rows, None] + at).masked_fill(~mask, 0)].masked_fill(~mask, 0)
    return body(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state[mask]


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    branches: list[Branch] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention in transformers' form; without ``branches`` its usual one.

    Shape:
        query [1, heads, tokens, width]; key, value [1, fewer heads, tokens, width]; result [1, tokens, heads, width].
    """
    if branches is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    q, k, v = query[0], key[0], value[0]
    sizes = [n for b in branches for n in (b.prefix, *(docs * length for docs, length in b.runs))]
    parts = list(zip(*(t.split(sizes, 1) for t in (q, k, v)), strict=True))
    # the gradient of torch's own is ten times slower in bfloat16 on a CPU; and with or without one the same is computed
    slow = q.device.type == "cpu" and v.dtype == torch.bfloat16
    outputs, at = [], 0
    with torch.autocast(q.device.type, enabled=False):
        for branch in branches:
            before = tuple(t[None] for t in parts[at])
            if branch.prefix:
                outputs.append(_attend(before, dropout, scaling, slow).transpose(1, 2).flatten(0, 1))
            for (docs, _), own in zip(branch.runs, parts[at + 1 : at + 1 + len(branch.runs)], strict=True):
                each = [t.unflatten(1, (docs, -1)).transpose(0, 1) for t in own]
                if branch.prefix:
                    each[1:] = [
                        torch.cat([t.expand(docs, -1, -1, -1), mine], 2)
                        for t, mine in zip(before[1:], each[1:], strict=True)
                    ]
                outputs.append(_attend(each, dropout, scaling, slow).transpose(1, 2).flatten(0, 1))
            at += 1 + len(branch.runs)
    return torch.cat(outputs)[None], None


def _attend(qkv: Sequence[Tensor], dropout: float, scale: float | None, slow: bool) -> Tensor:
    """Queries of the last tokens of the keys' rows, each seeing itself and what is before it."""
    kind = qkv[2].dtype
    # under autocast positions have turned queries and keys in float32
    q, k, v = (t.to(torch.float32 if slow else kind) for t in qkv)
    own, whole = q.shape[2], k.shape[2]
    seen = None if own == whole else torch.ones(own, whole, dtype=torch.bool, device=q.device).tril(whole - own)
    found = scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=seen,
        dropout_p=dropout,
        is_causal=seen is None,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return found.to(kind)
