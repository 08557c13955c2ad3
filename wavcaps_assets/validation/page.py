"""The raters' page: one HTML file with all of its audio, which asks nothing of any network.

It names neither clips nor sources, and each item's captions stand in an order that says nothing. What
else is crawled text, captions and credits, is data in it and never mark-up or script.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wavcaps_assets.validation.draw import Study, UnusableClip

if TYPE_CHECKING:
    from pathlib import Path

# Characters that end a script element or a line of script, or begin a comment or an entity.
UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def page_audio(flac: Path) -> bytes:
    """A stored clip as MP3, which every browser plays, at its own sample rate (32 kHz), some 60 kbit/s.

    As FLAC, a page of 160 clips would hold some 200 MB.

    Raises:
        UnusableClip: it cannot be read, or holds no samples.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(flac, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise UnusableClip(f"its audio cannot be read: {error.error_string}") from error
    if not len(samples):
        raise UnusableClip("its audio holds no samples")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
    return buffer.getvalue()


def render_page(study: Study) -> str:
    """The page as HTML."""
    folder = files("wavcaps_assets.validation")
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("wavcaps_assets", "validation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Between the tags stands the text itself, to the byte: its hash is what the policy allows.
    return environment.get_template("page.html").render(
        policy=_policy(script, style),
        script=Markup(script),
        style=Markup(style),
        study=Markup(as_script_data(_shown(study))),
        audio={item: base64.b64encode(sound).decode() for item, sound in sorted(study.audio.items())},
    )


def as_script_data(value: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(value).translate(UNSAFE)


def _shown(study: Study) -> dict[str, Any]:
    """What the page knows: opaque names and captions, in an order that does not tell them apart."""
    items = []
    for row in study.key.to_pylist():
        captions = [{"id": row["caption_id"], "text": row["caption"]}]
        if row["second_caption_id"] is not None:
            captions.append({"id": row["second_caption_id"], "text": row["second_caption"]})
        items.append({"id": row["item_id"], "captions": sorted(captions, key=lambda caption: caption["id"])})
    return {
        "id": study.study_id,
        "compares": study.compares,
        "items": sorted(items, key=lambda item: item["id"]),
        # In the alphabet's order: a credit may hold the clip's title, which must not name an item.
        "credits": sorted(set(study.key.column("attribution").to_pylist())),
    }


def _policy(script: str, style: str) -> str:
    """A Content-Security-Policy: this script, this style, audio of the page itself, and nothing else."""
    return (
        f"default-src 'none'; script-src '{_source_hash(script)}'; style-src '{_source_hash(style)}'; "
        "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _source_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
