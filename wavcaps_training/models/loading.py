"""What released checkpoints contain in addition to weights."""

from __future__ import annotations

from typing import Any

from torch import nn


def ignore_on_load(module: nn.Module, *names: str) -> None:
    """Lets `module` load state dicts that also contain `names`, constants that it computes itself.

    Only these names are accepted; any other unknown key still fails a strict load.
    """

    def drop(_module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        for name in names:
            state_dict.pop(prefix + name, None)

    module.register_load_state_dict_pre_hook(drop)
