"""Measures the host for forecasts: its bounds, its kernels by probes, the engine around them."""

from __future__ import annotations

import mmap
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from foreknown.machine import KernelCosts
from foreknown.machine.fit import fit_attention, fit_products, fit_rows, fit_shares
from foreknown.machine.kernel_costs import STEPS
from foreknown.machine.kernels import Attention, Product
from foreknown.report.engine_probe import engine_costs
from foreknown.report.probing import Rounds, build, load

MEASURE_SECONDS = 19.0
"""Of building the probes and of their rounds, about: a dozen, so that all of calibration is done in
half a minute where nothing is built yet."""
FEWEST_ROUNDS = 4
MOST_TAKEN = 0.04
"""Share of the processors' time that others may have had; more, and the machine was not quiet."""
STREAMED_BYTES = 256 << 20
"""A working set of which no last cache holds anything that is found again."""
TOUCHED_BYTES = 64 << 20


def measure_kernels(
    threads: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    minutes: int = 0,
) -> tuple[KernelCosts, float, bool]:
    """What kernels take, how far repeats are apart, and whether nothing else ran.

    Args:
        minutes: of rounds; 0: a third of one.

    Raises:
        ToolchainError: the probes are not built yet and there is no compiler.
    """
    total_s = 60.0 * minutes if minutes else MEASURE_SECONDS
    until = time.perf_counter() + total_s
    rounds = Rounds(load(build(), threads))
    others, start, number, each = seconds_of_others(), time.perf_counter(), 0, 0.0
    while number < FEWEST_ROUNDS or time.perf_counter() + each < until:
        rounds.run()
        number += 1
        each = (time.perf_counter() - start) / number
        left = max(until - time.perf_counter(), 0.0)
        progress(round(total_s - left), round(total_s))
    elapsed = time.perf_counter() - start
    quiet = seconds_of_others() - others <= MOST_TAKEN * elapsed * threads
    noise = rounds.noise()
    costs = fitted_costs(rounds)
    rounds.close()
    return costs, noise, quiet


def fitted_costs(rounds: Rounds) -> KernelCosts:
    """Kernels' costs from what phases took, and the engine's beside a probe's program, which is
    measured now."""
    seen, program = list(rounds.seen()), rounds.probes[-1].program
    threads = program.n_threads
    kernels = [kernel for one in seen for kernel in one.kernels]
    weights = dict.fromkeys(k.weights for k in kernels if isinstance(k, Product))
    kept = dict.fromkeys(k.kept for k in kernels if isinstance(k, Attention))
    steps = [kind for kind in STEPS if kind != "alone" or any(one.alone for one in seen)]
    attention = [fit_attention(seen, one, threads) for one in kept]
    cached_bytes = statistics.median(probe.plan.weights_bytes for probe in rounds.probes)
    sets = list(rounds.seen_sets())
    own = next(costs for costs in attention if costs.kept == sets[0].kernels[0].kept)
    return KernelCosts(
        ((int(cached_bytes), 0.0), *fit_shares(sets, own, threads), (STREAMED_BYTES, 1.0)),
        tuple(fit_products(seen, one, threads) for one in weights),
        tuple(attention),
        tuple(fit_rows(seen, one, threads) for one in steps),
        engine_costs(program),
    )


def first_touch_gb_s(rounds: int = 3) -> float:
    """1e9 bytes a second of memory that is written for the first time."""
    found = []
    for _ in range(rounds):
        memory = mmap.mmap(-1, TOUCHED_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        pages = np.frombuffer(memory, np.uint8)
        start = time.perf_counter()
        pages[::4096] = 1
        found.append(TOUCHED_BYTES / (time.perf_counter() - start) / 1e9)
        del pages
        memory.close()
    return statistics.median(found)


def seconds_of_others() -> float:
    """Processor time so far of everybody else, the hypervisor's other machines included; less
    this process's own, so only differences mean anything. 0 if the system does not say."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, soft, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return 0.0
    ticks = user + nice + system + irq + soft + steal
    return ticks / os.sysconf("SC_CLK_TCK") - time.process_time()
