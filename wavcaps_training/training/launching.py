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

# The launcher prints about twenty lines of its own when it gives up.
LAST_LINES = 60
# Longer than the 30 s that the launcher gives its processes.
GRACE_S = 45.0


class LaunchError(RuntimeError):
    """The processes of a training failed."""


def launch(
    command: Sequence[str],
    processes: int,
    on_line: Callable[[str], object],
    restarts: int = 0,
    environment: Mapping[str, str] | None = None,
    locks: Sequence[int] = (),
) -> None:
    """Runs a module in several processes of this machine, until all of them have ended.

    When one process dies, all are restarted, `restarts` times at most; so they must resume from what they
    have saved. They are stopped by SIGTERM to this process, and when this process ends, for whatever reason.
    Until the last of them has ended, they hold the locks that this process has inherited, such as those of
    its devices.

    Args:
        command: a module, which each process runs as `python -m` does, and its arguments. torchrun's
            variables give a process its rank.
        processes: how many.
        on_line: called with each line that they print; an exception that it raises stops them.
        restarts: how often all of them are restarted at most.
        environment: variables that they get in addition to this process's environment.
        locks: file descriptors of other locks that they hold.

    Raises:
        LaunchError: they died too often; with the last lines that they printed.
    """
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = [f"--nproc-per-node={processes}", f"--max-restarts={restarts}", "-m", *command]
    last: deque[str] = deque(maxlen=LAST_LINES)
    with lock_holder([*inherited_locks(), *locks]) as holder:
        launcher = subprocess.Popen(
            command_line([*torchrun, *options]),
            env={
                **os.environ,
                "OMP_NUM_THREADS": threads(processes),
                # Otherwise restarted processes look in the store of those that died, and may find addresses
                # at which nothing answers any more.
                "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
                # The descriptors are not passed on by number; the holder has the locks.
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
                on_line(line.rstrip())
            launcher.wait()
        except BaseException:
            _end(launcher)
            raise
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)
    if launcher.returncode != 0:
        raise LaunchError(
            f"training on {processes} devices ended with exit code {launcher.returncode} after at most "
            f"{restarts} restarts; the run's state is saved, so materialize it again to resume from there. "
            "The last lines that were printed:\n" + "\n".join(last)
        )


def threads(processes: int) -> str:
    """How many threads each process uses, so that the processes share the machine's cores."""
    return os.environ.get("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // processes, 1)))


def _passing_on(number: signal.Signals, launcher: subprocess.Popen[str]) -> signal._HANDLER:
    """Passes a signal on to the launcher. Returns the previous handler, or None outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(number, lambda *_: launcher.send_signal(number))


def _end(launcher: subprocess.Popen[str]) -> None:
    launcher.terminate()
    try:
        # Its output is read to the end, because it would block otherwise.
        launcher.communicate(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        launcher.kill()
