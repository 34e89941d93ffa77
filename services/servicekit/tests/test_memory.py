"""What a process holds after it has settled."""

import subprocess
import sys

import pytest

PROGRAM = """
import gc
from pathlib import Path
from servicekit.memory import settle

def resident_kb():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))

loaded = [bytearray(4_000) for _ in range(10_000)]
kept = loaded[::100]
del loaded
before = resident_kb()
settle()
print(before - resident_kb(), gc.get_freeze_count())
"""


@pytest.mark.edge
def test_what_was_only_used_to_load_is_given_back_and_the_rest_is_not_looked_through_again() -> None:
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=50
    ).stdout
    given_back_kb, frozen = map(int, said.split())
    assert given_back_kb > 20_000, "half of the 40 MB that lie between what is kept"
    assert frozen > 1_000
