"""The search page, for a browser on this machine."""
