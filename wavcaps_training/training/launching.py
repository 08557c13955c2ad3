"""Several processes for one training, started by torchrun's elastic launcher.

https://docs.pytorch.org/docs/stable/elastic/run.html
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from wavcaps_training.executor.locks import LOCKS_VARIABLE, inherited_locks, lock_holder
from wavcaps_training.executor.step_process import command_line

# The launcher itself prints some twenty when it gives up.
LAST_LINES = 60
# Longer than the 30 s that the launcher gives its processes.
GRACE_S = 45.0


class LaunchError(RuntimeError):
    """The processes of a training did not come to their end."""


def launch(
    module: str,
    arguments: Sequence[str],
    processes: int,
    say: Callable[[str], object],
    restarts: int = 0,
    environment: Mapping[str, str] | None = None,
    locks: Sequence[int] = (),
) -> None:
    """Runs a module in several processes of this machine, until all of them are done.

    When one dies, all are started anew, as often as `restarts`; what they do must go on from what it has
    saved. They are stopped with this process, however it ends, and by SIGTERM to it. Until the last of them
    is gone, they hold the locks that this process has inherited, such as those of its devices.

    Args:
        module: what each runs, as `python -m` does; torchrun's variables tell it its rank.
        arguments: its arguments.
        processes: how many.
        say: told what they print, line by line; what it raises stops them.
        environment: what they see besides this process's environment.
        locks: file descriptors of other locks that they hold.

    Raises:
        LaunchError: they died too often; with the last lines that they printed.
    """
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = [f"--nproc-per-node={processes}", f"--max-restarts={restarts}", "-m", module, *arguments]
    last: deque[str] = deque(maxlen=LAST_LINES)
    with lock_holder([*inherited_locks(), *locks]) as holder:
        launcher = subprocess.Popen(
            command_line([*torchrun, *options]),
            env={
                **os.environ,
                "OMP_NUM_THREADS": threads(processes),
                # Else those that are started anew look in the store of those that died, and may find
                # addresses at which nobody answers any more.
                "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
                # Their numbers end here; what they stand for is in the holder.
                LOCKS_VARIABLE: "",
                **(environment or {}),
            },
            stdin=holder.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    with launcher:
        before = _passing_on(signal.SIGTERM, launcher)
        try:
            assert launcher.stdout is not None
            for line in launcher.stdout:
                last.append(line.rstrip())
                say(line.rstrip())
            launcher.wait()
        except BaseException:
            _end(launcher)
            raise
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)
    if launcher.returncode != 0:
        raise LaunchError(
            f"training on {processes} devices ended with exit code {launcher.returncode} after {restarts} "
            "restarts at most; the run's state is saved, and materializing it again goes on from there. The "
            "last that was printed:\n" + "\n".join(last)
        )


def threads(processes: int) -> str:
    """How many threads each process computes with, so that they share the machine's cores."""
    return os.environ.get("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // processes, 1)))


def _passing_on(number: signal.Signals, launcher: subprocess.Popen[str]) -> signal._HANDLER:
    """Has a signal passed on to the launcher; what handled it before, or None where this cannot be done."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(number, lambda *_: launcher.send_signal(number))


def _end(launcher: subprocess.Popen[str]) -> None:
    launcher.terminate()
    try:
        # What it still prints is read: it would wait for that.
        launcher.communicate(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        launcher.kill()
