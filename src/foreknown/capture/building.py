"""Builds a model from its configuration alone: real buffers, parameters that cost no memory.

Parameters are never initialised: a large `torch.empty` becomes an anonymous mapping that reserves
nothing, so a model of any size is built in seconds and only its buffers (rotary frequencies,
position slopes …) hold true values.
"""

from __future__ import annotations

import logging
import mmap
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.initialization import no_init_weights
from transformers.utils import logging as transformers_logging

from foreknown.capture.attention import IMPLEMENTATION
from foreknown.errors import CaptureError, CheckpointError

LARGE_ELEMENTS = 1 << 16


class _Unreserved(TorchFunctionMode):
    """Large uninitialised tensors take address space, not memory."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and not {"out", "names", "memory_format"} & set(kwargs):
            size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
            size = tuple(kwargs.get("size", size))
            device = torch.device(kwargs.get("device") or "cpu")
            if device.type == "cpu" and _count(size) >= LARGE_ELEMENTS:
                return _unreserved(size, kwargs.get("dtype") or torch.get_default_dtype())
        return func(*args, **kwargs)


def _count(size: tuple[int, ...]) -> int:
    count = 1
    for d in size:
        count *= int(d)
    return count


def _unreserved(size: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    memory = mmap.mmap(-1, _count(size) * dtype.itemsize, flags=flags)
    return torch.frombuffer(memory, dtype=dtype).view(size)


@contextmanager
def quiet() -> Iterator[None]:
    """transformers and torch say nothing while it lasts: what matters comes as an error."""
    level, disabled = transformers_logging.get_verbosity(), logging.root.manager.disable
    transformers_logging.set_verbosity(logging.ERROR)
    logging.disable(logging.CRITICAL)  # torch prints whole graphs beside the errors it raises
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        transformers_logging.set_verbosity(level)


def read_model_config(directory: Path, trust_code: bool) -> PreTrainedConfig:
    """The configuration as transformers' own class.

    Raises:
        CheckpointError: the file does not describe a model this transformers knows.
        CaptureError: the checkpoint brings its own code and that was not allowed.
    """
    with quiet():
        try:
            config = AutoConfig.from_pretrained(
                directory, trust_remote_code=trust_code, local_files_only=True
            )
        except Exception as error:
            text = " ".join(str(error).split())
            if "trust_remote_code" in text:
                raise _untrusted(directory) from error
            raise CheckpointError(
                f"config.json cannot be understood: {text[:300]}",
                where=str(directory / "config.json"),
                remedy=f"check it against transformers {transformers.__version__}",
            ) from error
    if not isinstance(config, PreTrainedConfig):
        raise CheckpointError("config.json is no model's configuration", where=str(directory))
    return config


def _untrusted(directory: Path) -> CaptureError:
    return CaptureError(
        "the checkpoint brings its own model code, which is not run unless you allow it",
        where=str(directory),
        remedy="read its .py files, then give --trust-checkpoint-code",
    )


def build_model(
    config: PreTrainedConfig,
    directory: Path | None = None,
    trust_code: bool = False,
    attention: str = IMPLEMENTATION,
    experts: str | None = IMPLEMENTATION,
) -> PreTrainedModel:
    """The model in f32 and evaluation mode, parameters without values.

    Args:
        attention: name of the attention function to use.
        experts: name of the experts function to use.

    Raises:
        CaptureError: no causal language model belongs to the configuration, or its code fails.
    """
    make = _constructor(config, directory, trust_code)
    options: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": attention}
    if experts is not None:
        options["experts_implementation"] = experts
    try:
        with quiet(), no_init_weights(), _Unreserved():
            model: PreTrainedModel = make(config, **options)
        model.tie_weights(recompute_mapping=False)
        _fill_buffers(model)
    except Exception as error:
        raise CaptureError(
            f"the model cannot be built from its configuration: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            where="the model's own code",
            remedy="check config.json",
        ) from error
    model.requires_grad_(False)
    model.train(False)
    return model


def _fill_buffers(module: torch.nn.Module, model: PreTrainedModel | None = None) -> None:
    """Values of buffers that no checkpoint stores, set as they are when one is loaded."""
    model = module if isinstance(module, PreTrainedModel) else model
    for child in module.children():
        _fill_buffers(child, model)
    if model is not None and module._non_persistent_buffers_set and not module._parameters:
        with quiet(), torch.no_grad():
            model._init_weights(module)  # type: ignore[no-untyped-call]


def _constructor(
    config: PreTrainedConfig, directory: Path | None, trust_code: bool
) -> Callable[..., Any]:
    """What makes a model of a configuration: transformers' class, or the checkpoint's own."""
    custom = (getattr(config, "auto_map", None) or {}).get("AutoModelForCausalLM")
    known = type(config) in AutoModelForCausalLM._model_mapping
    if custom and directory is not None and not trust_code and not known:
        raise _untrusted(directory)
    if custom and directory is not None and trust_code:
        with quiet():
            cls = get_class_from_dynamic_module(custom, directory, local_files_only=True)
        return cls._from_config  # type: ignore[attr-defined, no-any-return]
    if known:
        return AutoModelForCausalLM.from_config
    for name in config.architectures or ():
        found = getattr(transformers, name, None)
        if isinstance(found, type) and issubclass(found, PreTrainedModel):
            return found._from_config
    raise CaptureError(
        f"transformers {transformers.__version__} has no causal language model for a "
        f"configuration of type {config.model_type!r}",
        where="config.json",
        remedy="Foreknown compiles decoders that give logits of the next token",
    )
