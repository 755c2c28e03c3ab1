"""Speed, measured: run as `python -m benchmarks.generator`."""
