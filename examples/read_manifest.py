"""Reads the published manifest and decodes clips, without Dagster.

    python examples/read_manifest.py STORE [CLIPS]

STORE is a folder or s3://bucket/prefix: the value of WAVCAPS_STORE, or dagster_home/demo/store after
`make demo`.
"""

from __future__ import annotations

import sys

import numpy as np
import soundfile

from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables.asset_tables import TableStore


def main(address: str, clips: int = 5) -> None:
    store = open_store(address)
    manifest = TableStore(store).read(
        ["wavcaps"], columns=["clip_id", "caption", "audio_path", "duration_s", "attribution"]
    )
    print(f"{manifest.num_rows} clips, {sum(manifest['duration_s'].to_pylist()) / 3600:.1f} hours")
    for row in manifest.slice(0, clips).to_pylist():
        # A store in a bucket downloads the file for as long as it is read.
        with store.reading(row["audio_path"]) as path:
            samples, rate = soundfile.read(path)
        peak = np.abs(samples).max()
        print(f"{row['clip_id']}: {row['caption']} ({row['attribution']})")
        print(f"  {row['audio_path']}: {len(samples) / rate:.1f} s at {rate} Hz, peak {peak:.2f}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
