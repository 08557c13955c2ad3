"""The sources of clips. A new source is one file, and one line here."""

from __future__ import annotations

from importlib import import_module

from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.base import Source

# Modules of this package, in the order in which people see the sources. Each has a function
# `configured(demo_url, state)`, which gives the source, or None where nobody configured it.
MODULES = (
    "freesound",
    "bbc_sound_effects",
    "soundbible",
    "audioset_sl",
    "local_folder",
)


def all_sources(settings: Settings) -> tuple[Source, ...]:
    """The configured sources, each with its own settings from the environment.

    Raises:
        ValidationError: a source's environment variable has a value that its field does not allow.
    """
    modules = [import_module(f"{__name__}.{name}") for name in MODULES]
    sources = [module.configured(settings.demo_url, settings.state) for module in modules]
    return tuple(source for source in sources if source is not None)
