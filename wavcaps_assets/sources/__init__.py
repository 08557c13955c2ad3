"""The sources of clips. A new source is one file, and one line here."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module

from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.base import Source
from wavcaps_assets.sources.imported import imported_sets, imported_sources

# Modules of this package, in the order in which people see the sources. A module has the name of its source,
# and a function `configured(demo_url, state)`, which gives the source with its settings.
MODULES = (
    "freesound",
    "freesound_data_packs",
    "bbc_sound_effects",
    "soundbible",
    "audioset_sl",
    "local_folder",
)


def known_sources(settings: Settings) -> tuple[Source, ...]:
    """Every source that this project can crawl, each with its own settings from the environment.

    An imported source takes the place of the one of its name: no clip id can have two sources.

    Raises:
        ValidationError: a source's environment variable has a value that its field does not allow.
        DamagedImport: the list of imported sources cannot be read.
    """
    imported = {source.name: source for source in imported_sources(settings.demo_url, settings.state)}
    modules = {name: import_module(f"{__name__}.{name}") for name in MODULES}
    known = [
        imported.pop(name, None) or module.configured(settings.demo_url, settings.state)
        for name, module in modules.items()
    ]
    return (*known, *imported.values())


def source_names() -> tuple[str, ...]:
    """The names of all sources, those of imported sets too."""
    return tuple(dict.fromkeys((*MODULES, *imported_sets(Settings().state))))


def all_sources(settings: Settings) -> tuple[Source, ...]:
    """All sources that take part: those of `WAVCAPS_SOURCE_NAMES`, else those that need nothing more.

    Raises:
        ValidationError: a source's environment variable has a value that its field does not allow.
        ValueError: `WAVCAPS_SOURCE_NAMES` has a name that no source has.
    """
    known, names = known_sources(settings), settings.source_names
    try:
        require_sources(names)
    except ValueError as error:
        raise ValueError(f"WAVCAPS_SOURCE_NAMES: {error}") from error
    return tuple(
        source for source in known if (source.name in names if names else not source.needs(settings))
    )


def require_sources(names: Iterable[str]) -> None:
    """Checks the names of sources that a setting has.

    Raises:
        ValueError: there is no source of that name; says which name is nearest, and which there are.
    """
    unknown = [name for name in names if name not in MODULES]
    known = source_names() if unknown else MODULES
    for name in unknown:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"there is no source {name!r}: {meant}The sources are {', '.join(known)}")
