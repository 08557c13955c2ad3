"""Where tables, audio and checkpoints are kept: a folder or a bucket, and append logs."""
