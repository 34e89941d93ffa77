"""Dashboards and alert rules: what they are made from, and what runs them against a real Prometheus."""
