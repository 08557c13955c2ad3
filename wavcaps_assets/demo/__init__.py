"""The embedded default: a small real corpus behind a local server that speaks the four sources' protocols."""
