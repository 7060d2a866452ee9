"""Reads what users have: a checkpoint's configuration, weights, tokenizer, template and defaults.

Nothing here imports a training stack, runs a checkpoint's code, or opens a pickle. Weights are
mapped and not read; the tokenizer and the template are loaded when first asked for.
"""

from foreknown.checkpoint.checkpoint import Checkpoint, open_checkpoint
from foreknown.checkpoint.config import CheckpointConfig
from foreknown.checkpoint.generation import GenerationDefaults
from foreknown.checkpoint.header import TensorEntry
from foreknown.checkpoint.incremental import Detokenizer
from foreknown.checkpoint.pooling import Pooling
from foreknown.checkpoint.template import ChatTemplate
from foreknown.checkpoint.tensors import StoredTensor, TensorStore
from foreknown.checkpoint.tokenizer import Tokenizer

__all__ = [
    "ChatTemplate",
    "Checkpoint",
    "CheckpointConfig",
    "Detokenizer",
    "GenerationDefaults",
    "Pooling",
    "StoredTensor",
    "TensorEntry",
    "TensorStore",
    "Tokenizer",
    "open_checkpoint",
]
