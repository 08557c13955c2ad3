"""Sets that others published, and our own exports: read, imported as sources, and audited for leaks."""
