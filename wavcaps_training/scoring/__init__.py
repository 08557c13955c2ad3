"""Scores of checkpoints on benchmarks: any checkpoint, any benchmark, one file for each task."""
