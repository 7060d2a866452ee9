"""Writes a run's snapshot as a Llama checkpoint: `python -m training.export --run RUN --to DIR`.

The files are written aside, loaded with transformers, compared with the training model, and only
then renamed into place, so a reader never meets half a checkpoint.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from foreknown.evaluation.problems import Message
from training import snapshot
from training.chat_format import CHAT_TEMPLATE, END, END_OF_TEXT, START, prompt_text
from training.model import Llama, Shape

# float32 against float32 in another order of additions; logits are of the order of ten.
_TOLERANCE = 2e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    export(arguments.run, arguments.to)


def export(run: Path, to: Path) -> None:
    """Exports the run's last snapshot into `to`; other files there stay as they are."""
    state = snapshot.load(run, "cpu")
    if state is None:
        raise SystemExit(f"{run} holds no {snapshot.FILE}: start a run with training.train first")
    shape = Shape()
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in state["model"].items()}
    model = Llama(shape)
    model.load_state_dict(weights)
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=".export-") as folder:
        aside = Path(folder)
        _write_tokenizer(Tokenizer.from_file(str(run / "tokenizer.json")), shape, aside)
        _write_configs(shape, aside)
        save_file(
            {name: tensor.contiguous() for name, tensor in weights.items()},
            aside / "model.safetensors",
            metadata={"format": "pt"},
        )
        check(aside, model)
        for path in sorted(aside.iterdir()):
            path.chmod(0o644)
            shutil.move(path, to / path.name)
    print(f"exported after {state['progress']['tokens']:,} tokens to {to}")


def _write_tokenizer(tokenizer: Tokenizer, shape: Shape, to: Path) -> None:
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
        model_max_length=shape.context_tokens,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(to)


def _write_configs(shape: Shape, to: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(to)
    end, end_of_text = (tokenizer.convert_tokens_to_ids(token) for token in (END, END_OF_TEXT))
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        max_position_embeddings=shape.context_tokens,
        rms_norm_eps=shape.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        dtype="bfloat16",
    ).save_pretrained(to)
    GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=256,
        bos_token_id=None,
        eos_token_id=[end, end_of_text],
        pad_token_id=end_of_text,
    ).save_pretrained(to)


def check(checkpoint: Path, model: Llama) -> None:
    """Raises SystemExit unless transformers reads the checkpoint as the training model means it."""
    theirs = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    theirs.eval()  # type: ignore[no-untyped-call]
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    asked = (Message("user", "Tom has 12 apples. He buys 7 more. How many are there now?"),)
    messages = [{"role": message.role, "content": message.text} for message in asked]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    if text != prompt_text(asked):
        raise SystemExit(f"the chat template gives {text!r}, training used {prompt_text(asked)!r}")
    tokens = torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])
    with torch.no_grad():
        hidden, _ = model.hidden(tokens)
        apart = (model.logits(hidden) - theirs(tokens).logits).abs().max().item()
    if apart > _TOLERANCE:
        raise SystemExit(f"logits differ by {apart} from transformers': the layout is wrong")
    print(f"logits differ from transformers' by at most {apart:.1e}")


if __name__ == "__main__":
    main()
