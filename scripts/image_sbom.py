#!/usr/bin/env python3
"""A software bill of materials of the environment that runs this: CycloneDX 1.5 as JSON, on standard output.

Usage: image_sbom.py NAME      VERSION, REVISION and SOURCE_DATE_EPOCH come from the environment, if they are set.

It lists the Python packages with their licences, Python itself and, where dpkg's list is there, Debian's packages. The
same contents give the same bytes: the serial number is made from them, and the time is SOURCE_DATE_EPOCH or left out.
Needs nothing but Python, so that a builder stage has nothing to install for it.
"""

import json
import os
import platform
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

DPKG_STATUS = Path("/var/lib/dpkg/status")
OS_RELEASE = Path("/etc/os-release")
OWN = "voice-workflow"


def python_components() -> Iterator[dict[str, Any]]:
    """One of each installed distribution, pip's tools included where they are."""
    for distribution in metadata.distributions():
        message = cast(Message, distribution.metadata)
        name = re.sub(r"[-_.]+", "-", str(message["Name"])).lower()
        purl = f"pkg:pypi/{quote(name)}@{quote(distribution.version)}"
        yield {
            "type": "library", "bom-ref": purl, "name": name, "version": distribution.version, "purl": purl,
            **licences_of(message),
        }  # fmt: skip


def licences_of(message: Message) -> dict[str, Any]:
    """CycloneDX's `licenses`, or nothing where the metadata says nothing short."""
    expression = str(message["License-Expression"] or "")
    if expression:
        return {"licenses": [{"expression": expression}]}
    short = str(message["License"] or "").strip()
    if short and len(short) < 60 and "\n" not in short:
        return {"licenses": [{"license": {"name": short}}]}
    named = [
        str(line).rpartition("::")[2].strip() for line in message.get_all("Classifier", []) if "License ::" in line
    ]
    return {"licenses": [{"license": {"name": name}} for name in named]} if named else {}


def debian_components(status: Path = DPKG_STATUS, release: Path = OS_RELEASE) -> Iterator[dict[str, Any]]:
    """What dpkg says is installed; empty where there is no dpkg."""
    if not status.is_file():
        return
    system = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release.read_text("utf-8"), re.MULTILINE))
    for entry in status.read_text("utf-8").split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", entry, re.MULTILINE))
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        distribution = f"{system.get('ID', 'debian')}-{system.get('VERSION_ID', '')}".rstrip("-")
        purl = (
            f"pkg:deb/{system.get('ID', 'debian')}/{quote(name)}@{quote(version)}"
            f"?arch={architecture}&distro={quote(distribution)}"
        )
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def document(name: str) -> dict[str, Any]:
    interpreter = {
        "type": "platform", "bom-ref": "python", "name": "python", "version": platform.python_version(),
        "purl": f"pkg:generic/python@{platform.python_version()}", "licenses": [{"license": {"id": "PSF-2.0"}}],
    }  # fmt: skip
    unique = {each["bom-ref"]: each for each in (interpreter, *python_components(), *debian_components())}
    components = [unique[ref] for ref in sorted(unique)]
    image: dict[str, Any] = {"type": "container", "bom-ref": name, "name": name, "group": OWN}
    image["version"] = os.environ.get("VERSION") or "unknown"
    if revision := os.environ.get("REVISION"):
        image["properties"] = [{"name": "org.opencontainers.image.revision", "value": revision}]
    about: dict[str, Any] = {
        "component": image,
        "tools": {"components": [{"type": "application", "name": Path(__file__).name}]},
    }
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        about["timestamp"] = datetime.fromtimestamp(int(epoch), UTC).isoformat().replace("+00:00", "Z")
    contents = json.dumps([about, components], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, contents)}",
        "version": 1,
        "metadata": about,
        "components": components,
        "dependencies": [{"ref": name, "dependsOn": [each["bom-ref"] for each in components]}],
    }


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: image_sbom.py NAME", file=sys.stderr)
        return 2
    json.dump(document(sys.argv[1]), sys.stdout, indent=1, sort_keys=True)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
