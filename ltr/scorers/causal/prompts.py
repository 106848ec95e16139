"""Prompts that ask a language model for the relevance of a document: texts around query and document, and the answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltr.batch import TokenRows
from ltr.data.tokens.pairs import PairTemplate
from ltr.errors import ConfigError

#: what frames of a row are marked with: neither query (0) nor document (1)
FRAME = 2


@dataclass(frozen=True)
class Prompt:
    """What stands around query and document, and which answers are compared.

    Attributes:
        text: with ``{query}`` before ``{document}``, and ``{instruction}`` where there is one.
        yes: the answer whose logit is the score: one token.
        no: the answer whose logit is taken from it; empty for none.
        instruction: of the task.
    """

    text: str
    yes: str
    no: str = ""
    instruction: str = ""

    @property
    def pieces(self) -> tuple[str, str, str]:
        """What stands before the query, between it and the document, and behind."""
        parts = self.text.replace("{instruction}", self.instruction)
        if parts.count("{query}") != 1 or parts.count("{document}") != 1:
            raise ConfigError(
                f"CausalScorer: a prompt holds {{query}} and {{document}} once each, got {self.text!r:.80}"
            )
        before, rest = parts.split("{query}")
        if "{document}" not in rest:
            raise ConfigError(
                "CausalScorer: {document} must stand behind {query} in a prompt: the query is what lists share"
            )
        between, after = rest.split("{document}")
        return before, between, after


#: published rerankers' prompts, by the names of their families (after their model cards)
PROMPTS = {
    "plain": Prompt("Query: {query}\nDocument: {document}\nRelevant:", " yes", " no"),
    "qwen3-reranker": Prompt(
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. "
        'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: {instruction}\n<Query>: '
        "{query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "yes",
        "no",
        "Given a web search query, retrieve relevant passages that answer the query",
    ),
    "bge-reranker-v2-gemma": Prompt(
        "<bos>A: {query}\nB: {document}\n{instruction}",
        "Yes",
        instruction="Given a query A and a passage B, determine whether the passage contains an answer to the query by "
        "providing a prediction of either 'Yes' or 'No'.",
    ),
    "mxbai-rerank-v2": Prompt(
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "query: {query}\ndocument: {document}\n{instruction}<|im_end|>\n<|im_start|>assistant\n",
        "1",
        "0",
        "You are a search relevance expert who evaluates how well documents match search queries. For each query-document "
        "pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment (0 for "
        "not relevant, 1 for relevant).\nRelevance:",
    ),
}

#: those whose models were published with scores of their own
PUBLISHED = frozenset(PROMPTS) - {"plain"}


def prompt_of(prompt: str, yes: str | None, no: str | None, instruction: str | None) -> Prompt:
    """A prompt by its name, or a text of one's own; what else is given takes the place of its own."""
    if prompt not in PROMPTS and "{" not in prompt:
        raise ConfigError(
            f"CausalScorer: no prompt {prompt!r}; it is one of {', '.join(PROMPTS)}, or a text with {{query}} and {{document}}"
        )
    made = PROMPTS.get(prompt) or Prompt(prompt, " yes", " no")
    given = {"yes": yes, "no": no, "instruction": instruction}
    return replace(made, **{name: value for name, value in given.items() if value is not None})


def prompt_for(source: str) -> str | None:
    """The prompt that a folder's language model was made for, by its name; ``plain`` where that tells nothing.

    None for what is no folder of a causal language model.
    """
    config = Path(source) / "config.json"
    if not config.is_file():
        return None
    kinds = json.loads(config.read_text(encoding="utf-8")).get("architectures") or []
    if not any(kind.endswith("ForCausalLM") for kind in kinds):
        return None
    words = set(Path(source).resolve().name.lower().split("-"))
    return next((name for name in PROMPTS if set(name.split("-")) <= words), "plain")


class Frame:
    """A prompt's texts as tokens, put around the query and the document of each row.

    Raises:
        ConfigError: an answer that is not one token, or answers that are the same token.
    """

    def __init__(self, prompt: Prompt, tokenizer: Any):
        self.pieces = [token_ids(tokenizer, piece) for piece in prompt.pieces]
        marks = PairTemplate.of(tokenizer)
        #: of the marks between the two, those that the tokenizer says are the query's
        queries = marks.between_segments.count(0)
        #: marks that the tokenizer puts before and behind the query, and before and behind the document
        self.marks = tuple(
            torch.tensor(part, dtype=torch.int64)
            for part in (marks.before, marks.between[:queries], marks.between[queries:], marks.after)
        )
        self.yes = _answer("yes", prompt.yes, tokenizer)
        self.no = _answer("no", prompt.no, tokenizer) if prompt.no else None
        if self.yes == self.no:
            raise ConfigError(
                f"CausalScorer: yes and no must be different tokens, got {prompt.yes!r} and {prompt.no!r}"
            )

    @property
    def tokens(self) -> int:
        """How many tokens the prompt adds to a row."""
        return sum(map(len, self.pieces))

    def around(self, rows: TokenRows) -> TokenRows:
        """Rows of query (marked 0) and document (marked 1) with the prompt around them (marked ``FRAME``)."""
        device = rows.ids.device
        frame = [torch.tensor(piece, dtype=torch.int64, device=device) for piece in self.pieces]
        ids: list[Tensor] = []
        marks: list[Tensor] = []
        bounds = rows.offsets.tolist()
        for a, b in pairwise(bounds):
            query, document = self._texts(rows.ids[a:b], rows.marks[a:b])
            for i, (piece, text) in enumerate(zip(frame, (query, document, document[:0]), strict=True)):
                ids += [piece, text]
                marks += [torch.full_like(piece, FRAME), torch.full_like(text, i)]
        lengths = torch.tensor(
            [sum(len(part) for part in ids[i : i + 6]) for i in range(0, len(ids), 6)], device=device
        )
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        return TokenRows(torch.cat(ids), torch.cat(marks), offsets)

    def _texts(self, own: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens of query and document, without marks that the tokenizer puts around them: the prompt says where one is wanted."""
        before, behind_query, before_document, after = (part.to(own.device) for part in self.marks)
        of_document = (marks == 1).nonzero()[:, 0]
        if len(of_document):
            query, document = own[: of_document[0]], own[of_document[0] :]
        else:  # an empty one, around which no mark is its own
            query, document = _without_end(own, after), own[:0]
        document = _without_end(_without_start(document, before_document), after)
        return _without_start(_without_end(query, behind_query), before), document


def _without_start(ids: Tensor, start: Tensor) -> Tensor:
    """Tokens without those at their start."""
    return ids[len(start) :] if torch.equal(ids[: len(start)], start) else ids


def _without_end(ids: Tensor, end: Tensor) -> Tensor:
    """Tokens without those at their end."""
    kept = len(ids) - len(end)
    return ids[:kept] if kept >= 0 and torch.equal(ids[kept:], end) else ids


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text, without marks around it."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _answer(name: str, text: str, tokenizer: Any) -> int:
    found = token_ids(tokenizer, text)
    if len(found) != 1:
        pieces = tokenizer.convert_ids_to_tokens(found)
        raise ConfigError(
            f"CausalScorer: the answer {name} must be one token, got {text!r}, which is {len(found)} ({' '.join(pieces)}); "
            "choose a word that the tokenizer knows, perhaps with a space before it"
        )
    return found[0]
