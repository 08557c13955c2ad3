"""Locks of files (`flock`) that belong to processes, and how processes hand them on.

A lock goes when the last process that inherited it ends, however it ends: nothing is left to clean up.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

LOCKS_VARIABLE = "WAVCAPS_LOCKS"
"""Environment variable that tells a process which locks it has inherited: their file descriptors."""


def try_lock(path: Path, kind: int = fcntl.LOCK_EX) -> BinaryIO | None:
    """Locks a file, which is made if it is not there. Never waits: none if another has it.

    Raises:
        OSError: the file cannot be written, or not be locked.
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
    """A socket that holds locks as long as a process has it open, to be the standard input of processes.

    torchrun closes all that it was given before it starts its processes, but for standard input, output and
    error. So the locks are sent to this socket, and wait in it: they are had until it is closed everywhere.
    """
    outside, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with outside:
        socket.send_fds(outside, [b"locks"], list(descriptors))
    return inside
