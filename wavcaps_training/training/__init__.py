"""Training runs: steps and epochs, saving and resuming, and several devices."""
