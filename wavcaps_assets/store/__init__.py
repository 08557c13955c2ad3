"""The store of tables, audio and checkpoints: a folder or a bucket, and append logs."""
