"""Tiny random checkpoints: any causal-LM type of transformers, shrunk to run in milliseconds.

A type's own default configuration is the only source. What a field *is* (a width, a count of
heads, a depth, a window …) is read from its name and from the relations its default value has with
the others; relations that held in the default hold in the tiny one. Where that guess is wrong, the
model's own code says so, and a short search over generic variations looks for one that runs.

Knows nothing of graphs, and names no model.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.configuration_utils import ALLOWED_LAYER_TYPES, PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
)

from foreknown.capture.reference import (
    causality_error,
    eager_logits,
    model_logits,
    quiet,
    relative_error,
)
from foreknown.capture.shrink import FIRST_PLAIN_TOKEN, PLAIN_TOKENS, ShrinkPlan, read_field, shrink
from foreknown.errors import CaptureError

MAX_PARAMETERS = 3_000_000
TRIAL_TOKENS = (40, 100)  # two lengths; blocks of keys that look ahead show in the longer
WELL_CONDITIONED = 6e-6  # of the largest logit: what another order of additions may change
LOOKS_AHEAD = 1e-4  # more than any order of additions explains
ROUND_TRIP_TOLERANCE = 2e-6  # loading may lay matrices out otherwise, which reorders additions


_AHEAD = "it is not causal"
_ENDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def causal_lm_types() -> tuple[str, ...]:
    """Every model type that the installed transformers can run as a causal language model."""
    return tuple(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))


# --- the search -----------------------------------------------------------------------------------


def _default_config(model_type: str) -> PretrainedConfig:
    try:
        return CONFIG_MAPPING[model_type]()
    except Exception as error:
        raise CaptureError(
            f"the default configuration of '{model_type}' cannot be built: {_brief(error)}",
            where="transformers' configuration class",
            remedy="give a configuration of your own",
        ) from error


def _plans(base: PretrainedConfig) -> Iterator[ShrinkPlan]:
    first = ShrinkPlan()
    yield replace(first, mix=True)
    yield first
    yield replace(first, window=1 << 30)  # a window that drops keys by the length of the sequence
    for roles in (("head_dim",), ("kv_heads",), ("top",), ("top", "experts", "groups"), ("every",)):
        yield replace(first, fill=frozenset(roles))
    yield replace(first, rope=True)
    yield replace(first, force={"attn_type": "uni"})  # attention one way, where the class has both
    yield from (replace(first, kind=kind) for kind in _kinds_of_layers(base))
    yield replace(first, lists="derive")
    yield replace(first, lists="derive", depth=6)
    yield replace(first, equal_heads=True)
    yield replace(first, drop=frozenset({"head_dim"}))
    yield replace(first, heads=2)
    yield replace(first, hidden=128)
    yield replace(first, hidden=128, heads=8)
    yield replace(first, vocab=512)
    yield replace(first, positions=4096)
    yield replace(first, experts=64)
    yield replace(first, depth=2)


def _kinds_of_layers(base: PretrainedConfig) -> list[str]:
    """The kinds of layers that a model's own source knows, where its configuration names none."""
    if read_field(base, "layer_types") or "layer_types" not in {
        f.name for f in dataclasses.fields(base)
    }:
        return []
    module = sys.modules[_model_class(base).__module__]
    source = inspect.getsource(module)
    others = [kind for kind in ALLOWED_LAYER_TYPES if kind != "full_attention"]
    return [kind for kind in (*others, "full_attention") if f'"{kind}"' in source]


def _model_class(config: PretrainedConfig) -> type[PreTrainedModel]:
    found: type[PreTrainedModel] = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]  # type: ignore[assignment]
    return found


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{type(error).__name__}: {text[:300]}"


def _trial(config: PretrainedConfig, seed: int) -> int:
    """The seed of well-conditioned weights: `seed`, or one of the next few.

    Raises whatever the model's code raises on this configuration, or what is wrong with it.
    """
    with quiet(), torch.device("meta"):
        outline = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    count = sum(p.numel() for p in outline.parameters())
    if count > 8 * MAX_PARAMETERS:
        raise CaptureError(f"still {count:,} parameters")
    errors: dict[int, float] = {}
    for weights_seed in range(seed, seed + 6):
        errors[weights_seed] = _looks_ahead(_random_model(config, weights_seed))
        if not WELL_CONDITIONED < errors[weights_seed] < 100 * LOOKS_AHEAD:
            break
    best = min(errors, key=errors.__getitem__)
    if not errors[best] < LOOKS_AHEAD:
        raise CaptureError(
            f"{_AHEAD}: leaving later tokens away changes earlier positions"
            f" by {errors[best]:.1e} of the largest logit"
        )
    return best


def _looks_ahead(model: PreTrainedModel) -> float:
    """How much earlier logits change, relatively, when later tokens are left away: rounding alone.

    Raises CaptureError for logits that are not one finite row, different from the others, a token.
    """
    worst = 0.0
    for tokens in trial_sequences():
        whole = model_logits(model, [tokens])[0]
        if whole.shape[0] != len(tokens):
            raise CaptureError(f"logits of shape {whole.shape} for {len(tokens)} tokens")
        if not np.isfinite(whole).all():
            raise CaptureError("logits that are not finite")
        if not whole.std(axis=-1).min() > 1e-4:
            raise CaptureError("logits that are all alike")
        worst = max(worst, causality_error(model, tokens, (1, 7, 19, len(tokens) - 5)))
        if worst >= 100 * LOOKS_AHEAD:
            break
    return worst


def _advice(error: BaseException, plan: ShrinkPlan) -> ShrinkPlan:
    """The plan with what the error itself asks for: a field's value, or an attribute that lacks."""
    text = str(error)
    for name, value in re.findall(r"(\w+)`?(?: must be |=)(\d+|True|False)\b", text):
        if name not in plan.force:
            return replace(plan, force={**plan.force, name: ast.literal_eval(value)})
    lacks = re.search(r"'(\w+)' object has no attribute '(\w*theta)'", text)
    if lacks and not plan.add:
        return replace(plan, add={lacks[1]: {lacks[2]: 10000.0}})
    return plan


def tiny_config(model_type: str, seed: int = 0) -> PretrainedConfig:
    """A small configuration of a type, of which a causal forward pass is known to work.

    Raises:
        CaptureError: no variation that was tried runs; the message holds the most telling reason.
    """
    return _search(model_type, seed)[0]


def _search(model_type: str, seed: int) -> tuple[PretrainedConfig, int]:
    """A configuration that runs, and a seed of weights with which it runs well."""
    base = _default_config(model_type)
    reasons: list[str] = []
    for plan in _plans(base):
        advised: ShrinkPlan | None = plan
        while advised is not None:
            try:
                config = shrink(base, advised)
                return config, _trial(config, seed)
            except Exception as error:
                reasons.append(_brief(error))
                better = _advice(error, advised)
                advised = better if better is not advised else None
    reason = max(reasons, key=lambda r: _AHEAD in r)  # a model that ran says most
    raise CaptureError(
        f"no tiny configuration of '{model_type}' runs: {reason.removeprefix('CaptureError: ')}",
        where="the model's own code",
        remedy="give a configuration of your own",
    )


# --- the weights ----------------------------------------------------------------------------------


def plain_tokens(count: int, seed: int) -> list[int]:
    """Token ids without a special meaning (padding, images …) in any tiny checkpoint."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(
        FIRST_PLAIN_TOKEN, FIRST_PLAIN_TOKEN + PLAIN_TOKENS, (count,), generator=generator
    )
    return [int(i) for i in ids]


def trial_sequences() -> list[list[int]]:
    """The token ids with which every tiny checkpoint was found to be well-conditioned.

    On others a recurrence may divide by an output that happens to be nearly zero.
    """
    return [plain_tokens(n, seed) for seed, n in enumerate((TRIAL_TOKENS[0], *TRIAL_TOKENS))]


def _build(config: PretrainedConfig, seed: int) -> PreTrainedModel:
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            copy.deepcopy(config),
            dtype=torch.float32,
            attn_implementation="eager",
            experts_implementation="eager",
        )
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _random_model(config: PretrainedConfig, seed: int) -> PreTrainedModel:
    """A model of which no parameter is trivially zero, one or tied to another by its start."""
    model, other = _build(config, seed), _build(config, seed + 1)
    generator = torch.Generator().manual_seed(seed)

    def normal(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float32)

    kept = set(model.state_dict())
    with torch.no_grad():
        starts = dict(other.named_parameters())
        for name, p in model.named_parameters():
            if not p.is_floating_point():
                continue
            drawn = p.ndim >= 2 and not torch.equal(p, starts[name])
            if drawn or (p.ndim >= 2 and _constant(p) and p.numel() > 2 * max(p.shape)):
                fan_in = math.prod(p.shape[1:]) if p.ndim == 2 or p.shape[1] == 1 else p.shape[-1]
                p.copy_(normal(p) / math.sqrt(fan_in))
            else:  # a norm's weight, a bias, a decay: its start has a meaning, so stay near it
                p.copy_(p * (1 + 0.1 * normal(p)) + 0.1 * normal(p))
        for name, b in model.named_buffers():
            if name in kept and b.is_floating_point() and b.ndim <= 1 and _constant(b, 0.0, 1.0):
                b.add_(0.1 * normal(b))
    _spread_logits(model)
    return model


def _constant(p: torch.Tensor, *values: float) -> bool:
    """Whether all elements are one number, of those given if any are."""
    first = p.flatten()[:1]
    return bool((p == first).all()) and bool(p.numel()) and (not values or float(first) in values)


def _spread_logits(model: PreTrainedModel) -> None:
    """Scales the output matrix so that the logits' standard deviation is about one."""
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    weight = getattr(head, "weight", None)
    if weight is None:
        return
    tokens = plain_tokens(TRIAL_TOKENS[0], seed=1)
    for _ in range(3):
        # A copy runs: some models change their own weights at their first step.
        spread = float(model_logits(copy.deepcopy(model), [tokens])[0].std())
        if not math.isfinite(spread) or spread == 0 or 0.5 < spread < 2:
            return
        with torch.no_grad():
            weight.mul_(min(max(1 / spread, 0.05), 20.0))


def make_tiny_checkpoint(model_type: str, directory: str | Path, seed: int = 0) -> PretrainedConfig:
    """Writes a tiny random checkpoint (float32, safetensors, no tokenizer) and returns its config.

    What is written is read back: it gives the logits of the model that was saved.

    Raises:
        CaptureError: no tiny configuration of the type runs, or the checkpoint does not survive
            being saved and loaded.
    """
    config, weights_seed = _search(model_type, seed)
    model = _random_model(config, weights_seed)
    tokens = plain_tokens(TRIAL_TOKENS[0], seed=2)
    try:
        with quiet():
            model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
                **{k: v for k in _ENDS if (v := getattr(config, k, None)) is not None}
            )
            model.save_pretrained(directory)
            if type(model.config) is not type(config):  # the model kept the text part alone
                config.architectures = [type(model).__name__]
                config.save_pretrained(directory)
        expected = model_logits(model, [tokens])[0]
        found = eager_logits(directory, [tokens])[0]
    except Exception as error:
        raise CaptureError(
            f"a tiny checkpoint of '{model_type}' cannot be saved and loaded: {_brief(error)}",
            where=str(directory),
            remedy="report it to transformers",
        ) from error
    if not relative_error(found, expected) <= ROUND_TRIP_TOLERANCE:
        raise CaptureError(
            f"a tiny checkpoint of '{model_type}' gives other logits after loading"
            f" (by {relative_error(found, expected):.1e} of the largest)",
            where=str(directory),
            remedy="report it to transformers",
        )
    return config
