"""How the clips of a source are captioned, unless a run says otherwise."""

from __future__ import annotations

from wavcaps_assets.captioning.settings import CAPTIONING_PRESETS, CaptioningSettings, Method
from wavcaps_assets.captioning.texts import AUDIOSET


def method_without_model(source: str) -> str:
    """The floor that models are compared with: what captions a source without one."""
    return (Method.TEMPLATE if source == AUDIOSET else Method.RULES).value


def choose_settings(
    source: str, embedded_model: bool, preset: str = "", method: str = ""
) -> CaptioningSettings:
    """The captioning settings of a source.

    Args:
        source: the source's name.
        embedded_model: whether the model is the demo's small one. It gets the preset `small`, and
            AudioSet's labelled events a template; any other model gets what the paper gave ChatGPT.
        preset: name of a preset; empty: as above.
        method: `model`, `template` or `rules`; empty: as above.

    Raises:
        ValueError: there is no such preset or method.
    """
    name = preset or ("small" if embedded_model else "paper")
    if name not in CAPTIONING_PRESETS:
        raise ValueError(f"no captioning preset {name!r}; there are {', '.join(CAPTIONING_PRESETS)}")
    by_template = embedded_model and source == AUDIOSET
    chosen = Method(method) if method else (Method.TEMPLATE if by_template else Method.MODEL)
    return CAPTIONING_PRESETS[name].model_copy(update={"method": chosen})
