"""The world outside, one technology per file."""
