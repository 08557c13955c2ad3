"""Clips' audio: fetched, decoded, and stored as FLAC, 32 kHz, mono."""
