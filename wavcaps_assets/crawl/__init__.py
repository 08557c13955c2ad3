"""The crawl of a source: its listing, the crawl diff, the history of every clip, and its ledger."""
