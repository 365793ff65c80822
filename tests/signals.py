"""Signals for tests: when a process that has just begun can be sent one."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path


def hears(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, or has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return True
    caught = re.search(r"SigCgt:\s*(\w+)", status)
    return process.poll() is not None or bool(caught and int(caught[1], 16) >> (number - 1) & 1)
