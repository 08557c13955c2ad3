"""Training speed, compared with a device's peak performance."""

from __future__ import annotations

from torch.utils.flop_counter import FlopCounterMode

from wavcaps_training.settings.training import Precision

# Peak performance in TFLOP/s without sparsity, by the driver's name of the device: of 16-bit tensor cores,
# of 32-bit numbers, and of TF32, which the last two devices do not have. From NVIDIA's data sheets.
PEAKS = {
    "H200": (989.0, 67.0, 494.5),
    "H100": (989.0, 67.0, 494.5),
    "A100": (312.0, 19.5, 156.0),
    "L40S": (362.0, 91.6, 183.0),
    "A10": (125.0, 31.2, 62.5),
    "V100": (125.0, 15.7, 15.7),
    "T4": (65.0, 8.1, 8.1),
}


def peak_flops(device: str, precision: Precision, tf32: bool = False) -> float | None:
    """A device's peak performance (FLOP/s); None: not known, as for a CPU.

    Args:
        device: the driver's name of it.
        precision: the number format of the computation.
        tf32: whether 32-bit matrices are multiplied as TF32.
    """
    for name, (sixteen, thirty_two, with_tf32) in PEAKS.items():
        if name in device:
            full = with_tf32 if tf32 else thirty_two
            return (full if precision is Precision.FULL else sixteen) * 1e12
    return None


class Flops:
    """Counts the floating-point operations of matrix products, convolutions and attention."""

    def __init__(self) -> None:
        self._counter = FlopCounterMode(display=False)

    def __enter__(self) -> Flops:
        self._counter.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._counter.__exit__(*error)

    @property
    def total(self) -> int:
        return int(self._counter.get_total_flops())


def model_flops_utilisation(
    flops_per_clip: float, clips_per_second: float, peak: float | None, devices: int
) -> float | None:
    """The share of the devices' peak performance that training reaches (MFU); None: not known.

    Args:
        peak: of one device (FLOP/s), of `peak_flops`.
    """
    return None if peak is None else flops_per_clip * clips_per_second / (peak * devices)
