"""Callers without a sound card, for tests and benchmarks: rooms that echo, networks that delay."""
