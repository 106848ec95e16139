"""Prompts and responses as tokens: the chat template applied once, prompts cut from the left, completions kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from ltr.batch import TextLists
from ltr.data.lists.ragged import Ragged, offsets_of, spans
from ltr.data.lists.sampling import Drawn
from ltr.data.preferences.forms import Said
from ltr.data.preferences.joints import following
from ltr.data.preferences.table import Preferences, prompt_key
from ltr.data.tokens.pairs import PairTemplate, backend_of, encode, tokens_of
from ltr.errors import ConfigError, DataError

FORMS = ("pair", "chat", "plain")
#: prompt and completion one after the other, told apart by their marks
JOINED = PairTemplate((), (), (), (), (), (), query_segment=0, document_segment=1)

log = logging.getLogger("ltr")


def form_of(tokenizer: Any, form: str | None) -> str:
    """How prompts and responses are put together: as asked for, else as the tokenizer is made.

    ``chat`` where the tokenizer has a chat template, ``pair`` where it puts marks of its own around a pair of texts (those
    of encoders), else ``plain``.

    Raises:
        ConfigError: an unknown form, or ``chat`` without a template.
    """
    if form not in (None, *FORMS):
        raise ConfigError(f"PreferenceData: form must be one of {', '.join(FORMS)}, or null, got {form!r}")
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if form == "chat" and not has_template:
        raise ConfigError(
            "PreferenceData: form is chat, and the tokenizer has no chat template; take form plain, or a model with one"
        )
    return form or ("chat" if has_template else "pair" if tokenizer.num_special_tokens_to_add(pair=True) else "plain")


def rendered(table: Preferences, tokenizer: Any, form: str) -> tuple[list[str], list[str]]:
    """Texts of the prompts, and of the responses as they follow them, end marks included.

    Raises:
        ConfigError: messages, and a form that is no chat.
        DataError: a prompt that holds the template's marks already; a template that changes the prompt when a response
            follows, or cannot write the messages.
    """
    if form != "chat":
        for said in (*table.prompts, *table.responses):
            if not isinstance(said, str):
                raise ConfigError(
                    f"PreferenceData: {table.source} holds chat messages, and form is {form}; they need a model with a chat "
                    "template (form chat), or plain texts"
                )
        end = (tokenizer.eos_token or "") if form == "plain" else ""
        return list(table.prompts), [f"{str(one).removesuffix(end)}{end}" for one in table.responses]  # type: ignore[arg-type]
    _tell_of_dates(str(tokenizer.chat_template))
    prompts, responses, shortened = [], [], 0
    marks = [token for token in tokenizer.all_special_tokens if len(token) > 3]
    for i, prompt in enumerate(table.prompts):
        where = f"{table.source}: prompt {table.prompt_ids[i]}"
        messages = _messages(prompt, "user")
        _check_unmarked(messages, marks, f"{where}: it")
        before = _written(tokenizer, messages, where, add_generation_prompt=True)
        prompts.append(before)
        for said in table.responses[table.offsets[i] : table.offsets[i + 1]]:
            _check_unmarked(answers := _messages(said, "assistant"), marks, f"{where}: a response")
            whole = _written(tokenizer, [*messages, *answers], where)
            if not whole.startswith(before):
                raise DataError(
                    f"{where}: the chat template writes the prompt otherwise when a response follows; take form plain"
                )
            responses.append(whole[len(before) :])
            shortened += any(one["content"].strip() not in responses[-1] for one in answers)
    if shortened:
        log.warning(
            "%s: the chat template does not write %d of %d responses as they are: it leaves parts out, such as what stands before "
            "</think>, which are not learnt; take form plain, or another template, to keep them",
            *(table.source, shortened, len(responses)),
        )
    return prompts, responses


def _written(tokenizer: Any, messages: Sequence[dict[str, str]], where: str, **settings: bool) -> str:
    """Messages as the chat template writes them. Raises DataError where it cannot."""
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(list(messages), tokenize=False, **settings)
    except (TemplateError, TypeError, ValueError) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(
            f"{where}: the chat template cannot write messages of {roles}: {str(error).strip()}; change the messages (a system message "
            "may go into the first of the user), or take form plain with texts"
        ) from error


@lru_cache(8)
def _tell_of_dates(template: str) -> None:
    """Warn, once, of a template that writes today's date, as those of some Llamas and Granites do."""
    if "strftime_now" in template:
        log.warning(
            "the chat template writes the date of the day, so that prompts, and scores with them, are others tomorrow; write a "
            "fixed date into chat_template in the model's folder"
        )


def _check_unmarked(messages: Sequence[dict[str, str]], marks: Sequence[str], what: str) -> None:
    """Raise DataError where a text holds a mark of the template already."""
    held = next((m for m in marks for said in messages if m in said["content"]), None)
    if held:
        raise DataError(
            f"{what} holds {held}, a mark of the chat template, which would be applied twice; give the messages without it, "
            "or take form plain"
        )


def _messages(said: Said, role: str) -> list[dict[str, str]]:
    return [{"role": role, "content": said}] if isinstance(said, str) else list(said)


@dataclass(frozen=True, eq=False)
class PreferenceEncoder:
    """Encodes each response behind its prompt; what does not fit is cut from the prompt's beginning.

    Attributes:
        template: what stands around the two.
        table: the preferences.
        prompts, responses: token ids of all of them.
        max_length: most tokens of both.
    """

    template: PairTemplate
    table: Preferences
    prompts: Ragged
    responses: Ragged
    max_length: int

    @classmethod
    def of(
        cls, table: Preferences, tokenizer: Any, form: str, max_length: int, backend: Any = None
    ) -> PreferenceEncoder:
        """Tokenise a table; ``backend``: of ``backend_of(tokenizer)``, where it is kept.

        Raises:
            ConfigError, DataError: see ``rendered``; a length that leaves no room for a prompt.
        """
        template = PairTemplate.of(tokenizer) if form == "pair" else JOINED
        if max_length < template.overhead + 3:
            raise ConfigError(
                f"PreferenceData: max_length must hold {template.overhead + 3} tokens or more, got {max_length}"
            )
        backend = backend or backend_of(tokenizer)
        before, after = rendered(table, tokenizer, form)
        prompts = tokens_of(backend, before, None)
        if form == "pair":
            responses = tokens_of(backend, after, None)
        else:
            owners = np.repeat(np.arange(len(table)), np.diff(table.offsets)).tolist()
            responses = following(backend, [before[i] for i in owners], after)
        if form == "plain" and (first := _first_token(tokenizer)) is not None:
            begun = [part.tolist() for part in np.split(prompts.values, prompts.offsets[1:-1])]
            prompts = Ragged.of(part if part[:1] == [first] else [first, *part] for part in begun)
        for what, tokens, names in (("prompt", prompts, table.prompt_ids), ("response", responses, table.names)):
            if (tokens.lengths == 0).any() and form != "pair":
                name = names[int(np.argmin(tokens.lengths))]
                raise DataError(f"{table.source}: {what} {name} has no token; a model has nothing to start from")
        return cls(template, table, prompts, responses, max_length)

    @property
    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """[responses] tokens that are read of each response, and of the prompt before it."""
        owners = np.repeat(np.arange(len(self.table)), np.diff(self.table.offsets))
        whole = self.prompts.lengths[owners]
        room = self.max_length - self.template.overhead
        kept = np.minimum(self.responses.lengths, room - 1)  # a token of the prompt, from which the first follows
        return kept, np.minimum(whole, room - kept)

    def tokens(self, lists: Drawn) -> np.ndarray:
        """[lists] tokens of each list."""
        of_response, of_prompt = self.lengths
        each = (of_response + of_prompt)[lists.docs] + self.template.overhead
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(each)])
        return np.diff(sums[lists.offsets])

    def __getitem__(self, lists: Drawn) -> TextLists:
        owners = np.repeat(lists.entries, np.diff(lists.offsets))
        of_response, of_prompt = (lengths[lists.docs] for lengths in self.lengths)
        ends = self.prompts.offsets[1:][owners]
        prompts = Ragged(self.prompts.values[spans(ends - of_prompt, of_prompt)], offsets_of(of_prompt))
        starts = self.responses.offsets[:-1][lists.docs]
        responses = Ragged(self.responses.values[spans(starts, of_response)], offsets_of(of_response))
        longest = self.max_length - self.template.overhead - 1
        ids, marks, offsets, _ = encode(self.template, prompts, responses, self.max_length, longest)
        query_ids = [self.table.prompt_ids[i] for i in lists.entries.tolist()]
        names = [self.table.names[i] for i in lists.docs.tolist()]
        return TextLists.of(ids, marks, offsets, lists.offsets, lists.labels, query_ids, names)

    def drawn(self) -> Drawn:
        """All lists in file order."""
        table = self.table
        docs = np.arange(len(table.responses), dtype=np.int32)
        return Drawn(np.arange(len(table)), table.offsets, docs, table.labels.astype(np.float32))

    def cut(self) -> dict[str, int]:
        """How many prompts lose their beginning, how many responses their end, and how many pairs are read alike then."""
        of_response, of_prompt = self.lengths
        owners = np.repeat(np.arange(len(self.table)), np.diff(self.table.offsets))
        short = np.zeros(len(self.table), bool)
        short[owners[of_prompt < self.prompts.lengths[owners]]] = True
        ended = of_response < self.responses.lengths
        alike = sum(self._alike(int(i), of_response, ended) for i in np.unique(owners[ended]))
        return {"prompts": int(short.sum()), "responses": int(ended.sum()), "alike": alike}

    def _alike(self, entry: int, kept: np.ndarray, ended: np.ndarray) -> int:
        """Pairs of a list with other labels, of which what is read is the same, and which are not the same as a whole."""
        first, last = self.table.offsets[entry : entry + 2].tolist()
        starts, labels = self.responses.offsets, self.table.labels
        seen: dict[bytes, list[int]] = {}
        for i in range(first, last):
            seen.setdefault(self.responses.values[starts[i] : starts[i] + kept[i]].tobytes(), []).append(i)
        pairs = (pair for own in seen.values() for pair in combinations(own, 2))
        return sum(labels[a] != labels[b] and bool(ended[a] or ended[b]) for a, b in pairs)


def _first_token(tokenizer: Any) -> int | None:
    return tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id


def shown(encoder: PreferenceEncoder, tokenizer: Any, examples: int = 3) -> str:
    """Examples of some prompts as the model reads them: tokens of the prompt plainly, those of the response in brackets.

    Of long ones the beginning, the joint of prompt and response, and the end.
    """
    lines = []
    lists = encoder.drawn()
    firsts: dict[str, int] = {}
    for i, prompt in enumerate(encoder.table.prompts):
        firsts.setdefault(prompt_key(prompt), i)
    new = set(firsts.values())
    for i in sorted(range(len(encoder.table)), key=lambda i: i not in new)[:examples]:
        batch = encoder[lists.take(np.array([i]))]
        for row in range(min(2, batch.n_docs)):
            a, b = batch.tokens.offsets[row : row + 2].tolist()
            ids, marks = batch.tokens.ids[a:b].tolist(), batch.tokens.marks[a:b].tolist()
            pieces = tokenizer.convert_ids_to_tokens(ids)
            said = " ".join(_short([f"[{p}]" if mark else p for p, mark in zip(pieces, marks, strict=True)], marks))
            label = float(encoder.table.labels[encoder.table.offsets[i] + row])
            lines.append(
                f"{encoder.table.prompt_ids[i]}/{batch.doc_ids[row]}  label {label:g}, {b - a} tokens, "
                f"{sum(1 for m in marks if m)} of the response\n  {said}"
            )
    return "\n".join(lines)


def _short(parts: Sequence[str], marks: Sequence[int], near: int = 8) -> list[str]:
    """What stands near an end or a change of the marks, with … for the rest."""
    ends = [0, *(i for i in range(1, len(marks)) if marks[i] != marks[i - 1]), len(marks)]
    kept = sorted({i for end in ends for i in range(max(0, end - near), min(len(marks), end + near))})
    return [text for i, j in zip([-1, *kept], kept, strict=False) for text in (["…"] * (j > i + 1) + [parts[j]])]
