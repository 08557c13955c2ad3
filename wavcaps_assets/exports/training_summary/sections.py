"""The sections of the summary of training content, computed from a version.

What only the provider of a model knows is a blank with a name.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.training_summary.document import Answer, Section, TrainingSummary
from wavcaps_assets.exports.training_summary.facts import (
    categories,
    collection_period,
    hours_by_domain,
    hours_of,
    languages,
    sizes_by,
    words_of,
)
from wavcaps_assets.show.text import shown
from wavcaps_assets.slices.counts import clips_by_class, clips_by_reason
from wavcaps_assets.slices.preferences import are_asked
from wavcaps_assets.slices.uses import USES

# The template's ranges of audio (hours) and of text (tokens).
AUDIO_RANGES = ((10_000, "Less than 10,000 hours"), (1_000_000, "10,000 to 1 million hours"))
MOST_AUDIO = "More than 1 million hours"
BILLION = 1_000_000_000
# More than any tokeniser makes of a word of these texts.
TOKENS_OF_A_WORD = 4


def summarise(exported: ExportedSet) -> TrainingSummary:
    """The draft for a version, or a slice of it.

    Raises:
        StoreError: a table of a source cannot be read.
    """
    clips = exported.table
    return TrainingSummary(
        data_set=f"WavCaps, re-created: {exported.name}",
        set_version=exported.version.name,
        content_hash=exported.version.content_hash,
        slice=exported.slice,
        sections=(*_general(clips, exported), *_sources(clips, exported), *_processing(exported)),
    )


def _general(clips: pa.Table, exported: ExportedSet) -> list[Section]:
    hours, words = hours_of(clips), words_of(clips.column("caption")) + words_of(clips.column("text"))
    _, last = collection_period(exported.store, clips)
    size = next((name for limit, name in AUDIO_RANGES if hours < limit), MOST_AUDIO)
    tokens = "Less than 1 billion tokens" if words * TOKENS_OF_A_WORD < BILLION else None
    return [
        Section(
            number="1.1",
            title="Provider identification",
            answers=(
                _blank("Provider name and contact details", "your name and contact"),
                _blank("Authorised representative", "if you are established outside the Union"),
            ),
        ),
        Section(
            number="1.2",
            title="Model identification",
            answers=(
                _blank("Versioned model name(s)", "the model that was trained on this"),
                _blank("Model dependencies", "the model that it was derived from, if any"),
                _blank("Date of placement on the Union market", "the date"),
            ),
        ),
        Section(
            number="1.3",
            title="Modalities, overall training data size and other characteristics",
            answers=(
                Answer(
                    question="Audio: size and types of content",
                    answer=[
                        f"{size}: {hours:,.2f} hours in {len(clips):,} clips",
                        *(f"{name}: {line}" for name, line in categories(clips).items()),
                    ],
                    to_fill_in="the types of content of what has no category",
                ),
                Answer(
                    question="Text: size and types of content",
                    answer=f"{tokens + ': ' if tokens else ''}{words:,} words. A caption of each clip, and "
                    "the title, description or labels that it was made from.",
                    to_fill_in=None if tokens else "the number of tokens, by your tokeniser",
                ),
                Answer(
                    question="Latest date of data acquisition",
                    answer=f"{last:%m/%Y}" if last else None,
                    to_fill_in=None if last else "the store does not know it",
                ),
                _blank("Continuous training on new data", "whether the model is trained on newer data later"),
                Answer(question="Linguistic characteristics", answer=languages(clips)),
                Answer(question="Licences", answer=_counted(clips_by_class(clips), "clips")),
            ),
        ),
    ]


def _sources(clips: pa.Table, exported: ExportedSet) -> list[Section]:
    first, last = collection_period(exported.store, clips)
    period = f"{first:%m/%Y} to {last:%m/%Y}" if first and last else None
    return [
        Section(
            number="2.1",
            title="Publicly available datasets",
            answers=(
                Answer(
                    question="Sources of the clips, with their size",
                    answer=[f"{shown(name)}: {line}" for name, line in sizes_by(clips, "source").items()],
                    to_fill_in="which of these you used as a data set that others had compiled, with its "
                    "link, instead of crawling it (then it belongs here, else in 2.3), and other data sets "
                    "that the model was trained on",
                ),
            ),
        ),
        Section(
            number="2.2",
            title="Private non-publicly available datasets obtained from third parties",
            answers=(
                _blank("Licensing agreements with rightsholders", "yes or no; the modalities"),
                _blank("Other private data sets", "yes or no; their names or a description"),
            ),
        ),
        Section(
            number="2.3",
            title="Data crawled and scraped from online sources",
            answers=(
                Answer(
                    question="Crawler name(s) and behaviour",
                    answer="The crawlers of WavCaps on Dagster, by the sites' interfaces where there are "
                    "any. HTML pages are read only where robots.txt (RFC 9309) allows it; its Crawl-delay "
                    "and the sites' request quotas are respected. No paywalls or captchas are circumvented.",
                    to_fill_in="your User-Agent, and what else you crawled",
                ),
                Answer(
                    question="Purpose of the crawl",
                    answer="Sounds with captions, for training models of audio and language.",
                    to_fill_in="other purposes, if any",
                ),
                Answer(
                    question="Period of data collection",
                    answer=period,
                    to_fill_in=None if period else "the store does not know it",
                ),
                Answer(question="Type of modality covered", answer="Audio, text."),
                Answer(
                    question="Domain names, by size of content (all of them)",
                    answer=hours_by_domain(clips),
                    to_fill_in="the host that the audio of AudioSet's clips was fetched from, if any"
                    if "audioset_sl" in pc.unique(clips.column("source")).to_pylist()
                    else None,
                ),
            ),
        ),
        Section(
            number="2.4",
            title="User data",
            answers=(
                Answer(
                    question="Data from users of the provider's services or of the model",
                    answer="None in this data set.",
                    to_fill_in="other data of the model",
                ),
            ),
        ),
        Section(number="2.5", title="Synthetic data", answers=_synthetic(clips)),
        Section(
            number="2.6",
            title="Other sources of data",
            answers=(_blank("Description", "recordings of your own, and anything else that is not above"),),
        ),
    ]


def _processing(exported: ExportedSet) -> list[Section]:
    clips = exported.table
    asked = clips.filter(are_asked(clips))
    wishes = pc.fill_null(asked.column("gen_ai_preference"), "not known")
    counted = {row["values"]: row["counts"] for row in pc.value_counts(wishes).to_pylist()}
    opt_outs = _counted(dict(sorted(counted.items())), "clips") or ["no clip of a site that asks its authors"]
    if exported.slice:
        use = USES.get(exported.slice)
        rule = [
            f"This is the slice for {use.title if use else exported.slice}. "
            f"{exported.version.clips - len(clips):,} of {exported.version.clips:,} clips of the version are "
            "left out, because their licence or their author's wish does not permit the use, it is not "
            "known, or by a filter:",
            *_counted(clips_by_reason(exported.left_out), "clips"),
        ]
    else:
        rule = [
            "This is the whole version. It is not restricted by licences or authors' wishes: export a slice "
            "(docs/slices.md)."
        ]
    return [
        Section(
            number="3.1",
            title="Respect of reservation of rights from the text and data mining exception or limitation",
            answers=(
                _blank("Signatory of the Code of Practice", "yes or no"),
                Answer(question="Opt-outs by licence and by authors' wishes", answer=rule),
                Answer(question="Wishes about generative models (gen_ai_preference)", answer=opt_outs),
                Answer(
                    question="Opt-outs by protocols",
                    answer="robots.txt is respected for HTML pages.",
                    to_fill_in="other protocols",
                ),
            ),
        ),
        Section(
            number="3.2",
            title="Removal of illegal content",
            answers=(
                Answer(
                    question="Measures",
                    answer="The pipeline has no classifier of illegal content. Sounds that sites removed are "
                    "removed from the next version.",
                    to_fill_in="your own measures",
                ),
            ),
        ),
        Section(number="3.3", title="Other information", answers=(_blank("Optional", "anything else"),)),
    ]


def _synthetic(clips: pa.Table) -> tuple[Answer, ...]:
    ai_made = pc.sum(pc.fill_null(clips.column("synthetic"), False)).as_py() or 0
    unknown = clips.column("synthetic").null_count
    return (
        Answer(
            question="Synthetic text: the models that wrote the captions",
            answer=[f"{shown(name)}: {line}" for name, line in sizes_by(clips, "model").items()],
            to_fill_in="for each general-purpose model: its provider, and the link to its own summary",
        ),
        Answer(
            question="Synthetic audio",
            answer=f"{ai_made:,} sounds are AI-made by the tags of their authors; of {unknown:,} sounds it "
            "is not known. Which models made them is not known.",
        ),
    )


def _counted(counted: Mapping[str, int], what: str) -> list[str]:
    return [f"{shown(name)}: {number:,} {what}" for name, number in counted.items()]


def _blank(question: str, what: str) -> Answer:
    return Answer(question=question, to_fill_in=what)
