"""Stage 1: what is too short or says nothing of its sound (section III.B, Pre-Filtering)."""

from wavcaps_assets.filtering.settings import DescriptionForm, FilterSettings
from wavcaps_assets.filtering.stage1 import filter_clips

__all__ = ["DescriptionForm", "FilterSettings", "filter_clips"]
