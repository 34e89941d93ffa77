"""What the fakes do and when, over numbers and given times."""
