"""The sources that clips are crawled from. A new source is one file and one line here."""

from __future__ import annotations

from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.audioset_sl import AudiosetStrongLabels
from wavcaps_assets.sources.base import Source
from wavcaps_assets.sources.bbc_sound_effects import BbcSoundEffects
from wavcaps_assets.sources.freesound import Freesound
from wavcaps_assets.sources.local_folder import LocalFolder
from wavcaps_assets.sources.soundbible import Soundbible


def all_sources(settings: Settings) -> tuple[Source, ...]:
    return (
        Freesound(settings.freesound, settings.state),
        BbcSoundEffects(settings.bbc),
        Soundbible(settings.soundbible),
        AudiosetStrongLabels(settings.audioset),
        *LocalFolder.configured(),
    )
