"""What a language model makes of the product of its last states and its words: logits that are scaled, or capped."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ltr.errors import ConfigError

#: settings of a configuration that logits are multiplied by, divided by, or capped at, where the architecture does so
TIMES = ("logit_scale", "lm_head_multiplier")
DIVIDED = ("logits_scaling",)
CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
#: architectures of which it is known (``tests/scorers/causal/test_vocabulary.py``) that they do nothing to logits: a large one
#: takes seconds to try
PLAIN = frozenset(["llama", "qwen2", "qwen3", "gemma", "mistral", "smollm3", "olmo2", "phi3"])
#: states by which a model is tried
TRIED = 4


class Vocabulary(NamedTuple):
    """``cap · tanh(scale · (states · wordsᵀ + bias) / cap)``: Cohere and Granite scale, Gemma 2 caps, most do neither.

    Attributes:
        scale: of all logits.
        cap: which no logit exceeds; None for none.
    """

    scale: float = 1.0
    cap: float | None = None

    @property
    def plain(self) -> bool:
        """Whether logits are the product as it is."""
        return self == Vocabulary()

    def logits(self, network: Any, states: Tensor, words: list[int] | None = None) -> Tensor:
        """[states, words] float32 logits.

        Args:
            network: the model.
            states: [states, hidden] its last ones.
            words: ids; None for all.
        """
        head = network.get_output_embeddings()
        weight, bias = head.weight, getattr(head, "bias", None)
        if words is not None:
            weight, bias = weight[words], None if bias is None else bias[words]
        found = states.float() @ weight.float().t()
        return self.shaped(found if bias is None else found + bias.float())

    def shaped(self, products: Tensor) -> Tensor:
        """Logits of products with words."""
        found = products if self.scale == 1.0 else products * self.scale
        return found if self.cap is None else (found / self.cap).tanh() * self.cap


def vocabulary_of(who: str, source: str, network: Any) -> Vocabulary:
    """How a model makes logits, tried on some states, since a setting of a name is not used by every architecture.

    Args:
        who: for errors.
        source: of the model, likewise.
        network: transformers' model, in float32.

    Raises:
        ConfigError: it makes them in another way, or of tokens that stand behind.
    """
    if network.config.model_type in PLAIN:
        return Vocabulary()
    device = next(network.parameters()).device
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        states, wanted = _tried(network, device)
        if not torch.allclose(_tried(network, device, TRIED - 1)[0], states[:-1], atol=1e-3 * float(states.std())):
            raise ConfigError(
                f"{who}: {source} ({network.config.model_type}) reads the tokens behind a token, too, so that it knows what it should "
                "foretell; take a causal language model (of an encoder's kind, one whose configuration says is_decoder)"
            )
        tried = [(made, made.logits(network, states)) for made in _candidates(network.config)]
    for made, found in tried:
        if found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.std())):
            return made
    raise ConfigError(
        f"{who}: {source} ({network.config.model_type}) makes more of its last states than logits of words, scaled or capped, so "
        "that what it says of a word is not known here; take a model of another architecture"
    )


def _candidates(config: Any) -> list[Vocabulary]:
    told = config.get_text_config() if hasattr(config, "get_text_config") else config

    def numbers(names: tuple[str, ...]) -> list[float]:
        values = [getattr(told, name, None) for name in names]
        return [float(value) for value in values if isinstance(value, (int, float)) and value > 0]

    scales = [1.0, *numbers(TIMES), *(1 / value for value in numbers(DIVIDED))]
    return [Vocabulary(scale, cap) for cap in (None, *numbers(CAPS)) for scale in scales]


def _tried(network: Any, device: torch.device, n: int = TRIED) -> tuple[Tensor, Tensor]:
    """([states, hidden] last states of some tokens, [states, words] the logits that the model makes of them)."""
    trains = network.training
    network.eval()
    given = {"input_ids": torch.arange(n, device=device)[None], "use_cache": False}
    try:
        states, logits = network.base_model(**given).last_hidden_state, network(**given).logits
    finally:
        network.train(trains)
    return states[0].float(), logits[0].float()
