"""Processes that tests start."""

from __future__ import annotations

import subprocess


def end(process: subprocess.Popen[bytes], patience_s: float = 30) -> None:
    """Ends a process: it is asked to, and killed if it is still there after a while."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
