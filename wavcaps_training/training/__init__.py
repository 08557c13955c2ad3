"""A training run: what it does in a step and an epoch, how it is saved and resumed, on how many devices."""
