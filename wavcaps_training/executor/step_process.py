"""Runs a command that gets SIGTERM when the process that started it dies.

Otherwise a training step whose run was killed would keep its GPU for hours. This is a separate program
because in a process with threads, Python cannot safely run code between fork and exec.
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
    """Makes the system stop this process when its parent dies. On Linux only; elsewhere it does nothing."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    if os.getppid() != parent:
        sys.exit(f"process {parent}, which started this one, has ended")


def command_line(command: Sequence[str]) -> list[str]:
    """The command line of a child process that stops when this process dies."""
    return [sys.executable, "-I", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    stop_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
