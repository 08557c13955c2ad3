"""What good captions are, as a whole: the promise that a manifest is published on."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
from pydantic import BaseModel, Field

from wavcaps_assets.checks.verdict import Verdict
from wavcaps_assets.stages import Stage


class QualitySettings(BaseModel):
    """How much of a partition may be at fault before nothing of it is published."""

    max_faulty_share: float = Field(
        0.0, ge=0, le=1, description="share of captions that any one rule of stage 3 may still complain of"
    )
    max_entity_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="the same for named entities, of which spaCy sees some too many",
    )
    max_dropped_share: float = Field(
        0.6, ge=0, le=1, description="share of clips that stages 2 and 3 may drop; the paper: 0 to 0.22"
    )
    min_mean_words: float = Field(3.0, description="fewest words a caption on average; Table III: 5.87")
    max_mean_words: float = Field(15.0, description="most words a caption on average; Table III: 9.79")


def check_caption_rules(captions: pa.Table, settings: QualitySettings) -> Verdict:
    """Judges the published captions once more, each by itself: one sentence, length, entities, digits, ...

    Args:
        captions: `schemas.CAPTIONS`.
    """
    from wavcaps_assets.postprocessing.rules import RULE_PRESETS, Candidate, judge

    if captions.num_rows == 0:
        return Verdict(True, "no captions, no faults", {"captions": 0})
    rows = captions.to_pylist()
    judged = judge([Candidate(row["caption"], row["text"]) for row in rows], RULE_PRESETS["paper"])
    found: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for row, verdict in zip(rows, judged, strict=True):
        for finding in verdict.findings:
            found[finding.rule] += 1
            examples.setdefault(finding.rule, f"{row['clip_id']}: {row['caption']!r} ({finding.detail})")
    shares = {rule: count / len(rows) for rule, count in found.items()}
    faults = [
        f"{share:.1%} {rule}, such as {examples[rule]}"
        for rule, share in shares.items()
        if share > (settings.max_entity_share if rule == "named_entity" else settings.max_faulty_share)
    ]
    return Verdict(
        not faults,
        "; ".join(faults) or f"{len(rows)} captions, each a sentence about a sound by every rule",
        {"captions": len(rows), **{f"share {rule}": share for rule, share in shares.items()}},
    )


def check_caption_statistics(filtered: pa.Table, captions: Stage, settings: QualitySettings) -> Verdict:
    """Whether enough clips came through stages 2 and 3, and captions have the length of captions.

    Args:
        filtered: `schemas.FILTERED_CLIPS`: what stage 2 was given.
        captions: what stage 3 kept and dropped.
    """
    if filtered.num_rows == 0:
        return Verdict(True, "no clips, nothing to caption", {"clips": 0})
    kept = captions.kept.column("caption").to_pylist()
    dropped_share = 1 - len(kept) / filtered.num_rows
    mean_words = sum(len(caption.split()) for caption in kept) / max(len(kept), 1)
    unique = len({caption.lower() for caption in kept})
    problems = []
    if dropped_share > settings.max_dropped_share:
        problems.append(
            f"{dropped_share:.0%} of the clips have no caption (at most {settings.max_dropped_share:.0%})"
        )
    shortest, longest = settings.min_mean_words, settings.max_mean_words
    if kept and not shortest <= mean_words <= longest:
        problems.append(f"{mean_words:.1f} words a caption, not {shortest:g} to {longest:g}")
    balance = f"{len(kept)} of {filtered.num_rows} clips captioned, {mean_words:.1f} words on average"
    return Verdict(
        not problems,
        "; ".join(problems) or balance,
        {
            "clips": filtered.num_rows,
            "captions": len(kept),
            "share dropped": dropped_share,
            "mean words": mean_words,
            "unique captions": unique,
        },
    )
