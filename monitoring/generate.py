"""Write helm/voice-workflow/dashboards/*.json: python -m monitoring.generate [OUTPUT_FOLDER]"""

import json
import sys
from pathlib import Path

from monitoring.grafana import Page, to_json
from monitoring.pages_calls import OVERVIEW, TURNS
from monitoring.pages_service import BACKENDS, CAPACITY, DEPLOYS

CHART = Path(__file__).parents[1] / "helm/voice-workflow"
PAGES: tuple[Page, ...] = (OVERVIEW, TURNS, BACKENDS, CAPACITY, DEPLOYS)


def written(folder: Path) -> list[Path]:
    """A file for each page."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for page in PAGES:
        path = folder / f"{page.uid.removeprefix('voice-workflow-')}.json"
        path.write_text(json.dumps(to_json(page), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    written(Path(sys.argv[1]) if len(sys.argv) > 1 else CHART / "dashboards")
