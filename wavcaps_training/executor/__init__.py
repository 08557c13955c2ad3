"""The CUDA executor: steps that need a GPU, and the devices, locks and clusters that it hands out."""
