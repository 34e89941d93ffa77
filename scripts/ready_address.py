"""Print the address in a service's "ready" log line; exit 1 when there is none yet.

Usage: ready_address.py LOG_FILE
"""

import json
import sys
from pathlib import Path


def main() -> int:
    for line in Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(entry, dict) and entry.get("event") == "ready":
            address = entry.get("address") or f"127.0.0.1:{entry['port']}"
            print(address)
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
