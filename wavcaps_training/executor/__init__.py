"""The CUDA executor: runs steps that need a GPU, on the devices of this machine or of a cluster."""
