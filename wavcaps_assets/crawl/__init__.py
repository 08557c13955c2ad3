"""The crawl of a source: what is listed, what changed since the last crawl, and the account of every clip."""
