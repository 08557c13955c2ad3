"""Results as text, for the terminal. Crawled text is shown without control characters."""

from __future__ import annotations

from collections.abc import Sequence

from wavcaps_assets.show.text import shown
from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_training.search.index import Hit


def listed_clips(hits: Sequence[Hit], store: Store) -> str:
    """Clips that a text found: a line with score, id and caption, and below it source, licence and file."""
    lines = []
    for hit in hits:
        clip = hit.clip
        lines += [
            f"{hit.rank:>3}  {hit.score:6.3f}  {shown(clip['clip_id'])}  {shown(clip['caption'])}",
            f"     {clip['duration_s']:6.1f} s  {shown(clip['attribution'])}",
            f"               {clip['source']}, {clip['licence_id']}: {_file(store, clip['audio_path'])}",
        ]
    return "\n".join(lines)


def listed_captions(hits: Sequence[Hit]) -> str:
    """Captions that a sound found, each with a clip that has it."""
    lines = []
    for hit in hits:
        notes = [shown(hit.clip["clip_id"])]
        if hit.same_caption > 1:
            notes.append(f"and {hit.same_caption - 1} other clips")
        if hit.own:
            notes.append("its own caption")
        lines.append(f"{hit.rank:>3}  {hit.score:6.3f}  {shown(hit.clip['caption'])}  ({', '.join(notes)})")
    return "\n".join(lines)


def _file(store: Store, path: str) -> str:
    try:
        return shown(store.describe(path))
    except StoreError:
        return f"{shown(path)!r}, which is not in the store"
