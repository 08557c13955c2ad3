"""WavCaps as a lineage graph: crawl, audio, filter, caption, post-process, manifest."""
