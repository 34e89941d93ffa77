"""The live ConfigMap, what the chart last set, and what it would set: which keys differ, and whose edit would be lost.

Called by deploy_gateway.sh, with nothing but Python's own library (3.8 or newer).

    config_drift.py manifest NAME             stdin: Helm's JSON of a release, or a manifest; stdout: that ConfigMap
    config_drift.py compare LIVE LAST NEXT    three ConfigMaps as JSON (empty file: none); tells what differs
    config_drift.py overlay LIVE LAST NEXT    values (JSON) that make the chart set what somebody edited

`compare` ends with 0 when nobody's edit is at stake, and with 3 when one is.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

DRIFT = 3
USAGE = 2

# Values of the chart that have a name of their own; every other setting goes through config.extra.
NAMED = {
    "LLM_MODEL": ("llm", "model"),
    "LLM_TEMPERATURE": ("llm", "temperature"),
    "LLM_MAX_TOKENS": ("llm", "maxTokens"),
    "LLM_SYSTEM_PROMPT": ("llm", "systemPrompt"),
    "ASR_LANGUAGE": ("asr", "language"),
    "ASR_SAMPLE_RATE": ("asr", "sampleRate"),
    "TTS_VOICE": ("tts", "voice"),
    "TTS_SAMPLE_RATE": ("tts", "sampleRate"),
}


@dataclass(frozen=True)
class Key:
    """One setting; None where it is not set."""

    name: str
    live: str | None
    last: str | None
    next: str | None

    @property
    def is_edited(self) -> bool:
        """Somebody changed it by hand, and the upgrade would undo that."""
        return self.live not in (self.last, self.next) and (self.last is not None or self.next is not None)

    @property
    def is_foreign(self) -> bool:
        """Somebody added it by hand; the chart never set it and leaves it alone."""
        return self.live is not None and self.last is None and self.next is None

    @property
    def is_changed(self) -> bool:
        """This upgrade changes it, and nobody else did."""
        return self.live == self.last and self.live != self.next


def configmap_in(text: str, name: str) -> str:
    """YAML of the ConfigMap `name` in a manifest, or in Helm's JSON of a release; "" where it is not there."""
    if text.lstrip().startswith("{"):
        text = str(json.loads(text).get("manifest", ""))
    named = re.compile(rf"(?m)^  name: *[\"']?{re.escape(name)}[\"']? *$")
    for document in re.split(r"(?m)^---.*$", text):
        if re.search(r"(?m)^kind: *ConfigMap *$", document) and named.search(document):
            return document
    return ""


def data_of(path: str) -> dict[str, str] | None:
    """`data` of a ConfigMap in a JSON file; None for an empty file."""
    text = Path(path).read_text(encoding="utf-8")
    if not text.strip():
        return None
    return {str(name): str(value) for name, value in (json.loads(text).get("data") or {}).items()}


def keys(live: dict[str, str], last: dict[str, str] | None, coming: dict[str, str]) -> list[Key]:
    """All settings of the three, by name. Without a last release, what is live counts as an edit."""
    names = sorted({*live, *(last or {}), *coming})
    return [Key(name, live.get(name), (last or {}).get(name), coming.get(name)) for name in names]


def overlay(found: list[Key]) -> dict[str, object]:
    """Values that keep every edited key as it is live. Keys that were taken away by hand cannot be kept away."""
    config: dict[str, dict[str, str]] = {}
    for key in found:
        if key.is_edited and key.live is not None:
            group, name = NAMED.get(key.name, ("extra", key.name))
            config.setdefault(group, {})[name] = key.live
    return {"config": config} if config else {}


def shown(value: str | None) -> str:
    """A value on one line, as JSON writes it."""
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False)


def tell(found: list[Key]) -> None:
    """What differs, for the person at the terminal."""
    edited = [key for key in found if key.is_edited]
    if edited:
        print("Edited by hand since the chart last set it:")
    for key in edited:
        print(f"  {key.name}\n    chart set   {shown(key.last)}")
        print(f"    live        {shown(key.live)}\n    would set   {shown(key.next)}")
    changed = [key for key in found if key.is_changed]
    if changed:
        print("Changed by this upgrade:")
    for key in changed:
        print(f"  {key.name}: {shown(key.live)} -> {shown(key.next)}")
    foreign = [key for key in found if key.is_foreign]
    if foreign:
        names = ", ".join(key.name for key in foreign)
        print(f"Added by hand, and left alone because the chart does not set it: {names}")


def main(arguments: list[str]) -> int:
    """The exit status."""
    if len(arguments) == 2 and arguments[0] == "manifest":
        sys.stdout.write(configmap_in(sys.stdin.read(), arguments[1]))
        return 0
    if len(arguments) == 4 and arguments[0] in ("compare", "overlay"):
        live, last, coming = (data_of(path) for path in arguments[1:])
        # Nothing is live, or the chart makes no ConfigMap (config.existingConfigMap): nobody's edit is at stake.
        found = [] if live is None or coming is None else keys(live, last, coming)
        if arguments[0] == "overlay":
            json.dump(overlay(found), sys.stdout, ensure_ascii=False)
            return 0
        tell(found)
        return DRIFT if any(key.is_edited for key in found) else 0
    sys.stderr.write(f"{__doc__}\n")
    return USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
