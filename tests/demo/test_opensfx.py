from __future__ import annotations

import io
import random
import struct

import numpy as np
import pytest
import soundfile

from wavcaps_assets.demo.opensfx import (
    CatEntry,
    CatError,
    author_of,
    licence_of,
    read_cat,
    recordings_of,
    title_of,
)

FLAG = 0x80000000
BY = "Creative Commons Attribution 3.0 Unported"


def riff(frames: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.linspace(-0.5, 0.5, frames), 8000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def cat(*entries: tuple[str, bytes]) -> bytes:
    """A .cat file as its format's description says."""
    header_bytes, header, body = 8 * len(entries), b"", b""
    for text, wav in entries:
        noted = text.encode() + b"\0"
        header += struct.pack("<II", (header_bytes + len(body)) | FLAG, len(wav))
        body += bytes([len(noted)]) + noted + wav
    return header + body


def test_entries_come_out_as_they_went_in() -> None:
    first, empty = riff(100), riff(0)
    entries = list(read_cat(cat(('"Horn". By A.', first), ('"Nothing". Trivial.', empty))))
    assert [(e.index, e.text, e.wav) for e in entries] == [
        (0, '"Horn". By A.', first),
        (1, '"Nothing". Trivial.', empty),
    ]


def test_every_cut_file_is_refused() -> None:
    whole = cat(("one", riff(3)), ("two", riff(2)))
    for length in range(len(whole)):
        with pytest.raises(CatError):
            list(read_cat(whole[:length]))


def test_scrambled_files_are_read_or_refused_but_never_break_the_reader() -> None:
    whole = cat(("one", riff(3)), ("two", riff(2)))
    scramble = random.Random(0)
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(3):
            data[scramble.randrange(len(data))] = scramble.randrange(256)
        try:
            assert all(len(entry.wav) <= len(data) for entry in read_cat(bytes(data)))
        except CatError:
            refused += 1
    assert 0 < refused < 2000


@pytest.mark.parametrize(
    ("text", "title", "author", "recordings"),
    [
        (
            f'"Station departure". Original "horn 01.wav" by "eli". Edited by "Wuzzy". License: {BY}.',
            "Station departure",
            "Wuzzy",
            ("horn-01.wav-by-eli",),
        ),
        (f'"Whistle". By Janis Lukss. License: {BY}.', "Whistle", "Janis Lukss", ("opensfx-7",)),
        (
            f'"Ship". Original "bergen.aif" by Leon Milo. Edited by Wuzzy. License: {BY}.',
            "Ship",
            "Wuzzy",
            ("bergen.aif-by-leon-milo",),
        ),
        (
            '"Factory (1)". Original "ae_51.wav" by "Sedi", "square-02.wav" by Jan Schupke aka "Vehicle" and '
            f'"whoosh.wav" by Richard Frohlich aka "FreqMan". Edited by "Wuzzy". License: {BY}.',
            "Factory (1)",
            "Wuzzy",
            ("ae-51.wav-by-sedi", "square-02.wav-by-vehicle", "whoosh.wav-by-freqman"),
        ),
        (
            f'"Breakdown". Original "s.wav" by Derek Murphy and "B" by "M.R". Edited by X. License: {BY}.',
            "Breakdown",
            "X",
            ("s.wav-by-derek-murphy", "b-by-m.r"),
        ),
        (
            f'"Slurp". "Slurp!.wav" by "Beviceps" and "drink5.ogg". Edited by "Wuzzy". License: {BY}.',
            "Slurp",
            "Wuzzy",
            ("slurp-.wav-by-beviceps", "drink5.ogg"),
        ),
        (
            '"Nothing". Trivial empty sound file. License: Creative Commons Zero 1.0.',
            "Nothing",
            "OpenSFX",
            ("opensfx-7",),
        ),
    ],
)
def test_noisy_descriptions_are_understood(
    text: str, title: str, author: str, recordings: tuple[str, ...]
) -> None:
    assert title_of(text) == title
    assert author_of(text) == author
    assert recordings_of(CatEntry(7, text, b"")) == recordings


def test_the_licence_is_the_one_that_the_text_names() -> None:
    share_alike = (
        '"Helicopter". Edited by "W". License: Creative Commons Attribution-ShareAlike 3.0 Unported.'
    )
    assert licence_of(share_alike) == "http://creativecommons.org/licenses/by-sa/3.0/"
    assert licence_of(f'"A". License: {BY}.') == "http://creativecommons.org/licenses/by/3.0/"
    zero = '"A". License: Creative Commons Zero 1.0.'
    assert licence_of(zero) == "http://creativecommons.org/publicdomain/zero/1.0/"
    with pytest.raises(CatError, match="licence"):
        licence_of('"A". License: all rights reserved.')
