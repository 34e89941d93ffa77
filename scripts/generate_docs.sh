#!/usr/bin/env bash
# Make again what is made: the turn diagram, the reference pages, the dashboards, what the chart has of others, the
# licence lists.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/python scripts/generate_diagram.py
.venv/bin/python scripts/generate_reference.py
.venv/bin/python -m monitoring.generate
.venv/bin/python scripts/generate_chart.py
.venv/bin/python scripts/licenses.py
