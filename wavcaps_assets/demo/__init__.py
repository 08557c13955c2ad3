"""The embedded default: a small real corpus behind a local server with the protocols of the four sources."""
