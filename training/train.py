"""Trains the bundled model: `python -m training.train --run training/runs/main --hours 1.5`.

Asked to end (SIGTERM, Ctrl-C) it saves first. Started again with the same run folder it goes on
where it stopped, over the same data. The budget counts the hours spent training, of all starts
together. With `--from CHECKPOINT` a new run begins with that checkpoint's weights and tokenizer.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import time
from pathlib import Path
from types import FrameType

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from training import snapshot
from training.batches import Batch, batches
from training.model import Llama, Shape
from training.optimizer import Optimizers
from training.schedule import Schedule
from training.snapshot import Progress
from training.tokenizer import build_tokenizer

_CLIP_NORM = 1.0
_LOG_EVERY_S = 20.0
_LONGEST_STEP_S = 60.0
"""Whoever stops the process within a step does not spend its budget."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder for snapshots")
    parser.add_argument("--from", type=Path, dest="start", help="checkpoint a new run begins with")
    parser.add_argument("--peak", type=float, default=1.0, help="factor of all learning rates")
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--decay", type=float, default=0.3, help="share of the hours at the end")
    parser.add_argument("--hours", type=float, default=1.5, help="training time in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch-tokens", type=int, help="default 4096, on a GPU 65536")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--processes",
        type=int,
        help="that draw data beforehand; default 0, on a GPU all cores but two",
    )
    parser.add_argument("--save-every-s", type=float, default=180.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    on_gpu = arguments.device == "cuda"
    batch_tokens = arguments.batch_tokens or (65536 if on_gpu else 4096)
    processes = arguments.processes
    if processes is None:
        processes = max(1, (os.cpu_count() or 1) - 2) if on_gpu else 0
    train(
        arguments.run,
        arguments.start,
        Schedule(arguments.hours * 3600, arguments.decay, arguments.peak, arguments.warmup),
        Progress(arguments.seed, batch_tokens),
        arguments.device,
        processes,
        arguments.save_every_s,
        not arguments.eager,
    )


def train(
    run: Path,
    start: Path | None,
    schedule: Schedule,
    progress: Progress,
    device: str,
    processes: int,
    save_every_s: float,
    compiled: bool,
) -> None:
    """Steps until the budget is spent; `progress` is replaced by the snapshot's if there is one."""
    run.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(run, start, progress.seed)
    saved = snapshot.load(run, "cpu")
    if saved:
        progress = Progress(**saved["progress"]).with_batch_tokens(progress.batch_tokens)
    shape = Shape()
    stream = batches(
        tokenizer,
        progress.seed,
        progress.batch_tokens,
        shape.context_tokens,
        progress.position,
        processes,
    )
    torch.manual_seed(progress.seed)
    model = Llama(shape).to(device)
    if start:
        model.load_state_dict(load_file(start / "model.safetensors"))
    if compiled:
        for layer in model.model.layers:
            layer.compile(dynamic=True)
    optimizers = Optimizers(model)
    if saved:
        model.load_state_dict(saved["model"])
        optimizers.load_state_dict(saved["optimizers"])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{parameters:,} parameters, {device}, {progress}", flush=True)

    last_save = time.monotonic()
    log = _Log(schedule)
    stop = _StopRequest()
    while not (stop.asked or schedule.is_over(progress.spent_s)):
        began = time.monotonic()
        batch = next(stream)
        loss = _step(model, optimizers, batch, device, schedule, progress)
        progress.step += 1
        progress.pool, progress.pool_batches = batch.after.pool, batch.after.batches
        progress.tokens += batch.real_tokens
        progress.learned_tokens += int(batch.learned.sum())
        progress.spent_s += min(time.monotonic() - began, _LONGEST_STEP_S)
        log.add(progress, batch, loss)
        if time.monotonic() - last_save > save_every_s:
            snapshot.save(run, model, optimizers, progress)
            last_save = time.monotonic()
    snapshot.save(run, model, optimizers, progress)
    print(f"{'stopped' if stop.asked else 'done'}: {progress}", flush=True)


class _StopRequest:
    """Turns the signals to end into a question asked between two steps."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def _tokenizer(run: Path, start: Path | None, seed: int) -> Tokenizer:
    """The run's tokenizer, built on its first start or taken from the checkpoint begun with."""
    path = run / "tokenizer.json"
    if not path.exists() and start:
        shutil.copyfile(start / "tokenizer.json", path)
    elif not path.exists():
        build_tokenizer(seed).save(str(path))
    return Tokenizer.from_file(str(path))


def _step(
    model: Llama,
    optimizers: Optimizers,
    batch: Batch,
    device: str,
    schedule: Schedule,
    progress: Progress,
) -> float:
    tokens = torch.from_numpy(batch.tokens).to(device)
    learned = torch.from_numpy(batch.learned).to(device)
    with torch.autocast(device, torch.bfloat16, enabled=_has_fast_bfloat16(device)):
        loss = model.loss(tokens, learned)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
    optimizers.step(schedule.rate(progress.step, progress.spent_s))
    return loss.item()


def _has_fast_bfloat16(device: str) -> bool:
    """Without AVX-512 a processor is several times slower in bfloat16 than in float32."""
    return device != "cpu" or torch.backends.cpu.get_cpu_capability() == "AVX512"


class _Log:
    """A line of progress every some seconds: loss and speed since the last one."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.since = time.monotonic()
        self.losses: list[tuple[float, int]] = []
        self.tokens = 0

    def add(self, progress: Progress, batch: Batch, loss: float) -> None:
        self.losses.append((loss, int(batch.learned.sum())))
        self.tokens += batch.real_tokens
        seconds = time.monotonic() - self.since
        if seconds < _LOG_EVERY_S:
            return
        learned = sum(count for _, count in self.losses)
        mean = sum(loss * count for loss, count in self.losses) / max(1, learned)
        rate = self.schedule.rate(progress.step, progress.spent_s)
        left_min = (self.schedule.budget_s - progress.spent_s) / 60
        print(
            f"{time.strftime('%H:%M:%S')} step {progress.step} loss {mean:.4f} rate {rate:.3f}"
            f" {self.tokens / seconds:,.0f} tokens/s, {progress.tokens / 1e6:.2f}M tokens,"
            f" {left_min:.0f} min left",
            flush=True,
        )
        self.since, self.losses, self.tokens = time.monotonic(), [], 0


if __name__ == "__main__":
    main()
