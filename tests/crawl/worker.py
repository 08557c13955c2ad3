"""One of several workers that crawl the same partitions into a bucket: all times are shorter than in life.

`python -m tests.crawl.worker FACTOR`, with the settings of `settings.py` in the environment.
"""

from __future__ import annotations

import sys

from tests.network.quota_machine import shorten
from tests.support.crawl_everything import main
from wavcaps_assets.store import shared_leases

if __name__ == "__main__":
    factor = float(sys.argv[1])
    shorten(factor)
    for name in ("BEAT_S", "EXPIRES_S", "POLL_S"):
        setattr(shared_leases, name, getattr(shared_leases, name) / factor)
    main()
