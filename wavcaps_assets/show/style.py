"""The style that pages in a browser have in common; each adds its own rules after it."""

from __future__ import annotations

from importlib.resources import files


def base_style() -> str:
    """Colours, for light and dark, and how text, buttons and players look, as CSS."""
    return files("wavcaps_assets.show").joinpath("base.css").read_text(encoding="utf-8")
