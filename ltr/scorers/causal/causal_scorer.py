"""CausalScorer: a causal language model as a reranker that is asked, or as a reward with a head."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltr.batch import TextLists, TokenRows
from ltr.errors import ConfigError
from ltr.scorers.causal.language_model import LanguageModel
from ltr.scorers.causal.layout import is_causal, read_layout, same_tokens, write_layout
from ltr.scorers.causal.prompts import PUBLISHED, Frame, prompt_of
from ltr.scorers.text import loading
from ltr.settings import FILE, ModelSettings

log = logging.getLogger(__name__)


class CausalScorer(LanguageModel):
    """Scores query and document, or prompt and response, by a causal language model.

    With a ``prompt`` the model is asked whether the document is relevant: the score is the logit of ``yes`` less that of
    ``no`` behind the prompt. Without one rows are read as they come, and the score is a trained logit of the last token,
    which a row's length tells: padding marks do not matter, nor whether they are end marks. What the rows of a list begin
    with alike is computed once. A prompted model is saved as a folder of sentence-transformers too, where its prompt written
    as one text is the same tokens; such folders (Transformer and LogitScore) are opened.

    Args:
        model: folder (``package:NAME/PATH`` for one inside a package) or hub id.
        prompt: ``plain``, ``qwen3-reranker``, ``bge-reranker-v2-gemma``, ``mxbai-rerank-v2``, or a text with ``{query}``
            and ``{document}`` behind it, perhaps ``{instruction}``; None reads rows as they come and has a head.
        instruction: of the task, in place of the prompt's own.
        yes: the answer, one token, in place of the prompt's own.
        no: likewise; empty takes the logit of ``yes`` alone.
        lora: rank of low-rank adapters, which alone are trained then; None trains the model itself.
        lora_alpha: their scale; None for twice the rank.
        lora_dropout: share of their inputs that is dropped in training.
        checkpointing: keep the inputs of layers alone for the gradient, and compute the rest again.
        batch_tokens: most tokens computed at once; None for 2048 on a CPU and 16384 elsewhere.
        revision: of a hub model.

    Raises:
        ConfigError: a model that cannot be opened safely, an unknown prompt, answers that are several tokens.
        MissingExtra: adapters without the package peft.
    """

    def __init__(
        self,
        model: str,
        prompt: str | None = "plain",
        instruction: str | None = None,
        yes: str | None = None,
        no: str | None = None,
        lora: int | None = None,
        lora_alpha: float | None = None,
        lora_dropout: float = 0.0,
        checkpointing: bool = False,
        batch_tokens: int | None = None,
        revision: str | None = None,
    ):
        if prompt is None and (instruction, yes, no) != (None, None, None):
            raise ConfigError("CausalScorer: instruction, yes and no belong to a prompt, and there is none")
        super().__init__(
            model, prompt is None, lora=lora, lora_alpha=lora_alpha, lora_dropout=lora_dropout, checkpointing=checkpointing,
            batch_tokens=batch_tokens, revision=revision,
        )  # fmt: skip
        self.prompt, self.instruction, self.yes, self.no = prompt, instruction, yes, no
        self._told = False
        made = None if prompt is None else prompt_of(prompt, yes, no, instruction)
        known = self.frame is not None and made is not None and prompt in PUBLISHED
        if known and not same_tokens(self.frame, made, self.tokenizer):  # type: ignore[arg-type]
            log.warning(
                "%s: the prompt %s and the texts are put together token by token here, and as one text where it was published, "
                "which makes other tokens at the joints (a space before a word): scores differ a little from published ones, "
                "and training takes them up",
                *(self.source, prompt),
            )

    @cached_property
    def frame(self) -> Frame | None:
        """The prompt's tokens."""
        if self.prompt is None:
            return None
        return Frame(prompt_of(self.prompt, self.yes, self.no, self.instruction), self.tokenizer)

    @property
    def arguments(self) -> dict[str, Any]:
        return {"prompt": self.prompt, "instruction": self.instruction, "yes": self.yes, "no": self.no}

    def write_more(self, folder: Path, settings: ModelSettings) -> None:
        if self.prompt is not None and self.frame is not None:
            prompt = prompt_of(self.prompt, self.yes, self.no, self.instruction)
            if not write_layout(folder, prompt, self.frame, self.tokenizer, settings.max_length) and not self._told:
                self._told = True  # a training saves often
                log.info(
                    "the model is saved for ltr alone, not for sentence-transformers: there its prompt and the texts are one text, "
                    "which is other tokens (a space right before {query} or {document}, as a rule)"
                )

    @classmethod
    def load(cls, folder: str | os.PathLike) -> CausalScorer:
        """Open a folder that ltr saved, or one of sentence-transformers with two answers, in evaluation mode."""
        if (Path(folder) / FILE).is_file() or not is_causal(Path(folder)):
            return super().load(folder)  # type: ignore[return-value]
        return cls(
            os.fspath(folder), **read_layout(Path(folder), loading.open_tokenizer(os.fspath(folder), None))
        ).eval()

    @property
    def max_positions(self) -> int | None:
        """How many tokens query and document may have: the prompt around them is never cut."""
        positions = super().max_positions
        return positions if positions is None or self.frame is None else positions - self.frame.tokens

    def rows_of(self, batch: TextLists) -> TokenRows:
        return batch.tokens if self.frame is None else self.frame.around(batch.tokens)

    def values(self, tokens: TokenRows, rows: Tensor, states: Tensor, places: Tensor) -> Tensor:
        last = states[places[tokens.lengths[rows].cumsum(0) - 1]]
        with torch.autocast(last.device.type, enabled=False):
            if self.frame is None:
                return self.network.score(last.to(self.network.score.weight.dtype))[:, 0].float()
            assert self.vocabulary is not None
            answers = [self.frame.yes] if self.frame.no is None else [self.frame.yes, self.frame.no]
            logits = self.vocabulary.logits(self.network, last, answers)
            return logits[:, 0] if self.frame.no is None else logits[:, 0] - logits[:, 1]
