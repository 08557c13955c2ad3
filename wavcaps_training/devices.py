"""CUDA devices of this machine: which there are, and who has them.

A device is had by whoever holds the lock (`flock`) on its file. The lock belongs to processes, not
to bookkeeping: it goes when the last process that inherited it ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from urllib.parse import quote

DECLARED_DEVICES_VARIABLE = "WAVCAPS_CUDA_DEVICES"
"""Environment variable that declares the devices, as in `0,1`, instead of asking the driver."""

DEVICE_VARIABLE = "WAVCAPS_DEVICE"
"""Environment variable that tells a step where its models run: `cuda` or `cpu`."""

NVIDIA_SMI_TIMEOUT_S = 60

# A line of `nvidia-smi -L`; a GPU that is cut into MIG devices has them indented below itself:
# https://docs.nvidia.com/datacenter/tesla/mig-user-guide/
_GPU_LINE = re.compile(r"^GPU \d+:.*\(UUID: (GPU-[^)]+)\)", re.MULTILINE)
_MIG_LINE = re.compile(r"^\s+MIG .*\(UUID: (MIG-[^)]+)\)", re.MULTILINE)


class DeviceError(RuntimeError):
    """A step cannot have the devices that it asks for."""


@dataclass(frozen=True)
class Devices:
    """The devices that this machine offers.

    Attributes:
        names: what `CUDA_VISIBLE_DEVICES` takes: the driver's UUIDs, or what was declared.
        source: where that is known from, or why there are none.
    """

    names: tuple[str, ...]
    source: str


def find_devices(environment: Mapping[str, str] = os.environ) -> Devices:
    """Finds this machine's CUDA devices without importing torch.

    They are those that `WAVCAPS_CUDA_DEVICES` declares, if it is set; else those that `nvidia-smi -L`
    lists, as far as `CUDA_VISIBLE_DEVICES` lets this process see them.
    """
    declared = environment.get(DECLARED_DEVICES_VARIABLE)
    if declared is not None:
        names = tuple(dict.fromkeys(_split(declared)))
        return Devices(names, f"{DECLARED_DEVICES_VARIABLE} is {declared!r}")
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=NVIDIA_SMI_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        return Devices((), "nvidia-smi is not installed")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Devices((), f"nvidia-smi does not answer: {error}")
    if answer.returncode != 0:
        return Devices((), f"nvidia-smi failed: {(answer.stderr or answer.stdout).strip()}")
    listed = _listed_devices(answer.stdout)
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not listed:
        return Devices(tuple(listed), "nvidia-smi lists the machine's devices")
    return Devices(tuple(_visible(listed, visible)), f"CUDA_VISIBLE_DEVICES is {visible!r}")


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _listed_devices(listing: str) -> list[str]:
    """The UUIDs in a listing; of a GPU that is cut into MIG devices, those."""
    gpus = list(_GPU_LINE.finditer(listing))
    ends = [gpu.start() for gpu in gpus[1:]] + [len(listing)]
    devices: list[str] = []
    for gpu, end in zip(gpus, ends, strict=True):
        devices += _MIG_LINE.findall(listing, gpu.end(), end) or [gpu[1]]
    return devices


def _visible(listed: list[str], visible: str) -> list[str]:
    """Applies CUDA's rule: numbers or beginnings of UUIDs, up to the first that is no device.

    https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-environment-variables
    """
    devices: list[str] = []
    for name in _split(visible):
        if name.isdecimal():
            found = listed[int(name) : int(name) + 1]
        else:
            found = [device for device in listed if device.startswith(name)]
        if len(found) != 1:
            break
        devices += found
    return list(dict.fromkeys(devices))


@dataclass(frozen=True)
class Lease:
    """Devices that are had, until this is closed and every process that inherited it has ended."""

    devices: tuple[str, ...]
    files: tuple[BinaryIO, ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """File descriptors to hand to the process that is to have the devices."""
        return tuple(file.fileno() for file in self.files)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self.files:
            file.close()


class DeviceSlots:
    """Devices to be had by one process at a time, among all processes that use the same folder."""

    def __init__(self, folder: Path, devices: Sequence[str]) -> None:
        self._folder = folder
        self._devices = tuple(devices)

    def acquire(self, count: int) -> Lease | None:
        """Takes `count` free devices; none if fewer are free. Never waits.

        Raises:
            DeviceError: the lock files cannot be written.
        """
        held: dict[str, BinaryIO] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for device in self._devices:
                if len(held) == count:
                    break
                file = (self._folder / f"{quote(device, safe='')}.lock").open("ab")
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.close()
                else:
                    held[device] = file
        except OSError as error:
            raise DeviceError(
                f"cannot lock CUDA devices in {self._folder}: {error}; "
                "set `lock_dir` in the executor's config to a folder that can be written to"
            ) from error
        lease = Lease(tuple(held), tuple(held.values()))
        if len(held) == count:
            return lease
        with lease:
            return None
