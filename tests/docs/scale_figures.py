"""The arithmetic of docs/scale.md: what a number of clips takes, from settings and measured figures."""

from __future__ import annotations

from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.llm.tokens import DEFAULT_OUTPUT_A_TEXT, DEFAULT_PER_SIZE, size
from wavcaps_assets.network.quotas import DAY_S
from wavcaps_assets.network.settings import NetworkSettings
from wavcaps_assets.sources.freesound_settings import FreesoundSettings

# Of the paper's set: 403,050 clips, on average (section III.E).
MEAN_S = 67.59
# Of FLAC as stored and of a preview; seconds of audio that a core decodes, and searches for peaks, in one.
FLAC_BYTES_A_S, PREVIEW_BYTES_A_S = 32_900, 16_000
DECODED_S, PEAKS_S = 690, 500
# Of the tables and one version of 400,000 synthetic clips.
TABLE_BYTES = (138_617_618 + 26_389_398) / 400_000
# A description of FreeSound has 17.74 words (Table III). Assumed: six characters each.
TEXT = round(17.74 * 6)
MODEL = "gpt-4o-mini"
TB, GB = 1e12, 1e9


def days(requests: float, host: str) -> float:
    """How long a host's quota makes requests take."""
    quota = NetworkSettings().quota_of(host)
    assert quota.per_minute is not None
    a_day = quota.per_minute * 24 * 60
    return requests / min(a_day, quota.per_day or a_day)


def captions_usd(clips: int) -> tuple[float, float, float]:
    """Requests, and what they cost by the usual and the batch interface (USD)."""
    texts = CaptioningSettings().batch_size
    messages = load_prompt("paper", "freesound", Form.NUMBERED_LIST).messages(["x" * TEXT] * texts)
    price = load_prices().price(MODEL)
    assert price is not None
    requests = clips / texts
    tokens = requests * size(messages) * DEFAULT_PER_SIZE, clips * DEFAULT_OUTPUT_A_TEXT
    return requests, price.cost(*tokens), price.cost(*tokens, batch=True)


def figures(clips: int) -> dict[str, str]:
    """The table's column for a number of clips, by row."""
    pages = clips / FreesoundSettings.model_fields["page_size"].default
    requests, usd, batch_usd = captions_usd(clips)
    seconds = clips * MEAN_S
    return {
        "requests for the listing": f"{pages:,.0f}",
        "days for the listing, one key of FreeSound": f"{days(pages, 'freesound.org'):,.0f}",
        "days for the previews, from one other host": f"{days(clips, 'another.host'):,.0f}",
        "days for the originals, one key of FreeSound": f"{days(clips, 'freesound.org'):,.0f}",
        "download of previews": f"{seconds * PREVIEW_BYTES_A_S / TB:,.1f} TB",
        "download at one clip a second": f"{MEAN_S * PREVIEW_BYTES_A_S * 8 / 1e6:,.1f} Mbit/s",
        "stored audio": f"{seconds * FLAC_BYTES_A_S / TB:,.0f} TB",
        "decoding and storing, one core": f"{seconds / DECODED_S / DAY_S:,.1f} days",
        "fingerprints, one core": f"{seconds / PEAKS_S / DAY_S:,.1f} days",
        "tables with one version": f"{clips * TABLE_BYTES / GB:,.1f} GB",
        "requests for captions": f"{requests:,.0f}",
        "captions": f"{usd:,.0f} USD",
        "captions, by a batch interface": f"{batch_usd:,.0f} USD",
    }


# `python -m benchmarks.scale`: CPU seconds and peak memory (MB) with 400,000 and with 4 million clips.
STAGES = {
    "stage_1": ((1.2, 451), (11.2, 1_776)),
    "stage_2": ((2.5, 651), (19.8, 2_923)),
    "stage_3": ((8.0, 341), (76.9, 883)),
    "manifest": ((3.0, 956), (25.3, 5_196)),
    "wavcaps": ((2.8, 545), (16.4, 2_272)),
    "split": ((2.5, 756), (18.8, 3_007)),
    "duckdb_file": ((2.7, 767), (14.9, 2_614)),
    "wavcaps_json": ((11.9, 577), (71.7, 2_826)),
    "quality": ((83.8, 1_535), (374.3, 4_851)),
}


def stage_at(name: str, clips: int) -> tuple[str, str]:
    """CPU time and memory of a stage, on the line through its two measured points."""
    (small_s, small_mb), (large_s, large_mb) = STAGES[name]
    beyond = (clips - 400_000) / 3_600_000
    seconds = small_s + beyond * (large_s - small_s)
    return f"{seconds:,.0f} s", f"{(small_mb + beyond * (large_mb - small_mb)) / 1000:,.1f} GB"
