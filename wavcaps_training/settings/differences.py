"""Whether the settings of two models give the weights the same meaning."""

from __future__ import annotations

from collections.abc import Mapping

# Settings that may differ when a model is trained further: they do not change the meaning of any weight.
CHANGEABLE = frozenset(
    {
        "spec_augment",
        "drop_path",
        "dropout",
        "input_dropout",
        "frozen",
        "folder",
        "max_tokens",
        "label_smoothing",
        "generation",
    }
)


def differences(theirs: Mapping[str, object], ours: Mapping[str, object], prefix: str) -> list[str]:
    """The settings that differ between two models, except those that matter only while training."""
    found = []
    for name in sorted((theirs.keys() | ours.keys()) - CHANGEABLE):
        one, other = theirs.get(name), ours.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += differences(one, other, f"{prefix}.{name}")
        elif one != other:
            found.append(f"{prefix}.{name} is {one} in the checkpoint and {other} in the run")
    return found
