"""The schema of every asset's table, in the order of the lineage graph.

A clip is one row of each per-clip table. Tables are joined by `clip_id`, never by position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wavcaps_assets.store.schema import TableSchema
from wavcaps_assets.tables import analysis
from wavcaps_assets.tables.benchmarks import BENCHMARK_CLIPS, OVERLAPS
from wavcaps_assets.tables.captioned import (
    CAPTION_COMPARISON,
    CAPTIONS,
    FILTERED_CLIPS,
    LLM_CAPTIONS,
    LLM_COSTS,
    OTHER_CAPTIONS,
)
from wavcaps_assets.tables.columns import EVENTS
from wavcaps_assets.tables.crawled import AUDIO, DROPPED, LEDGER, RAW_CLIPS
from wavcaps_assets.tables.exported import EXPORTS
from wavcaps_assets.tables.fingerprinted import FINGERPRINTS
from wavcaps_assets.tables.imported import IMPORTED_SETS
from wavcaps_assets.tables.operations import DISK_USE, STATUS
from wavcaps_assets.tables.published import (
    MANIFEST,
    RECORDINGS,
    SET_CHANGES,
    SPLIT_ASSIGNMENTS,
    STRONG_LABELS,
    TRAINING_MANIFEST,
)
from wavcaps_assets.tables.validation import VALIDATION_RATINGS, VALIDATION_SCORES, VALIDATION_STUDY

__all__ = [
    "AUDIO",
    "BENCHMARK_CLIPS",
    "CAPTIONS",
    "CAPTION_COMPARISON",
    "DISK_USE",
    "DROPPED",
    "EVENTS",
    "EXPORTS",
    "FILTERED_CLIPS",
    "FINGERPRINTS",
    "IMPORTED_SETS",
    "LEDGER",
    "LLM_CAPTIONS",
    "LLM_COSTS",
    "MANIFEST",
    "OTHER_CAPTIONS",
    "OVERLAPS",
    "RAW_CLIPS",
    "RECORDINGS",
    "SET_CHANGES",
    "SPLIT_ASSIGNMENTS",
    "STRONG_LABELS",
    "TRAINING_MANIFEST",
    "VALIDATION_RATINGS",
    "VALIDATION_SCORES",
    "VALIDATION_STUDY",
    "register_schemas",
    "schema_of",
]

BY_ASSET: dict[str, TableSchema] = {
    "raw_clips": RAW_CLIPS,
    "audio": AUDIO,
    "ledger": LEDGER,
    "filtered_clips": FILTERED_CLIPS,
    "llm_captions": LLM_CAPTIONS,
    "llm_costs": LLM_COSTS,
    "caption_comparison": CAPTION_COMPARISON,
    "captions": CAPTIONS,
    "other_captions": OTHER_CAPTIONS,
    "manifest": MANIFEST,
    "wavcaps": MANIFEST,
    "slice": MANIFEST,
    "strong_labels": STRONG_LABELS,
    "recordings": RECORDINGS,
    "split_assignments": SPLIT_ASSIGNMENTS,
    "benchmark": BENCHMARK_CLIPS,
    "overlaps": OVERLAPS,
    "audio_overlaps": OVERLAPS,
    "embedding_overlaps": OVERLAPS,
    "exclusions": OVERLAPS,
    "fingerprints": FINGERPRINTS,
    "benchmark_fingerprints": FINGERPRINTS,
    "export": EXPORTS,
    "training_manifest": TRAINING_MANIFEST,
    "validation_study": VALIDATION_STUDY,
    "validation_ratings": VALIDATION_RATINGS,
    "validation_scores": VALIDATION_SCORES,
    "disk_use": DISK_USE,
    "status": STATUS,
    "imported_set": IMPORTED_SETS,
    **{f"analysis/{schema.name}": schema for schema in analysis.TABLES},
}


def register_schemas(by_asset: Mapping[str, TableSchema]) -> None:
    """Adds the tables of another package's assets.

    Args:
        by_asset: by an asset's whole key, its last or its first part; or by the first parts of longer keys,
            with a slash at the end, such as `scores/retrieval/`.
    """
    BY_ASSET.update(by_asset)


def schema_of(asset_key: Sequence[str]) -> TableSchema:
    """The schema of an asset's table: by its whole key, else by the most of its first parts that are known,
    else by its last part, else by its first part.

    Raises:
        KeyError: no table is declared for the asset.
    """
    beginnings = ("/".join((*asset_key[:parts], "")) for parts in range(len(asset_key) - 1, 0, -1))
    for name in ("/".join(asset_key), *beginnings, asset_key[-1], asset_key[0]):
        if name in BY_ASSET:
            return BY_ASSET[name]
    raise KeyError(f"asset {'/'.join(asset_key)} has no declared table")
