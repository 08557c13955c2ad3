"""Whether two models' settings give weights the same meaning."""

from __future__ import annotations

from collections.abc import Mapping

# What a model may be trained on with otherwise than before: these change no weight's place or meaning.
CHANGEABLE = frozenset(
    {
        "spec_augment",
        "drop_path",
        "dropout",
        "frozen",
        "folder",
        "max_tokens",
        "label_smoothing",
        "generation",
    }
)


def differences(theirs: Mapping[str, object], ours: Mapping[str, object], prefix: str) -> list[str]:
    """Each setting that two models do not share, but for those that matter only while training."""
    found = []
    for name in sorted((theirs.keys() | ours.keys()) - CHANGEABLE):
        one, other = theirs.get(name), ours.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += differences(one, other, f"{prefix}.{name}")
        elif one != other:
            found.append(f"{prefix}.{name} is {one} in the checkpoint and {other} in the run")
    return found
