"""The Dagster side of training: checkpoints, scores, the comparison with the paper, the report."""
