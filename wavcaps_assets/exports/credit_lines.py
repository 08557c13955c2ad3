"""The credit lines of an export: who made each sound, and under which licence."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.exports.export_folder import ExportFolder
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.slices.attributions import CSV, TEXT, attributions_csv, attributions_text


def add_credit_lines(exported: ExportedSet, clips: pa.Table, folder: ExportFolder) -> None:
    """Adds them as CSV and as text.

    Args:
        clips: those whose audio is in the export, with the columns `slices.attributions.COLUMNS`.
    """
    title = f"Attributions: {exported.name}, {len(clips):,} clips"
    folder.add("attributions", lambda part: part.write(CSV, attributions_csv(clips)))
    folder.add("attributions-text", lambda part: part.write(TEXT, attributions_text(clips, title)))
