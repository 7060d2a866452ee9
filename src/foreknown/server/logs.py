"""Logs on standard error: a JSON object or a line of text for each event.

No text of a request is logged unless asked for; then it is under "body".
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any, Literal

FIELDS = (
    "event", "request_id", "method", "path", "status", "ms", "key", "model", "strategy",
    "prompt_tokens", "cached_tokens", "completion_tokens", "finish_reason", "promise",
    "drift_ratio", "body",
)  # fmt: skip
"""What a record may carry beside its message, in the order they are written."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        entry |= {
            name: value
            for name in FIELDS
            if (value := getattr(record, name, None)) not in (None, "")
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        more = [
            f"{name}={value}"
            for name in FIELDS[5:]
            if (value := getattr(record, name, None)) not in (None, "")
        ]
        said = " ".join([record.getMessage(), *more])
        # Nobody who names a path writes lines of the log.
        line = f"{_time(record)} {_CONTROL.sub(lambda found: repr(found[0])[1:-1], said)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


def set_up_logs(form: Literal["json", "text"], *, quiet: bool = False) -> None:
    """Send this process's logs to standard error.

    Args:
        quiet: only what went wrong.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("foreknown").setLevel(logging.WARNING if quiet else logging.INFO)
