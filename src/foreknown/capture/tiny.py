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
import statistics
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

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
from foreknown.errors import CaptureError

MAX_PARAMETERS = 3_000_000
TRIAL_TOKENS = (40, 100)  # two lengths; blocks of keys that look ahead show in the longer
FIRST_PLAIN_TOKEN = 16  # below: begin, end, padding and their kind keep their small default ids
WELL_CONDITIONED = 6e-6  # of the largest logit: what another order of additions may change
LOOKS_AHEAD = 1e-4  # more than any order of additions explains
ROUND_TRIP_TOLERANCE = 2e-6  # loading may lay matrices out otherwise, which reorders additions
PLAIN_TOKENS = 192  # from FIRST_PLAIN_TOKEN on; the ids above are left to image and audio markers


def causal_lm_types() -> tuple[str, ...]:
    """Every model type that the installed transformers can run as a causal language model."""
    return tuple(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))


# --- what a field is ------------------------------------------------------------------------------

_ROLES: tuple[tuple[str, str], ...] = (  # the first pattern that is found in the name decides
    ("token", r"token_(id|index)|^(bos|eos|pad|unk|mask)_(index|id)$|^lang_id$|suppress_tokens"),
    ("keep", r"kernel|_conv$|d_conv|L_cache|conv1d_width|codebooks|image_size|patch|^layer_norm"),
    ("keep", r"^seed$|altup|nextn|mtp|channels|temporal|type_vocab|^num_mem_blocks$"),
    ("tail", r"_kv_shared_layers$"),
    ("first", r"^first_k|num_dense_layers|max_window_layers|layer_start_index"),
    ("last", r"layer_end_index"),
    ("vocab", r"vocab"),
    ("depth", r"^(num_hidden_layers|n_layers?|num_layers|num_blocks|num_layers_per_stack)$"),
    ("depth", r"^(num_)?(en|de)coder_layers$"),
    ("period", r"pattern|period|interval|every|sparse_step|layer_step|layer_group_size"),
    ("offset", r"layer_offset"),
    ("window", r"window|chunk_(size|length)$|chunk_len|(^|_)block_size|^local_attention$"),
    ("window", r"index_topk$|floor_scale|log_scaling_n_floor|^index_block|rel_extent|_chunksize$"),
    (
        "top",
        r"topk_blocks|_per_tok|top_?k_experts|moe_top_?k|^moe_k$|centroid.*top_k|random_blocks",
    ),
    ("groups", r"^n_group$|num_expert_group|^topk_group$"),
    ("shared", r"shared_experts$"),
    ("expert_width", r"(expert|moe).*(size|dim)"),
    ("experts", r"experts?$|zero_expert_num|num_centroids"),
    ("rope_dim", r"rope_head_dim|rotary_dim"),
    ("head_dim", r"head_?dim|d_head|dim_head|head_size|kv_channels|query_pre_attn|d_rel"),
    ("index_heads", r"^index(er)?_n_heads$"),
    ("kv_heads", r"(kv|key_value|key)_(n_)?heads?$|query_groups|kv_n_heads"),
    ("heads", r"heads?$|^num_attention_heads_per_layer$"),
    ("state_groups", r"n_?groups$|o_groups"),
    ("state", r"d_state|state_size"),
    ("rank", r"rank"),
    ("positions", r"max_position|n_positions|max_seq_len|n_ctx|(source|target)_positions"),
    ("positions", r"context_length|model_max_length|max_distance|mem_len|max_length"),
    ("width", r"hidden|model|embd|emb_dim|embedding|embed|ffn|ff$|dff|inner|intermediate|width"),
    ("width", r"feed_forward|_dim$|_size$|d_ssm|dim_model_base|mid_dim|_dim_"),
)
_BASE_FIELDS = frozenset(f.name for f in dataclasses.fields(PretrainedConfig)) - {
    "tie_word_embeddings"
}
_AHEAD = "it is not causal"
_ENDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def _role(name: str) -> str:
    for role, pattern in _ROLES:
        if re.search(pattern, name):
            return role
    return "other"


@dataclass(frozen=True)
class _Plan:
    """How far to shrink; the search varies it."""

    hidden: int = 64
    heads: int = 4
    depth: int = 4
    max_depth: int = 6
    vocab: int = 256
    window: int = 8
    positions: int = 128
    experts: int = 8
    lists: str = (
        "select"  # "select" layers from the default's lists, or let the class "derive" them
    )
    text_width: tuple[int, int] = (0, 0)  # of the composite a part belongs to: default and tiny
    equal_heads: bool = False
    fill: frozenset[str] = (
        frozenset()
    )  # roles of fields to give a value though their default is None
    kind: str = ""  # the kind of every other layer, where the default does not say
    mix: bool = False  # full attention in every other layer, where the default has no attention
    rope: bool = False  # give rotary parameters, where the default does not say
    keep: frozenset[str] = frozenset()  # fields left at their default
    drop: frozenset[str] = frozenset()  # fields not given to the constructor at all
    force: Mapping[str, Any] = field(default_factory=dict)  # field name to value, where it exists
    add: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by name of the class


class _Shrinker:
    """Shrinks one (sub-)configuration under a plan."""

    def __init__(self, base: PretrainedConfig, plan: _Plan) -> None:
        self.base, self.plan = base, plan
        self.fields = {
            f.name: f for f in dataclasses.fields(base) if f.init and f.name not in _BASE_FIELDS
        }
        self.default = {name: _read(base, name) for name in self.fields}
        self.hidden = self._anchor("hidden_size", 0)
        self.heads = self._anchor("num_attention_heads", 0)
        self.depth = self._anchor("num_hidden_layers", 0)
        self.head_dim = self._anchor("head_dim", self.hidden // self.heads if self.heads else 0)
        self.layers = self._select_layers()
        self.seen: dict[tuple[str, int], int] = {}

    def _anchor(self, name: str, otherwise: int) -> int:
        value = _read(self.base, name)
        return value if isinstance(value, int) and value > 0 else otherwise

    # layers

    def _per_layer(self, name: str, value: Any) -> bool:
        return (
            isinstance(value, list | tuple) and len(value) == self.depth > 1 and not _nested(value)
        )

    def _layer_indices(self, name: str, value: Any) -> bool:
        return (
            isinstance(value, list | tuple)
            and bool(re.search(r"layer|idx", name))
            and all(type(v) is int and 0 <= v < max(self.depth, 1) for v in value)
            and all(a < b for a, b in pairwise(value))
        )

    def _overrides(self) -> dict[int, dict[str, Any]]:
        """What single layers override, for classes whose layers differ in their sizes."""
        found = self.base.to_dict().get("per_layer_config") or {}
        return {int(k): dict(v) for k, v in found.items() if str(k).isdigit()}

    def _select_layers(self) -> list[int]:
        """Indices of default layers that together show every kind, kinds in turn."""
        if self.depth == 0:
            return []
        overrides = self._overrides()
        kinds: dict[tuple[str, ...], list[int]] = {}
        for i in range(self.depth):
            kind = [repr(overrides.get(i))]
            for name, value in self.default.items():
                if self._layer_indices(name, value):
                    kind.append(str(i in value))
                elif self._per_layer(name, value):
                    kind.append(repr(value[i]))
            kinds.setdefault(tuple(kind), []).append(i)
        queues = list(kinds.values())
        # Kinds that come once (a first dense layer) come once; the others take turns.
        count = min(self.plan.max_depth, max(self.plan.depth, len(queues)))
        count = min(count, self.depth)
        chosen = [q.pop(0) for q in queues][:count]
        rich = [q for q in queues if len(q) > 1]
        while len(chosen) < count:
            rich = [q for q in rich if q] or [q for q in queues if q]
            for q in rich:
                if q and len(chosen) < count:
                    chosen.append(q.pop(0))
        return chosen

    # numbers

    def number(self, name: str, v: int) -> int:
        role, plan = _role(name), self.plan
        if name in plan.keep or role in ("keep", "other") or v <= 0:
            return self._equal_elsewhere(name, v) if role == "other" else v
        result = int(getattr(self, f"_{role}")(name, v))
        self.seen.setdefault((role, v), result)
        return result

    def _equal_elsewhere(self, name: str, v: int) -> int:
        if v > 16 and v == self.head_dim:
            return self._head_dim("head_dim", v)
        if v > 64 and v == self.hidden:
            return self.plan.hidden
        return 64 if v > 1024 else v

    def _token(self, name: str, v: int) -> int:
        if v < FIRST_PLAIN_TOKEN:
            return v
        digest = sum(map(ord, name)) + 7 * v
        return self.plan.vocab - 1 - digest % (self.plan.vocab - FIRST_PLAIN_TOKEN - PLAIN_TOKENS)

    def _vocab(self, name: str, v: int) -> int:
        return min(v, self.plan.vocab)

    def _depth(self, name: str, v: int) -> int:
        return len(self.layers) if v == self.depth else min(v, self.plan.depth)

    def _first(self, name: str, v: int) -> int:
        return min(v, 1) if v < self.depth else len(self.layers)

    def _tail(self, name: str, v: int) -> int:
        return len(self.layers) if v == self.depth else len(self.layers) // 2

    def _last(self, name: str, v: int) -> int:
        return len(self.layers) - 1

    def _period(self, name: str, v: int) -> int:
        return min(v, 2)

    def _offset(self, name: str, v: int) -> int:
        return min(v, 1)

    def _window(self, name: str, v: int) -> int:
        return min(v, self.plan.window)

    def _top(self, name: str, v: int) -> int:
        return min(v, 2)

    def _groups(self, name: str, v: int) -> int:
        if name.startswith("topk"):
            total = getattr(self.base, "n_group", None) or getattr(self.base, "num_expert_group", v)
            return 2 if v == total and v > 1 else 1
        return min(v, 2)

    def _shared(self, name: str, v: int) -> int:
        return min(v, 2)

    def _experts(self, name: str, v: int) -> int:
        return min(v, self.plan.experts)

    def _expert_width(self, name: str, v: int) -> int:
        if v == self.hidden:
            return self.plan.hidden
        return 32 if v < 4 * self.hidden else 48

    def _family(self, name: str) -> tuple[int, int]:
        """The query heads that a field belongs to: their count in the default and when tiny."""
        prefix = re.split(r"num_|n_", name)[0]
        stem = re.split(r"key|value|query", name)[0]
        largest = max(
            (
                v
                for n, v in self.default.items()
                if type(v) is int
                and _role(n) in ("heads", "kv_heads")
                and (n.startswith(prefix) if prefix else n.startswith(stem) and stem)
            ),
            default=self.heads,
        )
        return largest, self._heads("", largest)

    def _heads(self, name: str, v: int) -> int:
        n = self.plan.heads
        if v == self.heads or not self.heads:
            return min(v, n)
        if v > self.heads:
            return 2 * n if v % self.heads == 0 else n
        if name and v < self.heads and re.search(r"value|linear", name):
            return n
        return max(1, min(v, n // 2)) if self.heads % v == 0 else min(v, n)

    def _kv_heads(self, name: str, v: int) -> int:
        total, tiny = self._family(name)
        if re.match(r"(num_|n_)?(kv|key_value|query_groups)|.*attn.*kv", name) or total == v:
            total, tiny = max(self.heads, 1), min(self.plan.heads, max(self.heads, 1))
        if v == total or self.plan.equal_heads:
            return tiny
        return 1 if v == 1 else max(1, tiny // 2)

    def _index_heads(self, name: str, v: int) -> int:
        return min(v, 16)  # few heads behind a rectifier would give scores of zero, tied

    def _state_groups(self, name: str, v: int) -> int:
        return min(v, 2)

    def _rope_dim(self, name: str, v: int) -> int:
        return 8

    def _head_dim(self, name: str, v: int) -> int:
        natural = self.plan.hidden // self.plan.heads
        if name == "head_dim" and v in (
            x for n, x in self.default.items() if _role(n) == "rope_dim"
        ):
            return self._rope_dim(name, v)
        if name in ("head_dim", "attention_head_dim", "attention_head_size", "d_head", "dim_head"):
            product = v * self.heads
            return natural if product <= self.hidden or not self.hidden else 2 * natural
        if v < 16:
            return v
        return natural

    def _state(self, name: str, v: int) -> int:
        return min(v, 16)

    def _rank(self, name: str, v: int) -> int:
        same = self.seen.get(("rank", v))
        return same if same else min(v, 32 if v > 512 else 24 if v > 64 else 16)

    def _positions(self, name: str, v: int) -> int:
        return min(v, self.plan.positions)

    def _width(self, name: str, v: int) -> int:
        h, tiny = self.hidden, self.plan.hidden
        if v == self.plan.text_width[0]:
            return self.plan.text_width[1]
        if v < 16 or not h:
            return min(v, tiny)
        if v % h == 0:
            return tiny * min(v // h, 4)
        if h % v == 0:
            return max(8, tiny * v // h)
        return 96 if v > h else 32

    # values of every type

    def value(self, name: str, v: Any) -> Any:
        if isinstance(v, PretrainedConfig):
            return _tiny(v, self._plan_of_part(v))
        if isinstance(v, bool) or v is None or isinstance(v, str):
            return v
        if isinstance(v, int):
            return self.number(name, v)
        if isinstance(v, dict):
            return {k: self._in_dict(name, str(k), x) for k, x in v.items()}
        if isinstance(v, list | tuple):
            return self._sequence(name, list(v))
        return v

    def _plan_of_part(self, part: PretrainedConfig) -> _Plan:
        """Parts of a composite keep the ratio of their width to the text's, or the commonest."""
        text = self.base.get_text_config()
        widths = [_read(p, "hidden_size") or 0 for p in _parts(self.base)]
        anchor = self.hidden or (_read(text, "hidden_size") if text is not self.base else 0)
        anchor = anchor or statistics.mode([w for w in widths if w] or [0])
        width = _read(part, "hidden_size")
        plan = replace(self.plan, text_width=(anchor, self.plan.hidden))
        if anchor and type(width) is int and width % anchor == 0 and width // anchor in (2, 3, 4):
            return replace(plan, hidden=self.plan.hidden * (width // anchor))
        return plan

    def _in_dict(self, outer: str, name: str, v: Any) -> Any:
        if name.endswith("section") and isinstance(v, list | tuple) and self.head_dim:
            total = sum(v) * self._head_dim("head_dim", self.head_dim) // self.head_dim
            return _spread(total, len(v))
        if isinstance(v, dict):
            return {k: self._in_dict(outer, str(k), x) for k, x in v.items()}
        if outer == "compress_rates":
            return min(v, 8)
        return v

    def _sequence(self, name: str, v: list[Any]) -> list[Any]:
        if self._per_layer(name, v):
            picked = [v[i] for i in self.layers]
            return [self.value(name, x) if type(x) is int and x > 8 else x for x in picked]
        if self._layer_indices(name, v):
            return [new for new, old in enumerate(self.layers) if old in v]
        if _nested(v):
            return [self._run_length(x) for x in v]
        if not v or any(type(x) is not int for x in v):
            return v
        if _role(name) == "token":
            return [self.number(name, x) for x in v]
        if sum(v) == self.hidden:
            return [x * self.plan.hidden // self.hidden for x in v]
        if math.prod(v) == self._anchor("max_position_embeddings", -1):
            return [*[1] * (len(v) - 2), 8, self.plan.positions // 8]
        return v

    def _run_length(self, v: Any) -> Any:
        if (
            isinstance(v, list | tuple)
            and len(v) == 2
            and isinstance(v[0], list)
            and type(v[1]) is int
        ):
            return [v[0], max(1, len(self.layers) // len(v[0]))]
        return v

    # the whole

    def arguments(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, f in self.fields.items():
            v = self.default[name]
            raw = f.default if f.default is not dataclasses.MISSING else None
            if name in self.plan.drop:
                continue
            if v is None:
                if (filled := self._fill(name, f)) is not None:
                    result[name] = filled
                continue
            is_list = isinstance(v, list | tuple)
            if is_list and self.plan.lists == "derive" and raw is None:
                continue
            derived = raw is None and isinstance(v, int) and not isinstance(v, bool)
            if derived and _role(name) not in ("kv_heads", "experts", "top", "window"):
                continue  # the class works it out from the others
            result[name] = self.value(name, v)
        kinds = set(result.get("layer_types") or ())
        if self.plan.mix and len(kinds) == 1 and "full_attention" not in kinds:
            result["layer_types"] = self._alternate(kinds.pop())
        if self.plan.rope and "rope_parameters" in self.fields:
            plain = {"rope_type": "default", "rope_theta": 10000.0}
            kinds = set(result.get("layer_types") or _read(self.base, "layer_types") or ())
            given = result.get("rope_parameters") or {}
            result["rope_parameters"] = {k: dict(plain) for k in kinds} | given or plain
        self._keep_products(result)
        self._keep_sums(self.default, result, result)
        if overrides := self._overrides():
            result["per_layer_config"] = {
                new: self._layer(overrides[old], result)
                for new, old in enumerate(self.layers)
                if old in overrides
            }
        for name in ("is_decoder", "causal"):
            if self.default.get(name) is False:
                result[name] = True
        for name, v in self.plan.force.items():
            if name in self.fields:
                result[name] = v
        return result | dict(self.plan.add.get(type(self.base).__name__, {}))

    def _layer(self, override: dict[str, Any], tiny: Mapping[str, Any]) -> dict[str, Any]:
        """What a single layer overrides, shrunk."""
        own = {name: self.value(name, v) for name, v in override.items()}
        self._keep_sums(self.default | override, {**tiny, **own}, own)
        return own

    def _alternate(self, kind: str) -> list[str]:
        return [[kind, "full_attention"][i % 2] for i in range(len(self.layers))]

    def _fill(self, name: str, f: dataclasses.Field[Any]) -> Any:
        """A value where the default says nothing and the plan or a sibling asks for one."""
        types = typing.get_args(f.type) or (f.type,)
        if str in types:  # one of a list of names: the first of them
            for other, values in self.default.items():
                if other.rstrip("s") in name and isinstance(values, list | tuple) and values:
                    return values[0] if isinstance(values[0], str) else None
        if name == "layer_types" and self.plan.kind:
            return self._alternate(self.plan.kind)
        if self.plan.mix and re.match(r"attn_layer_(indices|ids)", name):
            return list(range(1, len(self.layers), 2))
        role = _role(name)
        if name == "rope_parameters" or int not in types or role in ("token", "keep", "offset"):
            return None
        if role not in self.plan.fill and "every" not in self.plan.fill:
            return None
        heads = min(self.plan.heads, self.heads or self.plan.heads)
        return {
            "head_dim": self._head_dim("head_dim", self.head_dim),
            "kv_heads": heads if self.plan.equal_heads else max(1, heads // 2),
            "heads": 2,
            "index_heads": 16,
            "experts": self.plan.experts,
            "expert_width": 32,
            "width": self.plan.hidden,
            "groups": 1,
            "shared": 1,
            "window": self.plan.window,
            "depth": len(self.layers),
        }.get(role, self.plan.window if "budget" in name else 2)

    def _keep_products(self, result: dict[str, Any]) -> None:
        """heads * head_dim == factor * width: where it held it holds, by changing the heads."""
        sizes = {n: v for n, v in self.default.items() if type(v) is int and v > 0}
        given = {n: v for n, v in result.items() if type(v) is int and v > 0}
        widths = {("", "hidden_size"): (self.hidden, self.plan.hidden)}
        for name in sizes:
            if "expand" in name:
                times = sizes[name], given.get(name, sizes[name])
                widths[name, "hidden_size"] = (times[0] * self.hidden, times[1] * self.plan.hidden)
            elif _role(name) == "width" and name in given and not re.search(r"hidden|inter", name):
                widths["", name] = (sizes[name], given[name])
        dims = [n for n in sizes if _role(n) == "head_dim"]
        for heads in [n for n in sizes if _role(n) == "heads" and n in given]:
            for dim in dims:
                for (factor, width), (old, new) in widths.items():
                    if "attention" in heads and (factor or width != "hidden_size"):
                        continue
                    small = given.get(dim, self.plan.hidden // self.plan.heads)
                    if sizes[heads] * sizes[dim] == old and new % small == 0 and new:
                        result[heads] = new // small

    def _keep_sums(
        self, default: Mapping[str, Any], tiny: Mapping[str, Any], own: dict[str, Any]
    ) -> None:
        """head_dim == plain dim + rotary dim: where it held it holds, by changing `own`."""
        dims = [n for n, v in default.items() if type(v) is int and type(tiny.get(n)) is int]
        for rotary in [n for n in dims if _role(n) == "rope_dim"]:
            for plain in [n for n in dims if _role(n) == "head_dim" and "nope" in n]:
                for whole in [n for n in dims if _role(n) == "head_dim"]:
                    if default[whole] != default[plain] + default[rotary]:
                        continue
                    if whole in own:
                        own[whole] = tiny[plain] + tiny[rotary]
                    elif plain in own and tiny[whole] > tiny[rotary]:
                        own[plain] = tiny[whole] - tiny[rotary]


def _parts(config: PretrainedConfig) -> list[PretrainedConfig]:
    found = (getattr(config, name, None) for name in type(config).sub_configs)
    return [part for part in found if isinstance(part, PretrainedConfig)]


def _read(config: PretrainedConfig, name: str) -> Any:
    """A field's value; of one that differs from layer to layer, the value for most of them."""
    try:
        return getattr(config, name, None)
    except Exception:  # such a field refuses to be read as an attribute
        return config.to_dict().get(name)


def _nested(v: Any) -> bool:
    return any(isinstance(x, list | tuple) for x in v)


def _spread(total: int, parts: int) -> list[int]:
    return [total // parts + (i < total % parts) for i in range(parts)]


def _tiny(base: PretrainedConfig, plan: _Plan) -> PretrainedConfig:
    return type(base)(**_Shrinker(base, plan).arguments())


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


def _plans(base: PretrainedConfig) -> Iterator[_Plan]:
    first = _Plan()
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
    if _read(base, "layer_types") or "layer_types" not in {
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


def _advice(error: BaseException, plan: _Plan) -> _Plan:
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
        advised: _Plan | None = plan
        while advised is not None:
            try:
                config = _tiny(base, advised)
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
