"""`wavcaps audit` by sound: real clips under other ids, quieter, cut and encoded, inside archives."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
import soundfile

from tests.importing.released import tarred, write_json
from tests.importing.test_audit import run
from tests.support.paths import DATA

ESC10 = DATA / "esc10/audio"
NEEDS_ESC10 = pytest.mark.skipif(not ESC10.is_dir(), reason="ESC-10 is not here: ../shared/data")
CLIPS = 4


def disguised(file: Path) -> bytes:
    """A clip at a quarter of its level, without its first second, as Ogg Vorbis."""
    samples, rate = soundfile.read(file)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples[rate:] / 4, rate, format="OGG", subtype="VORBIS")
    return buffer.getvalue()


def write_set(folder: Path, kind: str, clips: dict[str, bytes]) -> Path:
    if kind == "tar":
        files = {f"{name}.ogg": content for name, content in clips.items()}
        records = {f"{name}.json": json.dumps({"text": ["A sound."]}).encode() for name in clips}
        tarred(folder / "mine.tar", files | records)
    else:
        write_json(folder / "mine.json", [{"id": name, "caption": "A sound."} for name in clips])
        with zipfile.ZipFile(folder / "mine.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in clips.items():
                archive.writestr(f"{name}.ogg", content)
    return folder


@NEEDS_ESC10
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_disguised_clips_of_a_benchmark_are_heard_in_archives(tmp_path: Path, kind: str) -> None:
    files = sorted(ESC10.iterdir())
    files = files[:: len(files) // (2 * CLIPS)]
    of_benchmark, others = files[:CLIPS], files[CLIPS : 2 * CLIPS]
    lists = tmp_path / "lists/esc50"
    (lists / "meta").mkdir(parents=True)
    (lists / "audio").mkdir()
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for file in of_benchmark:
        rows.append(f"{file.name},1,0,some,True,{file.name.split('-')[1]},A")
        (lists / "audio" / file.name).symlink_to(file)
    (lists / "meta/esc50.csv").write_text("\n".join(rows) + "\n")
    clips = {f"own{number}": disguised(file) for number, file in enumerate(of_benchmark)}
    clips |= {f"other{number}": disguised(file) for number, file in enumerate(others)}
    clips["silent"] = b""
    found = tmp_path / "found.csv"
    folder = write_set(tmp_path / "set", kind, clips)
    result = run(folder, "--against", "esc50", "--sets", tmp_path / "lists", "--csv", found)
    assert result.exit_code == 1, result.output
    named = {row.split(",")[0].strip('"') for row in found.read_text().splitlines()[1:] if '"same"' in row}
    assert len(named) >= CLIPS - 1
    assert named <= {f"mine-own{number}" for number in range(CLIPS)}
    assert "of the set's clips have no audio that could be compared" in result.output
    silent = run(folder, "--against", "esc50", "--sets", tmp_path / "lists", "--no-audio")
    assert silent.exit_code == 0 and "The audio was not compared" in silent.output
