"""The software bill of materials that an image carries."""

import importlib.util
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/image_sbom.py"


def written(**environ: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("VERSION", "REVISION")}
    return subprocess.run(
        [sys.executable, str(SCRIPT), "voice-test"], env={**clean, **environ}, check=True, capture_output=True,
        text=True, timeout=50,
    ).stdout  # fmt: skip


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("image_sbom", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_it_lists_what_is_installed_with_versions_and_licences() -> None:
    bom: dict[str, Any] = json.loads(written(VERSION="1.2", REVISION="abc", SOURCE_DATE_EPOCH="1700000000"))
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")
    assert bom["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert bom["metadata"]["component"]["name"] == "voice-test"
    assert bom["metadata"]["component"]["version"] == "1.2"
    refs = [each["bom-ref"] for each in bom["components"]]
    assert len(refs) == len(set(refs))
    by_ref = {each["bom-ref"]: each for each in bom["components"]}
    version = metadata.version("pydantic-core")
    assert by_ref[f"pkg:pypi/pydantic-core@{version}"]["licenses"] == [{"expression": "MIT"}]
    assert by_ref[f"pkg:pypi/grpcio@{metadata.version('grpcio')}"]["licenses"]
    assert by_ref["python"]["version"] == ".".join(str(part) for part in sys.version_info[:3])
    assert set(bom["dependencies"][0]["dependsOn"]) == set(refs)


def test_the_same_contents_give_the_same_bytes() -> None:
    first = written(SOURCE_DATE_EPOCH="1700000000")
    assert first == written(SOURCE_DATE_EPOCH="1700000000")
    assert first != written(SOURCE_DATE_EPOCH="1700000000", VERSION="2")


def test_debian_packages_come_from_dpkg(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(
        "Package: libflite1\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.2-5\n"
        "Description: small\n more\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
        "Package: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 2024a-0+deb12u1\n"
    )
    release = tmp_path / "os-release"
    release.write_text('PRETTY_NAME="Debian"\nVERSION_ID="12"\nID=debian\n')
    found = list(module().debian_components(status, release))
    assert [each["purl"] for each in found] == [
        "pkg:deb/debian/libflite1@2.2-5?arch=amd64&distro=debian-12",
        "pkg:deb/debian/tzdata@2024a-0%2Bdeb12u1?arch=all&distro=debian-12",
    ]
    assert list(module().debian_components(tmp_path / "none", release)) == []
