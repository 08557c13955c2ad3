"""`wavcaps audit` by sound: real clips under other ids, quieter, cut and encoded, inside archives."""

from __future__ import annotations

import io
import json
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
import soundfile

from tests.fingerprints.test_landmarks import noise
from tests.importing.released import tarred, write_json
from tests.importing.test_audit import run
from tests.support.paths import DATA
from wavcaps_assets.audio.blocks import Samples
from wavcaps_assets.benchmark_sets.benchmarks.esc50 import BENCHMARK as ESC50
from wavcaps_assets.fingerprints.extraction import RECIPE
from wavcaps_assets.fingerprints.landmarks import RATE
from wavcaps_assets.importing.audit_audio import AudioComparison
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, FINGERPRINTS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.imported import IMPORTED_CLIPS
from wavcaps_assets.tables.stage import Stage

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


@pytest.mark.parametrize(("recipe", "unchecked"), [(RECIPE, 1), ("another", 0)])
def test_fingerprints_of_a_benchmark_that_are_there_are_used(
    tmp_path: Path, recipe: str, unchecked: int
) -> None:
    """Those in the store are empty here, which shows that they are the ones that were used."""
    content = flac_of(noise(3, seed=1))
    for path in ("store/sets/esc50/audio/a.flac", "set/own.flac"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(content)
    tables = TableStore(Store(tmp_path / "store"))
    row = {"clip_id": "esc50-a.flac", "source": "esc50", "audio_sha256": sha256(content).hexdigest()}
    prints = Stage(FINGERPRINTS.from_rows([{**row, "landmarks": []}]), DROPPED.empty(), settings=recipe)
    tables.write(["benchmark_fingerprints", "esc50"], None, prints)
    listed = ESC50.clips("1", {"file": ["a.flac"], "audio_path": ["sets/esc50/audio/a.flac"]})
    own = {"clip_id": "mine-own", "source": "mine", "source_id": "own", "audio": "own.flac"}
    clips = IMPORTED_CLIPS.from_rows([{**own, "tags": [], "events": [], "captions": []}])
    compare = AudioComparison(tmp_path / "set", clips, tables.store, tmp_path)
    overlaps, sentences = compare(clips, listed)
    assert overlaps is not None and len(overlaps) == 1 - unchecked
    assert len(sentences) == unchecked and all("1 of 1 of its clips" in one for one in sentences)


def flac_of(samples: Samples) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="FLAC")
    return file.getvalue()
