"""Stage 3: captions are repaired and judged once more; what the rules do not take is set aside."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.postprocessing.rule_settings import RuleSettings
from wavcaps_assets.postprocessing.rules import Candidate, judge
from wavcaps_assets.schemas import CAPTIONS, DROPPED, LLM_CAPTIONS
from wavcaps_assets.stages import Stage, drop

STAGE = "captions"


def postprocess(captions: pa.Table, settings: RuleSettings) -> Stage:
    """Repairs and judges every caption of stage 2.

    Args:
        captions: `schemas.LLM_CAPTIONS`.

    Returns:
        `schemas.CAPTIONS`, and the clips whose caption a rule does not take, with the first such
        rule as the reason and every complaint in the detail.
    """
    rows = LLM_CAPTIONS.check(captions).to_pylist()
    candidates = [Candidate(row["caption"], row["text"]) for row in rows]
    kept, dropped = [], []
    for row, judged in zip(rows, judge(candidates, settings), strict=True):
        if judged.accepted:
            kept.append(
                {
                    "clip_id": row["clip_id"],
                    "source": row["source"],
                    "text": row["text"],
                    "caption": judged.caption,
                    "repairs": judged.repairs,
                }
            )
        else:
            detail = f"{judged.complaint}: {judged.caption[:120]!r}"
            dropped.append(drop(row["clip_id"], row["source"], STAGE, judged.findings[0].rule, detail))
    return Stage(CAPTIONS.from_rows(kept), DROPPED.from_rows(dropped))
