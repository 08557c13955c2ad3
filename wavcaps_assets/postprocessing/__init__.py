"""Stage 3: rules that decide which captions are published, and mend what can be mended."""
