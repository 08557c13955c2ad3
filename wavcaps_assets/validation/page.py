"""The raters' page: one HTML file with its audio, which makes no network requests.

It names neither clips nor sources, and the order of an item's captions reveals nothing. Crawled text,
captions and credits are data in the page, never markup or script.
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

from wavcaps_assets.show.style import base_style
from wavcaps_assets.validation.study import Study, UnusableClip

if TYPE_CHECKING:
    from pathlib import Path

# Characters that can end a script element or a line of script, or start a comment or an entity.
UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def page_audio(flac: Path) -> bytes:
    """A stored clip as MP3, which every browser plays, at its own sample rate (32 kHz), about 60 kbit/s.

    With FLAC, a page of 160 clips would have about 200 MB.

    Raises:
        UnusableClip: it cannot be read, or has no samples.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(flac, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise UnusableClip(f"its audio cannot be read: {error.error_string}") from error
    if not len(samples):
        raise UnusableClip("its audio has no samples")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
    return buffer.getvalue()


def render_page(study: Study) -> str:
    """The page as HTML."""
    folder = files("wavcaps_assets.validation")
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    style = base_style() + folder.joinpath("page.css").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("wavcaps_assets", "validation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The script and the style are inserted byte by byte: the policy allows their hashes.
    return environment.get_template("page.html").render(
        policy=_policy(script, style),
        script=Markup(script),
        style=Markup(style),
        study=Markup(as_script_data(_shown(study))),
        audio={item: base64.b64encode(sound).decode() for item, sound in sorted(study.audio.items())},
    )


def as_script_data(value: Any) -> str:
    """JSON that cannot end the script element around it."""
    return json.dumps(value).translate(UNSAFE)


def _shown(study: Study) -> dict[str, Any]:
    """The data of the page: opaque ids and captions, in an order that does not reveal which is which."""
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
        # Sorted: a credit can contain a clip's title, and must not reveal its item.
        "credits": sorted(set(study.key.column("attribution").to_pylist())),
    }


def _policy(script: str, style: str) -> str:
    """A Content-Security-Policy that allows this script, this style and the page's own audio only."""
    return (
        f"default-src 'none'; script-src '{_source_hash(script)}'; style-src '{_source_hash(style)}'; "
        "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _source_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
