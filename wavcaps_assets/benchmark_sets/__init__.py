"""What the paper's models are trained on: your own data sets, combined with the clips of this pipeline."""
