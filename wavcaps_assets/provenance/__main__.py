"""`python -m wavcaps_assets.provenance CLIP_ID`: the same as `wavcaps provenance CLIP_ID`."""

from wavcaps_assets.provenance.command import provenance

if __name__ == "__main__":
    provenance(prog_name="python -m wavcaps_assets.provenance")
