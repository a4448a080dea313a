"""Benchmarks: compared side by side in one run, never timed tests."""
