"""The journey of docs/own-sounds.md: a messy folder, no key, then changes. Every file's fate is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.lane.own_sounds import PUBLISHED, Clip, OwnSounds, messy_folder, noises, real_clips
from tests.support.paths import DATA
from wavcaps_assets.captioning.second_questions import parse_line
from wavcaps_assets.captioning.settings import CAPTIONING_PRESETS
from wavcaps_assets.captioning.texts import first_sentence
from wavcaps_assets.lane.command import run
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.sources.local_folder import CATALOGUE, LocalFolder
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.report.data import Funnel
from wavcaps_training.report.funnel import make_funnels
from wavcaps_training.tables import RETRIEVAL_SCORES_KEY

SOURCE = "local_folder"
BY_RULES = "ops: {llm_captions: {config: {method: rules}}}\n"
# Only these may drop a usable text, and only where a model writes the captions.
CAPTION_STEPS = {"stage 2 (captions)", "stage 3 (rules)"}
KEYS = ("OPENAI_API_KEY", "WAVCAPS_LLM__API_KEY", "WAVCAPS_FREESOUND__KEY")


@dataclass(frozen=True)
class Sizes:
    """How many usable clips the folder has (one of them `long_s` seconds), and what is changed in it."""

    clips: int
    long_s: int
    replaced: int
    removed: int
    added: int
    described: int


SHORT = Sizes(clips=25, long_s=90, replaced=2, removed=2, added=2, described=2)
LONG = Sizes(clips=400, long_s=20 * 60, replaced=10, removed=5, added=20, described=5)


@dataclass(frozen=True)
class Seen:
    """What the store shows after a run, by the files' names.

    Attributes:
        manifest: the rows of the manifest.
        funnel: the source's part of the report.
        events: of the ledger, each with file, event and reason.
    """

    manifest: dict[str, dict[str, Any]]
    funnel: Funnel
    events: Counter[tuple[str, str, str | None]]

    def reasons(self, steps: set[str] | None = None) -> Counter[str]:
        """The clips that the report counts as dropped, by reason."""
        found: Counter[str] = Counter()
        for reason in self.funnel.reasons:
            if steps is None or reason.step in steps:
                found[reason.reason] += reason.clips
        return found


@dataclass(frozen=True)
class Changed:
    """The files that a person changed."""

    same_size: str
    replaced: list[str]
    removed: list[str]
    added: list[str]
    described: list[str]


class Journey:
    """A folder, and `wavcaps run` on it."""

    def __init__(self, path: Path, own: OwnSounds) -> None:
        self.own = own
        self.tables = TableStore(Store(path / "home" / "store"))
        self._file_of: dict[str, str] = {}

    def run(self, *arguments: str) -> Seen:
        self.own.write_list()
        done = CliRunner().invoke(run, arguments)
        assert done.exit_code == 0, done.output
        return self._seen()

    def _seen(self) -> Seen:
        rows = self.tables.read([SOURCE, "raw_clips"]).to_pylist()
        self._file_of.update((row["clip_id"], row["audio_url"]) for row in rows)
        (funnel,) = make_funnels(self.tables, [LocalFolder(self.own.path)])
        manifest = self.tables.read(["manifest"], [SOURCE]).to_pylist()
        ledger = self.tables.read([SOURCE, "ledger"], [CATALOGUE]).to_pylist()
        return Seen(
            {self._file_of[row["clip_id"]]: row for row in manifest},
            funnel,
            Counter(
                (self._file_of.get(row["clip_id"], row["clip_id"]), row["event"], row["reason"])
                for row in ledger
            ),
        )


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WAVCAPS_SOURCES", "live")
    monkeypatch.setenv("WAVCAPS_LOCAL_FOLDER__PATH", str(tmp_path / "sounds"))
    (tmp_path / "rules.yaml").write_text(BY_RULES)
    return tmp_path


def require_fates(seen: Seen, own: OwnSounds, *, gone: int, by_model: bool) -> None:
    """Checks in the manifest and in the report that every row of the list has the fate that it must have."""
    fates = Counter(clip.fate for clip in own.clips.values() if clip.in_list)
    fates.update(own.bad_lines)
    fates.update({"gone": gone} if gone else {})
    usable = fates.pop(PUBLISHED)
    lost = seen.reasons() - fates
    assert seen.reasons() - lost == fates
    assert lost <= seen.reasons(CAPTION_STEPS)
    assert by_model or not lost
    assert seen.manifest.keys() <= set(own.files())
    assert len(seen.manifest) == usable - lost.total()
    # A model that loses half of the captions would make the other checks say little.
    assert lost.total() < usable / 2
    assert (seen.funnel.steps[0], seen.funnel.steps[-1]) == (usable + fates.total(), len(seen.manifest))
    assert seen.funnel.waiting == 0


def change(own: OwnSounds, sizes: Sizes, published: set[str], more: Iterator[Clip]) -> Changed:
    """Changes published files as a person does."""
    # Samples of PCM take the same space, whatever they are.
    files = [file for file in own.files() if file in published and file != "long.wav"]
    same_size = next(file for file in files if file.endswith(".wav"))
    files.remove(same_size)
    others = iter(files[:: len(files) // (sizes.replaced - 1 + sizes.removed + sizes.described)])
    changed = Changed(
        same_size,
        [next(others) for _ in range(sizes.replaced - 1)],
        [next(others) for _ in range(sizes.removed)],
        [],
        [next(others) for _ in range(sizes.described)],
    )
    own.replace_sound(same_size, same_size=True)
    for file in changed.replaced:
        own.replace_sound(file, same_size=False)
    for file in changed.removed:
        own.remove(file)
    for number, file in enumerate(changed.described):
        own.describe(file, f"A train passes {('a bridge', 'a station', 'a road')[number % 3]} slowly.")
    for _ in range(sizes.added):
        clip = next(more)
        own.put(clip)
        changed.added.append(clip.file)
    return changed


def require_changes(before: Seen, after: Seen, changed: Changed) -> None:
    """Checks that the ledger and the manifest differ in what was changed, and in nothing else."""
    expected: Counter[tuple[str, str, str | None]] = Counter({(changed.same_size, "stored", None): 1})
    expected.update((file, event, None) for file in changed.replaced for event in ("changed", "stored"))
    expected.update((file, "gone", None) for file in changed.removed)
    expected.update((file, event, None) for file in changed.added for event in ("listed", "stored"))
    expected.update((file, "changed", None) for file in changed.described)
    new = after.events - before.events
    # Each crawl says again which rows are not usable, and which files are missing.
    again = Counter({event: count for event, count in new.items() if event[2] is not None})
    assert new - again == expected
    assert again.keys() <= before.events.keys()
    both = before.manifest.keys() & after.manifest.keys()
    sounds, texts = (
        {file for file in both if before.manifest[file][column] != after.manifest[file][column]}
        for column in ("samples_sha256", "text")
    )
    assert sounds == {changed.same_size, *changed.replaced}
    assert texts <= set(changed.described)
    captions = {file for file in both if before.manifest[file]["caption"] != after.manifest[file]["caption"]}
    assert captions == texts
    assert before.manifest.keys() - after.manifest.keys() <= {*changed.removed, *changed.described}
    assert not after.manifest.keys() & set(changed.removed)
    assert after.manifest.keys() - before.manifest.keys() <= set(changed.added)


def require_whole_recordings(journey: Journey, after: Seen) -> None:
    """Checks that the published set is the manifest, and that no recording is in two parts of its split."""
    published = journey.tables.read(["wavcaps"])
    assert sorted(published["clip_id"].to_pylist()) == sorted(
        row["clip_id"] for row in after.manifest.values()
    )
    recording_of = {row["clip_id"]: row["recording"] for row in after.manifest.values()}
    parts: dict[str, set[str]] = {}
    for row in journey.tables.read(["training_manifest"]).to_pylist():
        if recording := recording_of[row["clip_id"]]:
            parts.setdefault(recording, set()).add(row["split"])
    shared = Counter(filter(None, recording_of.values()))
    assert max(shared.values()) > 1
    assert all(len(names) == 1 for names in parts.values())


@pytest.mark.slow
def test_a_messy_folder_is_published_and_only_what_changes_is_made_again(path: Path) -> None:
    clips = noises()
    journey = Journey(path, messy_folder(path / "sounds", clips, SHORT.clips - 1, SHORT.long_s))
    rules = ("--config", str(path / "rules.yaml"))
    before = journey.run("--until", "captions", *rules)
    require_fates(before, journey.own, gone=0, by_model=False)
    assert "long.wav" in before.manifest
    changed = change(journey.own, SHORT, set(before.manifest), clips)
    after = journey.run("--until", "publish", *rules)
    require_changes(before, after, changed)
    require_fates(after, journey.own, gone=SHORT.removed, by_model=False)
    require_whole_recordings(journey, after)


@pytest.mark.soak
@pytest.mark.skipif(not (DATA / "esc10").is_dir(), reason="real clips, shared/data/esc10, are not here")
def test_four_hundred_real_clips_go_from_the_folder_to_the_report(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_LLM__BASE_URL", "embedded")
    clips = real_clips()
    journey = Journey(path, messy_folder(path / "sounds", clips, LONG.clips - 1, LONG.long_s))
    before = journey.run("--until", "publish")
    require_fates(before, journey.own, gone=0, by_model=True)
    asked_before = texts_asked(journey)
    assert asked_before.keys() >= {given(row["text"]) for row in before.manifest.values()}
    assert "long.wav" in before.manifest
    changed = change(journey.own, LONG, set(before.manifest), clips)
    after = journey.run()
    require_changes(before, after, changed)
    require_fates(after, journey.own, gone=LONG.removed, by_model=True)
    require_whole_recordings(journey, after)
    # The model is asked about the new texts, and about nothing else: not about clips with another sound, nor
    # about new clips whose text another one has.
    new = {given(journey.own.clips[file].description) for file in (*changed.added, *changed.described)}
    asked = texts_asked(journey) - asked_before
    assert asked.keys() == new - asked_before.keys()
    assert asked
    page = journey.tables.store.read_bytes("report.html").decode()
    assert f"<div><dt>Clips published</dt><dd>{len(after.manifest)}</dd>" in page
    assert f"The run found {after.funnel.steps[0]} records" in " ".join(page.split())
    scores = journey.tables.read(RETRIEVAL_SCORES_KEY).to_pylist()
    in_test = Counter(journey.tables.read(["training_manifest"])["split"].to_pylist())["test"]
    assert {row["clips"] for row in scores} == {in_test}


def given(text: str) -> str:
    """A text as the small model is given it: its first sentence."""
    return first_sentence(text, CAPTIONING_PRESETS["small"].max_text_chars)


def texts_asked(journey: Journey) -> Counter[str]:
    """How many requests so far were about each text. A second question is about the text of its caption."""
    with ResponseLedger(journey.tables.store, ANSWERS) as ledger:
        inputs = [text for record in ledger.records() for text in record["question"]["inputs"]]
    return Counter(second[0] if (second := parse_line(text)) else text for text in inputs)
