"""A checkpoint's own generation defaults, with what the caller gives on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foreknown.engine.sampling import SamplingParams

if TYPE_CHECKING:
    from foreknown.checkpoint.generation import GenerationDefaults

_SAME_NAME = (
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)


def with_defaults(defaults: GenerationDefaults, **given: Any) -> SamplingParams:
    """Parameters of `SamplingParams`: as given, else as the checkpoint says, else its own.

    A checkpoint that does not ask for sampling is greedy unless a temperature is given. Its
    bounds on length are not taken over: most files state the library's, not the model's.

    Args:
        given: fields of SamplingParams; None is as good as absent.

    Raises:
        RequestError: a value outside its range.
    """
    params: dict[str, Any] = {"temperature": 0.0}
    if defaults.do_sample:
        params["temperature"] = 1.0 if defaults.temperature is None else defaults.temperature
    for name in _SAME_NAME:
        value = getattr(defaults, name)
        if value is not None:
            params[name] = value
    if defaults.stop_strings:
        params["stop"] = defaults.stop_strings
    params.update((name, value) for name, value in given.items() if value is not None)
    return SamplingParams(**params)
