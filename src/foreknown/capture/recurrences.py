"""Linear recurrences behind their chunked forms: told by what they take, proved by what they give.

Code that runs a recurrence over a sequence is written for speed, in chunks, and cannot be traced
for any number of tokens. Its functions follow the argument names of the public kernels they stand
in for. While a model is traced, a function whose arguments match a known recurrence is exchanged
for that recurrence, written plainly over `foreknown::scan`. Afterwards both are run on random
inputs with the very options that were used; where they differ, the model is refused.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch.nn import functional

from foreknown.errors import UnsupportedOp

TRIAL_TOKENS = 37  # neither a multiple of any chunk nor less than one
TOLERANCE = 1e-4

torch.library.define(
    "foreknown::scan", "(Tensor decay, Tensor input, Tensor? out, Tensor? into) -> Tensor"
)


@torch.library.register_fake("foreknown::scan")  # type: ignore[untyped-decorator]
def _scan_shape(
    decay: torch.Tensor,
    input: torch.Tensor,
    out: torch.Tensor | None,
    into: torch.Tensor | None,
) -> torch.Tensor:
    shape = torch.broadcast_shapes(decay.shape, input.shape)  # type: ignore[no-untyped-call]
    return input.new_empty(shape)


@torch.library.impl("foreknown::scan", "CPU")
def _scan(
    decay: torch.Tensor,
    input: torch.Tensor,
    out: torch.Tensor | None,
    into: torch.Tensor | None,
) -> torch.Tensor:
    """S_t = decay_t S_{t-1} + input_t [+ out_t (into_t · S_{t-1})] over axis 1, from zero."""
    decay, input = torch.broadcast_tensors(decay, input)  # type: ignore[no-untyped-call]
    state = torch.zeros_like(input[:, 0])
    states = []
    for t in range(input.shape[1]):
        new = decay[:, t] * state + input[:, t]
        if out is not None and into is not None:
            read = (into[:, t].unsqueeze(-1) * state).sum(-2, keepdim=True)
            new = new + out[:, t].unsqueeze(-1) * read
        state = new
        states.append(state)
    return torch.stack(states, 1)


def scan(
    decay: torch.Tensor,
    input: torch.Tensor,
    out: torch.Tensor | None = None,
    into: torch.Tensor | None = None,
) -> torch.Tensor:
    result: torch.Tensor = torch.ops.foreknown.scan(decay, input, out, into)
    return result


# The recurrences. Arguments are named as in the public kernels.


def state_space_of_heads(
    x: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    dt_bias: torch.Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")),
    **options: Any,
) -> Any:
    """A decay for each head: x [b, t, head, width], dt [b, t, head], A [head] and
    B, C [b, t, group, state]."""
    if dt_bias is not None:
        dt = dt + dt_bias
    if dt_softplus:
        dt = functional.softplus(dt)
    if tuple(dt_limit) != (0.0, float("inf")) or not dt_softplus:
        dt = torch.clamp(dt, dt_limit[0], dt_limit[1])
    heads, groups = x.shape[2], B.shape[2]
    B = B.repeat_interleave(heads // groups, dim=2)
    C = C.repeat_interleave(heads // groups, dim=2)
    decay = torch.exp(A * dt)[..., None, None]
    states = scan(decay, (x * dt[..., None])[..., :, None] * B[..., None, :])
    y = (states * C[..., None, :]).sum(-1)
    if D is not None:
        y = y + D[..., None] * x
    return (y, None) if options.get("return_final_states") else y


def state_space_of_channels(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    **options: Any,
) -> Any:
    """A decay for each channel and state: u, delta [b, channel, t], A [channel, state] and
    B, C [b, state, t]."""
    if delta_bias is not None:
        delta = delta + delta_bias[..., None]
    if delta_softplus:
        delta = functional.softplus(delta)
    x, dt = u.transpose(1, 2), delta.transpose(1, 2)
    B, C = B.transpose(1, 2), C.transpose(1, 2)
    states = scan(torch.exp(dt[..., None] * A), (dt * x)[..., None] * B[:, :, None, :])
    y = (states * C[:, :, None, :]).sum(-1)
    if D is not None:
        y = y + x * D
    y = y.transpose(1, 2)
    if z is not None:
        y = y * functional.silu(z)
    return (y, None) if options.get("return_last_state") else y


def delta_rule(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    g: torch.Tensor,
    beta: torch.Tensor,
    use_qk_l2norm_in_kernel: bool = False,
    **options: Any,
) -> Any:
    """q, k [b, t, head, width], v [b, t, value head, width], beta [b, t, value head] and
    g, the logarithm of the decay, of a value head [b, t, head] or of each key's channel."""
    heads = v.shape[2]
    if k.shape[2] != heads:
        q = q.repeat_interleave(heads // q.shape[2], dim=2)
        k = k.repeat_interleave(heads // k.shape[2], dim=2)
    if use_qk_l2norm_in_kernel:
        q = q * torch.rsqrt((q * q).sum(-1, keepdim=True) + 1e-6)
        k = k * torch.rsqrt((k * k).sum(-1, keepdim=True) + 1e-6)
    q = q * (q.shape[-1] ** -0.5)
    decay = torch.exp(g)
    decay = decay if decay.dim() == k.dim() else decay[..., None]
    step = beta[..., None] * k
    states = scan(decay[..., None], step[..., :, None] * v[..., None, :], -step, decay * k)
    return (states * q[..., :, None]).sum(-2), None


def plain_recurrence(
    hidden_states: torch.Tensor,
    recurrent_gate: torch.Tensor,
    reset: torch.Tensor,
    **options: Any,
) -> Any:
    """hidden_states [b, t, channel], each forgotten by its own gate."""
    states = scan(recurrent_gate * ~reset, hidden_states)
    return states, states[:, 0]


@dataclass(frozen=True)
class _Form:
    """A recurrence, and the argument names by which a function may turn out to be it."""

    function: Callable[..., Any]
    names: tuple[frozenset[str], ...]  # for each of its leading arguments, what it is called
    signs: dict[str, str]  # how trial inputs are to be drawn


def _names(*names: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(n.split("|")) for n in names)


_FORMS = (
    _Form(
        state_space_of_heads,
        _names("x|hidden_states", "dt", "A", "B", "C", "chunk_size"),
        {"A": "negative"},
    ),
    _Form(
        state_space_of_channels,
        _names("u|hidden_states", "delta|dt", "A", "B", "C", "D", "z", "delta_bias"),
        {"A": "negative"},
    ),
    _Form(
        delta_rule,
        _names("q|query", "k|key", "v|value", "g", "beta", "chunk_size"),
        {"g": "negative", "beta": "share"},
    ),
    _Form(
        plain_recurrence,
        _names("hidden_states", "recurrent_gate", "reset", "recurrent_states"),
        {"recurrent_gate": "share"},
    ),
)
_NO_STATE = frozenset(
    "initial_state initial_states recurrent_states cu_seqlens seq_idx seq_lens".split()
)


@dataclass
class Recurrences:
    """What was exchanged while a model was traced; to be proved afterwards."""

    calls: list[tuple[Callable[..., Any], _Form, dict[str, Any], dict[str, Any]]] = field(
        default_factory=list
    )

    def prove(self) -> None:
        """Run every exchanged function beside its recurrence, once for each way it was called.

        Raises:
            UnsupportedOp: they differ.
        """
        seen: set[str] = set()
        for original, form, arguments, outlines in self.calls:
            key = repr((id(original), outlines, sorted(arguments)))
            if key not in seen:
                seen.add(key)
                _compare(original, form, arguments, outlines)


def _compare(
    original: Callable[..., Any],
    form: _Form,
    arguments: dict[str, Any],
    outlines: dict[str, Any],
) -> None:
    generator = torch.Generator().manual_seed(0)
    trial = dict(arguments)
    for name, (shape, dtype) in outlines.items():
        trial[name] = _draw(form, name, shape, dtype, generator)
    try:
        with torch.no_grad():
            expected = original(**{k: _copied(v) for k, v in trial.items()})
            found = form.function(*_leading(form, trial), **_rest(form, trial))
    except Exception as error:
        raise _refusal(original, f"cannot be run: {' '.join(str(error).split())[:200]}") from error
    a = found[0] if isinstance(found, tuple) else found
    b = expected[0] if isinstance(expected, tuple) else expected
    if isinstance(found, tuple) != isinstance(expected, tuple) or a.shape != b.shape:
        raise _refusal(original, "gives something else than a recurrence")
    apart = float((a - b).abs().max() / b.abs().max().clamp(min=1e-6))
    if not apart <= TOLERANCE:
        raise _refusal(original, f"differs from its recurrence by {apart:.1e}")


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _refusal(original: Callable[..., Any], what: str) -> UnsupportedOp:
    code = inspect.unwrap(original).__code__
    name = getattr(original, "__name__", "a function")
    place = code.co_filename.rsplit("site-packages/", 1)[-1]
    return UnsupportedOp(
        f"a recurrence: {name} {what}",
        where=f"{place}:{code.co_firstlineno}: {name}",
        remedy="the graph has no operation for this; run the model with other software",
    )


def _draw(
    form: _Form, name: str, shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator
) -> torch.Tensor:
    if dtype == torch.bool:  # a reset at the first token
        value = torch.zeros(shape, dtype=torch.bool)
        value[:, 0] = True
        return value
    drawn = torch.randn(shape, generator=generator)
    sign = form.signs.get(_parameter(form, name))
    if sign == "negative":
        drawn = -drawn.abs()
    elif sign == "share":
        drawn = drawn.sigmoid()
    return drawn.to(dtype)


def _parameter(form: _Form, name: str) -> str:
    own = list(inspect.signature(form.function).parameters)
    for place, names in enumerate(form.names):
        if name in names and place < len(own):
            return own[place]
    return name


def _leading(form: _Form, arguments: dict[str, Any]) -> list[Any]:
    return [arguments[next(n for n in names if n in arguments)] for names in _tensors(form)]


def _tensors(form: _Form) -> list[frozenset[str]]:
    """The names of the arguments that the recurrence takes by place."""
    required = [
        p
        for p in inspect.signature(form.function).parameters.values()
        if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    return list(form.names[: len(required)])


def _rest(form: _Form, arguments: dict[str, Any]) -> dict[str, Any]:
    taken = {n for names in _tensors(form) for n in names}
    return {k: v for k, v in arguments.items() if k not in taken}


def _match(function: Any) -> _Form | None:
    if not inspect.isfunction(function):
        return None
    names = [n for n in inspect.signature(inspect.unwrap(function)).parameters if n != "self"]
    for form in _FORMS:
        if len(names) >= len(form.names) and all(
            n in allowed for n, allowed in zip(names, form.names, strict=False)
        ):
            return form
    return None


@contextmanager
def exchanged(model: torch.nn.Module) -> Iterator[Recurrences]:
    """While it lasts, what looks like a recurrence in the code of a model's modules is one."""
    made = Recurrences()
    changed: list[tuple[Any, str, Any]] = []
    modules = {type(m).__module__ for m in model.modules()}
    places: list[ModuleType | type] = [sys.modules[m] for m in modules if m in sys.modules]
    places += list({type(m) for m in model.modules()})
    try:
        for place in places:
            for name, function in list(vars(place).items()):
                if (form := _match(function)) is not None:
                    changed.append((place, name, function))
                    setattr(place, name, _exchange(made, form, function, isinstance(place, type)))
        yield made
    finally:
        for place, name, function in changed:
            setattr(place, name, function)


def _exchange(
    made: Recurrences, form: _Form, original: Callable[..., Any], is_method: bool
) -> Callable[..., Any]:
    signature = inspect.signature(inspect.unwrap(original))

    def recurrence(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        arguments: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = signature.parameters[name].kind
            arguments.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
        owner = arguments.pop("self", None) if is_method else None
        if any(arguments.get(n) is not None for n in _NO_STATE):
            return original(*args, **kwargs)
        called = original.__get__(owner) if is_method else original
        plain = {k: v for k, v in arguments.items() if not isinstance(v, torch.Tensor)}
        outlines = {
            k: (tuple(_trial_size(d) for d in v.shape), v.dtype)
            for k, v in arguments.items()
            if isinstance(v, torch.Tensor)
        }
        made.calls.append((called, form, plain, outlines))
        return form.function(*_leading(form, arguments), **_rest(form, arguments))

    return recurrence


def _trial_size(dim: Any) -> int:
    return dim if isinstance(dim, int) else TRIAL_TOKENS
