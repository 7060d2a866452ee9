"""Makes a configuration tiny: what relates its default values still holds of the tiny ones."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from transformers.configuration_utils import PretrainedConfig

from foreknown.capture.roles import role_of

_BASE_FIELDS = frozenset(f.name for f in dataclasses.fields(PretrainedConfig)) - {
    "tie_word_embeddings"
}
FIRST_PLAIN_TOKEN = 16  # below: begin, end, padding and their kind keep their small default ids
PLAIN_TOKENS = 192  # from FIRST_PLAIN_TOKEN on; the ids above are left to image and audio markers


@dataclass(frozen=True)
class ShrinkPlan:
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


class Shrinker:
    """Shrinks one (sub-)configuration under a plan."""

    def __init__(self, base: PretrainedConfig, plan: ShrinkPlan) -> None:
        self.base, self.plan = base, plan
        self.fields = {
            f.name: f for f in dataclasses.fields(base) if f.init and f.name not in _BASE_FIELDS
        }
        self.default = {name: read_field(base, name) for name in self.fields}
        self.hidden = self._anchor("hidden_size", 0)
        self.heads = self._anchor("num_attention_heads", 0)
        self.depth = self._anchor("num_hidden_layers", 0)
        self.head_dim = self._anchor("head_dim", self.hidden // self.heads if self.heads else 0)
        self.layers = self._select_layers()
        self.seen: dict[tuple[str, int], int] = {}

    def _anchor(self, name: str, otherwise: int) -> int:
        value = read_field(self.base, name)
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
        role, plan = role_of(name), self.plan
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
                and role_of(n) in ("heads", "kv_heads")
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
            x for n, x in self.default.items() if role_of(n) == "rope_dim"
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
            return shrink(v, self._plan_of_part(v))
        if isinstance(v, bool) or v is None or isinstance(v, str):
            return v
        if isinstance(v, int):
            return self.number(name, v)
        if isinstance(v, dict):
            return {k: self._in_dict(name, str(k), x) for k, x in v.items()}
        if isinstance(v, list | tuple):
            return self._sequence(name, list(v))
        return v

    def _plan_of_part(self, part: PretrainedConfig) -> ShrinkPlan:
        """Parts of a composite keep the ratio of their width to the text's, or the commonest."""
        text = self.base.get_text_config()
        widths = [read_field(p, "hidden_size") or 0 for p in parts(self.base)]
        anchor = self.hidden or (read_field(text, "hidden_size") if text is not self.base else 0)
        anchor = anchor or statistics.mode([w for w in widths if w] or [0])
        width = read_field(part, "hidden_size")
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
        if role_of(name) == "token":
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
            if derived and role_of(name) not in ("kv_heads", "experts", "top", "window"):
                continue  # the class works it out from the others
            result[name] = self.value(name, v)
        kinds = set(result.get("layer_types") or ())
        if self.plan.mix and len(kinds) == 1 and "full_attention" not in kinds:
            result["layer_types"] = self._alternate(kinds.pop())
        if self.plan.rope and "rope_parameters" in self.fields:
            plain = {"rope_type": "default", "rope_theta": 10000.0}
            kinds = set(result.get("layer_types") or read_field(self.base, "layer_types") or ())
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
        role = role_of(name)
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
            elif (
                role_of(name) == "width" and name in given and not re.search(r"hidden|inter", name)
            ):
                widths["", name] = (sizes[name], given[name])
        dims = [n for n in sizes if role_of(n) == "head_dim"]
        for heads in [n for n in sizes if role_of(n) == "heads" and n in given]:
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
        for rotary in [n for n in dims if role_of(n) == "rope_dim"]:
            for plain in [n for n in dims if role_of(n) == "head_dim" and "nope" in n]:
                for whole in [n for n in dims if role_of(n) == "head_dim"]:
                    if default[whole] != default[plain] + default[rotary]:
                        continue
                    if whole in own:
                        own[whole] = tiny[plain] + tiny[rotary]
                    elif plain in own and tiny[whole] > tiny[rotary]:
                        own[plain] = tiny[whole] - tiny[rotary]


def parts(config: PretrainedConfig) -> list[PretrainedConfig]:
    found = (getattr(config, name, None) for name in type(config).sub_configs)
    return [part for part in found if isinstance(part, PretrainedConfig)]


def read_field(config: PretrainedConfig, name: str) -> Any:
    """A field's value; of one that differs from layer to layer, the value for most of them."""
    try:
        return getattr(config, name, None)
    except Exception:  # such a field refuses to be read as an attribute
        return config.to_dict().get(name)


def _nested(v: Any) -> bool:
    return any(isinstance(x, list | tuple) for x in v)


def _spread(total: int, parts: int) -> list[int]:
    return [total // parts + (i < total % parts) for i in range(parts)]


def shrink(base: PretrainedConfig, plan: ShrinkPlan) -> PretrainedConfig:
    """A tiny configuration of the same class; whether it runs, only the model's code can tell."""
    return type(base)(**Shrinker(base, plan).arguments())
