"""How many clips each rule of stage 1 removed, compared with the paper."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from wavcaps_assets.filtering.rules import reasons_of
from wavcaps_assets.filtering.settings import FilterSettings
from wavcaps_assets.show.plots import shares
from wavcaps_assets.show.previews import cell
from wavcaps_assets.tables.stage import Stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Ablation(BaseModel):
    """Clips before and after stage 1 in the paper's ablation study, with the quotation."""

    model_config = ConfigDict(extra="forbid")

    before: int
    after: int
    section: str = Field(alias="from")
    words: str


class PaperFunnel(BaseModel):
    """Stage 1 of one source in the paper: clips, and where the paper gives each figure."""

    model_config = ConfigDict(extra="forbid")

    clips_in: int
    clips_in_from: str
    removed: int
    removed_from: str
    removed_words: str
    kept: int
    kept_from: str
    ablation: Ablation


@dataclass(frozen=True)
class Funnel:
    """The clips before stage 1, and those that each rule removed.

    Attributes:
        clips_in: the number of input clips.
        removed: the number of removed clips by reason, in the order of the rules; 0 for a rule that is on and
            removed none.
    """

    clips_in: int
    removed: Mapping[str, int]

    @property
    def kept(self) -> int:
        return self.clips_in - sum(self.removed.values())


def funnel_of(stage: Stage, settings: FilterSettings) -> Funnel:
    """The funnel of the result of `filter_clips` with these settings."""
    counted = Counter(stage.dropped.column("reason").to_pylist())
    rules = reasons_of(settings)
    # A reason that is not a rule of this stage is from the audio step.
    earlier = sorted(counted.keys() - {*rules})
    removed = {reason: counted[reason] for reason in (*earlier, *rules)}
    return Funnel(stage.kept.num_rows + stage.dropped.num_rows, removed)


def paper_funnels() -> dict[str, PaperFunnel]:
    """The paper's funnels by source, from `paper_funnel.toml`."""
    text = resources.files(__package__).joinpath("paper_funnel.toml").read_text("utf-8")
    return {source: PaperFunnel.model_validate(values) for source, values in tomllib.loads(text).items()}


def as_table(funnel: Funnel, paper: PaperFunnel | None) -> str:
    """The funnel as a Markdown table: clips and their share of the input, and the paper's figures."""
    lines = ["| | clips | share |", "| --- | ---: | ---: |"]
    lines.append(f"| in | {funnel.clips_in:,} | |")
    for reason, clips in funnel.removed.items():
        lines.append(f"| {cell(reason)} | -{clips:,} | {_share(clips, funnel.clips_in)} |")
    lines.append(f"| **kept** | {funnel.kept:,} | {_share(funnel.kept, funnel.clips_in)} |")
    if paper is None:
        return "\n".join(lines)
    whole = paper.clips_in
    lines += [
        "",
        "The paper's figures for this source:",
        "",
        "| | clips | share | where |",
        "| --- | ---: | ---: | --- |",
        f"| in | {whole:,} | | {cell(paper.clips_in_from)} |",
        f"| both rules | about -{paper.removed:,} | {_share(paper.removed, whole)} "
        f"| {cell(paper.removed_from)} |",
        f"| **kept** | about {paper.kept:,} | {_share(paper.kept, whole)} | {cell(paper.kept_from)} |",
        "",
        f"“{paper.removed_words}” ({paper.removed_from}). The ablation study has other counts: "
        f"{paper.ablation.before:,} before and {paper.ablation.after:,} after ({paper.ablation.section}).",
    ]
    return "\n".join(lines)


def as_plot(funnel: Funnel, paper: PaperFunnel | None) -> Figure:
    """The shares of kept and removed clips, in percent, with the paper's."""
    groups: dict[str, dict[str, float]] = {"here": {"kept": funnel.kept, **funnel.removed}}
    if paper is not None:
        groups["paper"] = {"kept": paper.kept, "both rules": paper.removed}
    return shares(groups, "share of the clips (%)")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""
