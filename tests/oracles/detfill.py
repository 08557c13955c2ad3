"""The deterministic, bit-exact generator of the tensors and clips of every oracle here.

It uses only integer arithmetic, one IEEE square root and IEEE double multiplication and addition, so the
values are the same on every platform. It was written for these oracles, holds no code of the systems under
test, and may be used under the MIT licence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

_M = np.uint64(0xFFFFFFFF)


def fnv1a32(name: str) -> int:
    """The 32-bit FNV-1a hash of the UTF-8 bytes of a name."""
    h = 0x811C9DC5
    for b in name.encode("utf-8"):
        h = ((h ^ b) * 0x01000193) & 0xFFFFFFFF
    return h


def sym(name: str, n: int, offset: int = 0) -> np.ndarray:
    """n float64 values in [-1, 1): fmix32(fnv1a32(name) + i*0x9E3779B1) * 2**-31 - 1."""
    i = np.arange(offset, offset + n, dtype=np.uint64)
    x = (np.uint64(fnv1a32(name)) + i * np.uint64(0x9E3779B1)) & _M
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(0x85EBCA6B)) & _M
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(0xC2B2AE35)) & _M
    x ^= x >> np.uint64(16)
    return x.astype(np.float64) * 2.0**-31 - 1.0


KEEP = (
    "mel_trans.",
    "log_trans.",
    "spectrogram_extractor.",
    "logmel_extractor.",
    "relative_position_index",
    "attn_mask",
    "num_batches_tracked",
    "position_ids",
    "token_type_ids",
    "forward_basis",
    "inverse_basis",
    "mel_basis",
    "final_logits_bias",
)


def value(name: str, shape: Sequence[int]) -> np.ndarray | None:
    """The float64 array of the state-dict key `name`; None: the tensor keeps the value it was built with."""
    shape = tuple(shape)
    if any(k in name for k in KEEP) or len(shape) == 0:
        return None
    n = int(np.prod(shape))
    s = sym(name, n)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_mean":
        v = -30.0 + 10.0 * s if name.endswith("bn0.running_mean") else 0.1 * s
    elif leaf == "running_var":
        v = 300.0 + 100.0 * s if name.endswith("bn0.running_var") else 1.0 + 0.5 * s
    elif len(shape) == 1:
        v = 0.05 * s if leaf.endswith("bias") else 1.0 + 0.1 * s
    else:
        fan_in = n // shape[0]
        gain = 2.0 if len(shape) == 4 else 1.0
        v = np.sqrt(3.0 * gain / fan_in) * s
    return v.reshape(shape)


def fill_state_dict(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Fills the float tensors of a state dict in place; returns the keys of those it filled."""
    filled = []
    for name, tensor in state.items():
        if not torch.is_floating_point(tensor):
            continue
        values = value(name, tensor.shape)
        if values is None:
            continue
        tensor.copy_(torch.from_numpy(values).to(tensor.dtype))
        filled.append(name)
    return filled


def wave(clip: int, n: int, sr: int = 32000) -> np.ndarray:
    """A float32 test clip: a piecewise saw tooth (a new pitch every sr/4 samples) and noise, |x| <= 0.5.

    Phase step of segment j of clip c: P = 97 + (fnv1a32(f"pitch{c}_{j}") mod 4001)  (16-bit phase)
    Gain of segment j: 2**-(j mod 5)
    x[t] = 0.40 * gain * (((t*P) mod 65536) / 32768 - 1) + 0.05 * gain * sym(f"noise{c}", n)[t]
    """
    t = np.arange(n, dtype=np.int64)
    seg = t // (sr // 4)
    nseg = int(seg[-1]) + 1 if n else 0
    steps = np.array([97 + fnv1a32(f"pitch{clip}_{j}") % 4001 for j in range(nseg)], dtype=np.int64)
    g = np.array([2.0 ** -(j % 5) for j in range(nseg)])
    saw = ((t * steps[seg]) % 65536) / 32768.0 - 1.0
    return (g[seg] * (0.40 * saw + 0.05 * sym(f"noise{clip}", n))).astype(np.float32)


def embed(name: str, rows: int, dim: int, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """A matrix (rows, dim) of sym() values, not normalised."""
    return sym(name, rows * dim).reshape(rows, dim).astype(dtype)
