"""Several processes that train one model together, as torchrun starts them (DistributedDataParallel)."""

from __future__ import annotations

import os
from typing import Any


def world_size() -> int:
    """How many processes train together, from torchrun's environment variable."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes files and reports."""
    return int(os.environ.get("RANK", "0")) == 0


def process_arguments(accelerator: str, devices: list[int] | int) -> dict[str, Any]:
    """Lightning's arguments for training in this process alone, or in those that torchrun started.

    Args:
        accelerator: `cpu` or `cuda`.
        devices: those of this process, if it is alone.
    """
    if world_size() == 1:
        return {"accelerator": accelerator, "devices": devices}
    from lightning.pytorch.strategies import DDPStrategy

    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world_size())))
    return {
        "accelerator": accelerator,
        "devices": local,
        "num_nodes": world_size() // local,
        "strategy": DDPStrategy(
            process_group_backend="nccl" if accelerator == "cuda" else "gloo",
            # HTSAT's tagging head is not used in retrieval.
            find_unused_parameters=True,
        ),
    }


def local_rank() -> int:
    """The number of this process among those of this machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))
