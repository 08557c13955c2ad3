"""Runs a command that is asked to stop (SIGTERM) when the process that started it dies.

A training step whose run was killed would otherwise keep its GPU for hours. A program of its own,
because Python calls nothing safely between fork and exec in a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

# From <linux/prctl.h>; the setting outlives exec: prctl(2).
PR_SET_PDEATHSIG = 1


def stop_with_parent(parent: int) -> None:
    """Has this process stopped when its parent dies. Only Linux can; elsewhere nothing happens."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    if os.getppid() != parent:
        sys.exit(f"process {parent}, which started this one, is gone")


def command_line(command: Sequence[str]) -> list[str]:
    """The command, as a child process of this one that stops with it."""
    return [sys.executable, "-I", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    stop_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
