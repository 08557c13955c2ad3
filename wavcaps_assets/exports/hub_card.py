"""The data-set card of an export: `README.md` with YAML, as the Hugging Face Hub reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from wavcaps_assets.analysis.card import size_category
from wavcaps_assets.exports.description import ExportedFile
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.show.previews import cell
from wavcaps_assets.slices.licence_classes import licence_class_of
from wavcaps_assets.slices.uses import USES

CARD = "README.md"
# The Hub's names of licences (https://huggingface.co/docs/hub/repositories-licenses).
HUB_LICENCES = {
    "CC0-1.0": "cc0-1.0",
    **{f"CC-BY-{version}": f"cc-by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")},
    **{f"CC-BY-SA-{version}": f"cc-by-sa-{version}" for version in ("3.0", "4.0")},
    **{f"CC-BY-NC-{version}": f"cc-by-nc-{version}" for version in ("2.0", "3.0", "4.0")},
    "CC-BY-ND-4.0": "cc-by-nd-4.0",
    **{f"CC-BY-NC-ND-{version}": f"cc-by-nc-nd-{version}" for version in ("3.0", "4.0")},
    **{f"CC-BY-NC-SA-{version}": f"cc-by-nc-sa-{version}" for version in ("2.0", "3.0", "4.0")},
}
SUMS = """
    select {columns}, count(*) as clips,
        coalesce(sum(duration_s) filter (duration_s >= 0 and isfinite(duration_s)), 0) / 3600 as hours
    from clips group by {columns} order by {columns}
"""


def hub_card(exported: ExportedSet, clips: pa.Table, files: Sequence[ExportedFile]) -> bytes:
    """The card. Each figure is counted in the clips of the export.

    Args:
        clips: those of the export, `tables.MANIFEST`.
        files: the Parquet files.
    """
    environment = Environment(
        loader=PackageLoader("wavcaps_assets", "exports"),
        # Markdown, not HTML: text from outside goes through `cell`.
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = cell
    sources = _sums(clips, "source")
    page = environment.get_template("hub_card.md").render(
        name=exported.name,
        use=USES.get(exported.slice),
        version=exported.version,
        clips=len(clips),
        hours=sum(row["hours"] for row in sources),
        different=pc.count_distinct(clips.column("caption")).as_py(),
        sources=sources,
        made=_sums(clips, "model, prompt_version"),
        licences=[
            row | {"licence_class": licence_class_of(row["licence_id"])} for row in _sums(clips, "licence_id")
        ],
        synthetic=pc.sum(pc.fill_null(clips.column("synthetic"), False)).as_py() or 0,
    )
    about = yaml.safe_dump(front_matter(exported, clips, files), sort_keys=False, allow_unicode=True)
    return f"---\n{about}---\n{page}".encode()


def front_matter(exported: ExportedSet, clips: pa.Table, files: Sequence[ExportedFile]) -> dict[str, Any]:
    """The YAML at the top (https://huggingface.co/docs/hub/datasets-cards).

    `datasets` caches a folder by its name and by what this says of the files, and not by the files. So it
    says something else for other files; else the next version would be read from the cache of the last one.
    """
    size = sum(file.bytes for file in files)
    content = hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
    licences = pc.unique(clips.column("licence_id")).to_pylist()
    known = HUB_LICENCES.get(licences[0]) if len(licences) == 1 else None
    licence = {"license": known} if known else {"license": "other", "license_name": "per-clip"}
    return {
        "pretty_name": f"WavCaps, re-created: {exported.name}",
        **licence,
        "language": ["en"],
        "task_categories": ["text-to-audio", "audio-classification"],
        "size_categories": [size_category(len(clips))],
        "tags": ["audio-captioning", "sound", "weakly-labelled", "croissant"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            }
        ],
        "dataset_info": {
            "config_name": "default",
            "description": f"{exported.name}, {content[:16]}",
            "splits": [{"name": "train", "num_bytes": size, "num_examples": len(clips)}],
            "download_size": size,
            "dataset_size": size,
        },
    }


def _sums(clips: pa.Table, columns: str) -> list[dict[str, Any]]:
    import duckdb

    with duckdb.connect() as database:
        database.register("clips", clips)
        rows: list[dict[str, Any]] = database.sql(SUMS.format(columns=columns)).to_arrow_table().to_pylist()
    return rows
