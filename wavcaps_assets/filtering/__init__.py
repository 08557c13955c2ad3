"""Stage 1: drops clips that are too short or not described (section III.B, Pre-Filtering)."""

from wavcaps_assets.filtering.settings import DescriptionForm, FilterSettings
from wavcaps_assets.filtering.stage1 import filter_clips

__all__ = ["DescriptionForm", "FilterSettings", "filter_clips"]
