"""Attention within windows on a CPU: the fused kernel forwards, and backwards no more kept than it needs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class FusedAttention(torch.autograd.Function):
    """softmax(q k^T / sqrt(width) + bias) v, whose bias has a gradient.

    On a CPU, torch's fused kernel gives no gradient of the bias; where one is asked for, torch falls back
    to an attention in parts that keeps three matrices of all pairs. Here the fused kernel runs forwards, and
    the gradients come from the probabilities computed anew.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor) -> Tensor:
        """Attends.

        Args:
            ctx: what the gradients need.
            qkv: (clips, windows, tokens, 3, heads, width), queries, keys and values.
            bias: (1 or windows, heads, tokens, tokens).

        Returns:
            (clips, windows, tokens, heads * width).
        """
        ctx.save_for_backward(qkv, bias)
        return attend(qkv, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        qkv, bias = ctx.saved_tensors
        clips, windows, tokens, _, heads, width = qkv.shape
        scale = width**-0.5
        qkv_gradient, bias_gradient = torch.empty_like(qkv), torch.zeros_like(bias)
        shape = (windows * heads, tokens, width)
        for clip in range(clips):
            query, key, value = qkv[clip].permute(2, 0, 3, 1, 4).reshape(3, *shape)
            above = gradients[0][clip].view(windows, tokens, heads, width).transpose(1, 2).reshape(shape)
            pairs = (query.mul(scale) @ key.transpose(1, 2)).view(windows, heads, tokens, tokens).add_(bias)
            found = pairs.softmax(dim=-1).view(-1, tokens, tokens)
            inner = torch._softmax_backward_data(above @ value.transpose(1, 2), found, -1, found.dtype)
            by_window = inner.view(windows, heads, tokens, tokens)
            bias_gradient += by_window if len(bias) > 1 else by_window.sum(dim=0, keepdim=True)
            parts = (
                inner @ key * scale,
                inner.transpose(1, 2) @ query * scale,
                found.transpose(1, 2) @ above,
            )
            for number, part in enumerate(parts):
                qkv_gradient[clip, :, :, number] = part.view(windows, heads, tokens, width).transpose(1, 2)
        return qkv_gradient, bias_gradient


def attend(qkv: Tensor, bias: Tensor) -> Tensor:
    """As `FusedAttention.forward`, clip by clip: the fused kernel takes one axis before the heads."""
    clips, windows, tokens, _, heads, width = qkv.shape
    attended = qkv.new_empty(clips, windows, tokens, heads * width)
    for clip in range(clips):
        query, key, value = qkv[clip].permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        attended[clip] = found.transpose(1, 2).reshape(windows, tokens, heads * width)
    return attended
