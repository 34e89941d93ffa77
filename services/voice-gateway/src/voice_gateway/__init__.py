"""Streaming voice gateway. Read docs/explanation/architecture.md first."""
