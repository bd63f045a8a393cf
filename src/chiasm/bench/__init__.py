"""Benchmarks: explainers × models × data sets × metrics, with a leader board that tells what differs from noise."""
