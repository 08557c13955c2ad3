"""The reason codes of clips without audio."""

from __future__ import annotations

from wavcaps_assets.audio.generated import GeneratedSound
from wavcaps_assets.audio.limits import EmptyAudio, TooLong, UnreadableAudio
from wavcaps_assets.audio.originals import NotAudio, OutsideFolder, UnreadableFile, WrongChecksum
from wavcaps_assets.network.errors import AddressNotAllowed, NetworkError, NotThere, Refused, TooLarge
from wavcaps_assets.sources.packed_audio import PackedAudioError

WRONG_CHECKSUM = "wrong_checksum"
# The most specific class first: the first that matches gives the reason.
REASONS: dict[type[Exception], str] = {
    NotThere: "audio_gone",
    TooLarge: "audio_too_large",
    Refused: "audio_refused",
    AddressNotAllowed: "bad_address",
    NetworkError: "download_failed",
    NotAudio: "not_audio",
    OutsideFolder: "outside_folder",
    UnreadableFile: "unreadable_file",
    WrongChecksum: WRONG_CHECKSUM,
    PackedAudioError: "damaged_archive",
    EmptyAudio: "empty_audio",
    GeneratedSound: "generated_sound",
    TooLong: "too_long",
    UnreadableAudio: "unreadable_audio",
}
# Failures that the same file would have again. A file from the network may be another one the next time.
LASTING = frozenset(
    {
        *("unreadable_audio", "generated_sound", "empty_audio", "too_long", "audio_too_large"),
        *("outside_folder", "damaged_archive", WRONG_CHECKSUM),
    }
)


def reason_of(error: Exception) -> str:
    return next(reason for kind, reason in REASONS.items() if isinstance(error, kind))
