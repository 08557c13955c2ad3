"""What we measure, beside a peer or a limit: `python -m benchmarks.NAME`."""
