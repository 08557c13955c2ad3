"""How fast a run finds the requests that are left: 675,000 clips, nearly all of them answered.

A separate process does what a run does before its first request: it reads the clips and the ledger, cleans
the texts and identifies their languages, groups them as before, and estimates what is left. A tenth of the
clips is new. The first ledger has an answer to each text. The second has answers to lists of 20, and one text
in 20 is gone, so that few lists are the same as before. The peer reads the first ledger with `json.loads` of
every line into a dictionary, and looks up the same requests; it does nothing with texts.

The limits, on one core: 20 s and 1.5 GB. Seconds are CPU time, without waiting for other processes.
`python -m benchmarks.ledger CLIPS` takes fewer clips.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb, report
from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.captioning.requests import request_of
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.captioning.texts import clean
from wavcaps_assets.llm.ledger import ANSWERS
from wavcaps_assets.llm.records import Answer, record_of
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import FILTERED_CLIPS

CLIPS = 675_000
# One clip in this many is new; one in this many is gone.
NEW = 10
GONE = 20
SEGMENTS = 8
RECORDS_A_WRITE = 2_000
MOST_S = 20.0
MOST_MB = 1500.0
SOURCE = "freesound"
# Nothing is sent.
LLM = ModelSettings(base_url="https://api.openai.com/v1", model="gpt-4o-mini", api_key=SecretStr("unused"))
FORMS = {
    "one text a request": CaptioningSettings(form=Form.SINGLE),
    "lists of 20": CaptioningSettings(),
}
WORDS = "recorded with a handheld recorder near the river while birds sing and a dog barks far away, " * 5
SAID_WORDS = 12
# Seconds, MB, and how many texts are left.
Result = tuple[float, float, int]
Plan = Callable[[Path, str, int], int]


def text_of(number: int) -> str:
    """Descriptions of 20 to 400 characters, as FreeSound's are."""
    return clean(f"{number} {WORDS[number % 40 : 60 + number * 7 % 381]} of it")


def caption_of(text: str) -> str:
    """An answer that is about its text, as the alignment test of lists demands."""
    return f"{' '.join(text.split()[1 : 1 + SAID_WORDS]).capitalize()}."


def write(folder: Path, form: str, clips: int) -> None:
    """The clips, and the answers in as many segments as some runs would have made."""
    settings, store = FORMS[form], Store(folder)
    prompt = load_prompt(settings.prompt, SOURCE, settings.form)
    logs = [AppendLog(store, ANSWERS) for _ in range(SEGMENTS)]
    size = settings.first_group

    def records() -> Iterator[dict[str, object]]:
        for first in range(0, clips, size):
            texts = [text_of(number) for number in range(first, min(first + size, clips))]
            captions = [caption_of(text) for text in texts]
            numbered = "\n".join(f"{index}. {caption}" for index, caption in enumerate(captions, 1))
            said = captions[0] if size == 1 else numbered
            asked = request_of(prompt, settings, LLM.model, texts)
            answer = Answer(said, "stop", 640, 15, 0.412, False, 0.000105, "gpt-4o-mini-2024-07-18")
            yield record_of(asked, answer, SOURCE, 2400)

    made = records()
    for log in itertools.cycle(logs):
        some = list(itertools.islice(made, RECORDS_A_WRITE))
        if not some:
            break
        log.append_many(some)
    for log in logs:
        log.close()
    wanted = [number for number in range(clips) if size == 1 or number % GONE] + list(
        range(clips, clips + clips // NEW)
    )
    wanted = wanted[-clips:]
    columns = {
        "clip_id": pa.array(f"{SOURCE}-{number}" for number in wanted),
        "source": pa.array([SOURCE] * len(wanted)),
        "title": pa.array(f"sound {number}" for number in wanted),
        "description": pa.array(text_of(number) for number in wanted),
        "tags": pa.array([["bird", "dog"]] * len(wanted), FILTERED_CLIPS.arrow.field("tags").type),
        "events": pa.array([[]] * len(wanted), FILTERED_CLIPS.arrow.field("events").type),
        "duration_s": pa.array([3.5] * len(wanted)),
    }
    table = pa.table(columns).select(FILTERED_CLIPS.arrow.names).cast(FILTERED_CLIPS.arrow)
    pq.write_table(table, folder / "clips.parquet")


def ours(folder: Path, form: str, clips: int) -> int:
    from wavcaps_assets.captioning.engine import read_texts
    from wavcaps_assets.captioning.requests import first_requests, grouped
    from wavcaps_assets.llm.session import Session

    settings = FORMS[form]
    prompt = load_prompt(settings.prompt, SOURCE, settings.form)
    with Session(LLM, Store(folder), limits=settings.limits) as session:
        at = time.process_time()

        def lap(what: str) -> None:
            nonlocal at
            print(f"  {what}: {time.process_time() - at:.1f} s, {own_peak_mb():.0f} MB")  # noqa: T201
            at = time.process_time()

        texts = read_texts(pq.read_table(folder / "clips.parquet"), SOURCE, settings)
        lap("texts")
        grouping = grouped(texts.given, prompt, settings, session)
        lap("groups")
        found = session.estimate(first_requests(grouping.groups, prompt, settings, LLM.model))
        lap("estimate")
    return found.requests


def peer(folder: Path, form: str, clips: int) -> int:
    records = {}
    for path in sorted((folder / ANSWERS).glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                record = json.loads(line)
                records[record["key"]] = record
    settings = FORMS[form]
    prompt = load_prompt(settings.prompt, SOURCE, settings.form)
    texts = pq.read_table(folder / "clips.parquet").column("description").to_pylist()
    keys = (request_of(prompt, settings, LLM.model, [text]).key for text in texts)
    return sum(key not in records for key in keys)


def run(plan: Plan, folder: Path, form: str, clips: int) -> Result:
    started = time.process_time()
    left = plan(folder, form, clips)
    return time.process_time() - started, own_peak_mb(), left


def measure(plan: Plan, folder: Path, form: str, clips: int) -> tuple[float, float]:
    """Seconds and MB, in a separate process."""
    seconds, peak_mb, left = in_own_process(run, plan, folder, form, clips)
    expected = -(-(clips // NEW) // FORMS[form].first_group)
    assert left == expected, f"{left} requests are left, not {expected}"
    print(f"{plan.__name__}, {form}: {seconds:.1f} s, {peak_mb:.0f} MB")  # noqa: T201
    return seconds, peak_mb


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else CLIPS
    missed = []
    for form in FORMS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # Not in this process: what it holds at its largest would count as its children's.
            in_own_process(write, folder, form, clips)
            size = sum(path.stat().st_size for path in (folder / ANSWERS).iterdir())
            print(f"{clips} clips, {form}: a ledger of {size / 1e6:.0f} MB")  # noqa: T201
            seconds, peak_mb = measure(ours, folder, form, clips)
            if clips >= CLIPS and (seconds > MOST_S or peak_mb > MOST_MB):
                missed.append(f"{form} took {seconds:.1f} s and {peak_mb:.0f} MB")
            if form == next(iter(FORMS)):
                peer_seconds, _ = measure(peer, folder, form, clips)
                report("ledger_plan", seconds, "s", "json.loads and a dictionary", peer_seconds, peak_mb)
            else:
                report("ledger_plan_lists", seconds, "s", "the limit", MOST_S, peak_mb)
    if missed:
        sys.exit(f"more than {MOST_S:.0f} s or {MOST_MB:.0f} MB for {clips} clips: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
