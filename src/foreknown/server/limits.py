"""What one request may ask for, and how long a client may take: every input is bounded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on requests and clients; what fits the model is the engine's own to say.

    Attributes:
        body_bytes: of a request's body.
        head_bytes: of a request's address and headers.
        body_s: for a body to arrive whole.
        head_s: for a new connection to send its first request.
        idle_s: that a connection may wait for its next request.
        send_s: for a client to take what is sent to it; then it is cut off.
        samples: `n` and `best_of`.
        prompts: of one request to completions or embeddings.
        waiting: requests that may wait for their turn; beyond, they are refused with 429.
        shutdown_s: that running requests may take once the server is told to stop.
    """

    body_bytes: int = 4 << 20
    head_bytes: int = 64 << 10
    body_s: float = 30.0
    head_s: float = 15.0
    idle_s: float = 60.0
    send_s: float = 30.0
    samples: int = 32
    prompts: int = 256
    waiting: int = 1024
    shutdown_s: float = 30.0
