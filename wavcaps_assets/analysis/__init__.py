"""What the set is like: its texts, captions, durations and licences, beside the paper's figures."""
