"""What the paper's models are trained on: sets of one's own, put together with the clips of this pipeline."""
