"""The name of a device, as tables record it."""

from __future__ import annotations

import torch


def device_name(device: torch.device) -> str:
    """`cpu`, or `cuda` with the name of the GPU."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else "cpu"
