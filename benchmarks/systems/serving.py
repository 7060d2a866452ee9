"""A worker's own side: answers questions that come as lines of JSON, and blocks in between."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any


def serve(answers: Mapping[str, Callable[..., Any]]) -> None:
    """Answer until the questions end.

    A question is {"ask": name, **fields}; its answer {"answer": ..., "idle_s": ...}, or {"error":
    ...}. `idle_s` is processor time that this process used up while it should have slept.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print shall not print into the replies
    left = time.process_time()
    for line in sys.stdin:
        idle_s = time.process_time() - left
        question = json.loads(line)
        try:
            reply = {"answer": answers[question.pop("ask")](**question), "idle_s": idle_s}
        except Exception:
            reply = {"error": traceback.format_exc(), "idle_s": idle_s}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        left = time.process_time()
