"""Locks on files (`flock`) that belong to processes, and how processes pass them on.

The operating system releases a lock when the last process that inherited it ends: nothing is left to clean
up.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

LOCKS_VARIABLE = "WAVCAPS_LOCKS"
"""Environment variable with the file descriptors of the locks that a process has inherited."""


def try_lock(path: Path, kind: int = fcntl.LOCK_EX) -> BinaryIO | None:
    """Locks a file, and creates it if needed. Never waits: returns None if another process holds the lock.

    Raises:
        OSError: the file cannot be written or locked.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        file.close()
        raise
    return file


def inherited_locks(environment: Mapping[str, str] = os.environ) -> tuple[int, ...]:
    """The file descriptors of the locks that this process has inherited."""
    return tuple(int(number) for number in environment.get(LOCKS_VARIABLE, "").split(",") if number)


def lock_holder(descriptors: Sequence[int]) -> socket.socket:
    """A socket that holds locks while any process has it open. It becomes the standard input of processes.

    Before torchrun starts its processes, it closes all inherited files but standard input, output and error.
    So the locks are sent to this socket and stay in its buffer: they are held until it is closed everywhere.
    """
    outside, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with outside:
        socket.send_fds(outside, [b"locks"], list(descriptors))
    return inside
