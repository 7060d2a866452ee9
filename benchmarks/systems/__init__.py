"""The systems that are compared, each in a process and, where need be, an environment of its own.

    environment.py        where the peers are installed
    conversions.py        what each system needs of a checkpoint, made once
    gguf_file.py          checkpoint → GGUF → Q4_0, Q8_0
    worker.py             a system's process, seen from the benchmark
    serving.py            the same process, seen from inside

    case.py               what is timed
    stopwatch.py          seconds of a case's steps, the same for every system
    our_speed.py          workers that run them
    llama_speed.py
    openvino_speed.py
    lineup.py             which systems take part
    contest.py            round after round, in turn
    summary.py            rows, limits, ratios
    bars.py               the plot

    our_logits.py         logits of whole texts
    llama_logits.py

The peers' environment has no foreknown: only our_*.py import it.
"""
