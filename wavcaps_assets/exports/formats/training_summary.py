"""A draft of the summary of training content that the EU AI Act requires, as Markdown and JSON."""

from __future__ import annotations

from wavcaps_assets.exports.export_folder import ExportFolder, Part
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.format import ExportFormat, FormatSettings
from wavcaps_assets.exports.training_summary.sections import summarise

PAGE, DATA = "training-content-summary.md", "training-content-summary.json"


class TrainingSummarySettings(FormatSettings):
    """There is nothing to set."""


def write(exported: ExportedSet, settings: TrainingSummarySettings, folder: ExportFolder) -> None:
    """Writes the draft."""

    def both(part: Part) -> None:
        summary = summarise(exported)
        part.write(PAGE, summary.markdown().encode())
        part.write(DATA, summary.model_dump_json(indent=1).encode())
        part.clips = len(exported.table)

    folder.add("summary", both)


FORMAT = ExportFormat(
    "training_summary",
    "A draft of the public summary of training content (EU AI Act, Article 53(1)(d)) by the Commission's "
    "template, with every value computed and blanks for what only the provider knows. Without audio.",
    TrainingSummarySettings,
    write,
    frozenset({"markdown"}),
)
