"""A handler that answers with what it was given and where it ran; `do` in the event makes it fail in one way."""

from __future__ import annotations

import os
import time
from typing import Any

invocations = 0


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    global invocations
    invocations += 1
    print("invocation", invocations)  # noqa: T201 - what a function prints is its log
    match event.get("do"):
        case "raise":
            raise ValueError("as asked")
        case "exit":
            os._exit(3)
        case "sleep":
            time.sleep(60)
    return {
        "event": event,
        "pid": os.getpid(),
        "invocations": invocations,
        "request_id": context.aws_request_id,
        "function_name": context.function_name,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "task_root": os.environ["LAMBDA_TASK_ROOT"],
        "home": os.environ.get("HOME"),
    }
