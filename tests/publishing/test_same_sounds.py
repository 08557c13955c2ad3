"""A sound of two sources is published once."""

from __future__ import annotations

from tests.support.rows import manifest_row
from wavcaps_assets.publishing.same_sounds import publish_each_sound_once
from wavcaps_assets.tables import MANIFEST

IDS_OF = {"freesound_data_packs": "freesound"}


def row(source: str, number: str) -> dict[str, object]:
    return manifest_row(f"{source}-{number}", source=source, source_id=number)


MANIFESTS = MANIFEST.from_rows(
    [
        row("freesound", "2"),
        row("freesound", "1"),
        row("freesound_data_packs", "3"),
        row("freesound_data_packs", "1"),
        row("soundbible", "1"),
    ]
)


def test_the_clip_of_the_source_whose_ids_these_are_is_kept() -> None:
    stage = publish_each_sound_once(MANIFESTS, IDS_OF)
    assert stage.kept.column("clip_id").to_pylist() == [
        "freesound-2",
        "freesound-1",
        "freesound_data_packs-3",
        "soundbible-1",
    ]
    assert stage.kept.schema == MANIFESTS.schema
    assert stage.dropped.to_pylist() == [
        {
            "clip_id": "freesound_data_packs-1",
            "source": "freesound_data_packs",
            "stage": "wavcaps",
            "reason": "same_sound",
            "detail": "the same sound as freesound-1, which is published",
        }
    ]


def test_a_sound_that_the_other_source_does_not_publish_is_kept() -> None:
    only = MANIFESTS.filter([False, False, True, True, True])
    for manifest in (only, MANIFEST.empty()):
        stage = publish_each_sound_once(manifest, IDS_OF)
        assert (stage.kept, stage.dropped.num_rows) == (manifest, 0)


def test_sources_with_ids_of_their_own_are_left_as_they_are() -> None:
    assert publish_each_sound_once(MANIFESTS, {}).kept is MANIFESTS
