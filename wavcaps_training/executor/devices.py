"""CUDA devices of this machine, and which process uses them.

A process uses a device while it holds the lock (`flock`) on the device's file. The operating system releases
the lock when the last process that inherited it ends, for whatever reason.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from urllib.parse import quote

from wavcaps_training.executor.locks import try_lock

DECLARED_DEVICES_VARIABLE = "WAVCAPS_CUDA_DEVICES"
"""Environment variable that declares the devices, as in `0,1`, instead of asking the driver."""

DEVICE_VARIABLE = "WAVCAPS_DEVICE"
"""Environment variable that a step reads: its models run on `cuda` or `cpu`."""

SLOTS_PER_DEVICE = 20
"""The number of slots of a device, for steps that need a share of it. The same for all runs."""

NVIDIA_SMI_TIMEOUT_S = 60

# A line of `nvidia-smi -L`; the MIG devices of a GPU are indented below it:
# https://docs.nvidia.com/datacenter/tesla/mig-user-guide/
_GPU_LINE = re.compile(r"^GPU \d+:.*\(UUID: (GPU-[^)]+)\)", re.MULTILINE)
_MIG_LINE = re.compile(r"^\s+MIG .*\(UUID: (MIG-[^)]+)\)", re.MULTILINE)


class DeviceError(RuntimeError):
    """A step cannot get the devices that it needs."""


@dataclass(frozen=True)
class Devices:
    """The devices of this machine.

    Attributes:
        names: as in `CUDA_VISIBLE_DEVICES`: the driver's UUIDs, or the declared names.
        source: how they were found, or why there are none.
    """

    names: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Capacity:
    """The devices that steps could get if nothing else were running.

    Attributes:
        total: number of devices.
        largest: the most that one step can get, which is the number of one machine.
        where: for errors, such as "this machine has 2".
        source: how they were found, or why there are none.
    """

    total: int
    largest: int
    where: str
    source: str


def find_devices(environment: Mapping[str, str] = os.environ) -> Devices:
    """Finds this machine's CUDA devices without importing torch.

    If `WAVCAPS_CUDA_DEVICES` is set, it declares them. Otherwise they are those of `nvidia-smi -L`,
    restricted by this process's `CUDA_VISIBLE_DEVICES`.
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
    """The UUIDs in a listing; for a GPU with MIG devices, the UUIDs of those."""
    gpus = list(_GPU_LINE.finditer(listing))
    ends = [gpu.start() for gpu in gpus[1:]] + [len(listing)]
    devices: list[str] = []
    for gpu, end in zip(gpus, ends, strict=True):
        devices += _MIG_LINE.findall(listing, gpu.end(), end) or [gpu[1]]
    return devices


def _visible(listed: list[str], visible: str) -> list[str]:
    """Applies CUDA's rule: numbers or beginnings of UUIDs, up to the first that is not a device.

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
    """Devices that are in use until this is closed and every process that inherited it has ended."""

    devices: tuple[str, ...]
    files: tuple[BinaryIO, ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """File descriptors for the process that uses the devices."""
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
    """Devices and shares of devices, for all processes that use the same folder of lock files.

    A process with a whole device holds an exclusive lock on the device's file. A process with a share holds a
    shared lock on it, and locks on some of the device's slots, which are one file each. So the shares of a
    device never add up to more than one, and a whole device is never shared.

    A waiting process keeps the turn: until it has its devices, no other process gets any. Otherwise a step
    that needs two devices could wait without end behind steps that need one.
    """

    def __init__(self, folder: Path, devices: Sequence[str]) -> None:
        self._folder = folder
        self._devices = tuple(devices)
        self._turn: BinaryIO | None = None
        # Steps that choose among other devices have another turn.
        names = "\n".join(sorted(self._devices))
        self._turn_name = f"turn-{hashlib.sha256(names.encode()).hexdigest()[:16]}"

    def acquire(self, wanted: Fraction) -> Lease | None:
        """Takes free devices, or a share of one. Never waits.

        If there are too few, it returns None and keeps the turn.

        Args:
            wanted: number of devices, or less than 1, in twentieths.

        Raises:
            DeviceError: the lock files cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._turn = self._turn or self._lock(self._turn_name)
            if self._turn is None:
                return None
            lease = self._whole(int(wanted)) if wanted >= 1 else self._share(wanted)
        except OSError as error:
            raise DeviceError(
                f"cannot lock CUDA devices in {self._folder}: {error}; "
                "set `lock_dir` in the executor's config to a folder that can be written to"
            ) from error
        if lease is not None:
            self.leave()
        return lease

    def leave(self) -> None:
        """Gives up the turn."""
        if self._turn is not None:
            self._turn.close()
            self._turn = None

    def _whole(self, count: int) -> Lease | None:
        held: dict[str, BinaryIO] = {}
        for device in self._devices:
            if len(held) < count and (file := self._lock(quote(device, safe=""))) is not None:
                held[device] = file
        lease = Lease(tuple(held), tuple(held.values()))
        if len(held) == count:
            return lease
        with lease:
            return None

    def _share(self, wanted: Fraction) -> Lease | None:
        count = int(wanted * SLOTS_PER_DEVICE)
        for device in self._devices:
            name = quote(device, safe="")
            shared = self._lock(name, fcntl.LOCK_SH)
            if shared is None:
                continue
            files = [shared]
            for slot in range(SLOTS_PER_DEVICE):
                if len(files) <= count and (file := self._lock(f"{name}.slot{slot}")) is not None:
                    files.append(file)
            lease = Lease((device,), tuple(files))
            if len(files) == count + 1:
                return lease
            with lease:
                continue
        return None

    def _lock(self, name: str, kind: int = fcntl.LOCK_EX) -> BinaryIO | None:
        return try_lock(self._folder / f"{name}.lock", kind)
