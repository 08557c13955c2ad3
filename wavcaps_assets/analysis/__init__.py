"""Describes the set: texts, captions, durations and licences, compared with the paper's figures."""
