"""How a run goes, while it goes: one line that is redrawn on a terminal, a line now and then elsewhere."""

import time
from typing import TextIO

from voice_clients.load.records import Records
from voice_clients.load.scenario import Scenario
from voice_clients.load.statistics import percentile

PLAIN_EVERY_S = 5.0
CLEAR_LINE = "\r\x1b[K"


class Progress:
    """Written to `out`, which is not where the report goes. None: quiet."""

    def __init__(self, out: TextIO | None) -> None:
        self._out = out
        self._redraws = out is not None and out.isatty()
        self._shown_s = 0.0

    def show(self, records: Records, scenario: Scenario, now_ns: int) -> None:
        """Tell how it goes, if it is time to."""
        if self._out is None:
            return
        if self._redraws:
            self._out.write(f"{CLEAR_LINE}{progress_line(records, scenario, now_ns)}")
        elif time.monotonic() - self._shown_s >= PLAIN_EVERY_S:
            self._shown_s = time.monotonic()
            self._out.write(f"{progress_line(records, scenario, now_ns)}\n")
        self._out.flush()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._out is not None and self._redraws:
            self._out.write(CLEAR_LINE)
            self._out.flush()


def progress_line(records: Records, scenario: Scenario, now_ns: int) -> str:
    """Fits 80 columns with ordinary figures."""
    seconds = (now_ns - records.began_ns) / 1e9
    responses = sorted(records.responses_ms())
    timing = "-"
    if responses:
        timing = f"{percentile(responses, 0.5):.0f}/{percentile(responses, 0.95):.0f} ms"
    answered = sum(turn.answered for turn in records.turns)
    return (
        f"{seconds:4.0f}/{scenario.duration_s:.0f} s  {records.calls.up}/{scenario.users} calls  "
        f"{answered} turns  p50/p95 {timing}  {len(records.errors)} errors"
    )
