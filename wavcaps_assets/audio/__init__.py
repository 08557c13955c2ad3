"""Audio: fetched, decoded, and kept as FLAC, 32 kHz, mono."""
