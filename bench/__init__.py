"""Benchmarks. They print distributions and ratios, and assert nothing about time."""
