"""A Prometheus of its own: Debian's binaries, a folder and a port that end with it."""

import asyncio
import json
import os
import shutil
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

INSTALL = (
    "prometheus and promtool are not installed, so dashboards and rules were not executed. "
    "Debian and Ubuntu: apt-get install --no-install-recommends prometheus."
)
SCRAPE_S = 1
READY_S = 20.0
ANSWER_S = 10.0


class PrometheusError(RuntimeError):
    """It did not start, or it refused a query; the text is its own."""


def installed() -> bool:
    """Whether both commands are there."""
    return all(map(shutil.which, ("prometheus", "promtool")))


@dataclass(frozen=True, slots=True)
class Target:
    """What is scraped, with the labels that a ServiceMonitor would give it."""

    address: str
    job: str
    pod: str
    namespace: str = "voice-workflow"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running one."""

    url: str

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """Series at this moment. Raises PrometheusError with its own words."""
        answer = await self._ask("query", {"query": expr})
        result: list[dict[str, Any]] = answer["result"] if answer["resultType"] != "scalar" else [answer]
        return result

    async def query_range(self, expr: str, begin_s: float, end_s: float, step_s: float) -> list[dict[str, Any]]:
        """Series over a time; seconds since 1970. Raises PrometheusError."""
        asked = {"query": expr, "start": begin_s, "end": end_s, "step": step_s}
        result: list[dict[str, Any]] = (await self._ask("query_range", asked))["result"]
        return result

    async def exemplars(self, expr: str, begin_s: float, end_s: float) -> list[dict[str, Any]]:
        """Exemplars of the series that an expression names."""
        found: list[dict[str, Any]] = await self._ask(
            "query_exemplars", {"query": expr, "start": begin_s, "end": end_s}
        )
        return found

    async def healthy_targets(self) -> list[str]:
        """Pods whose last scrape went well."""
        targets = (await self._ask("targets", {}))["activeTargets"]
        return [target["labels"]["pod"] for target in targets if target["health"] == "up"]

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health and last error."""
        groups = (await self._ask("rules", {}))["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def _ask(self, what: str, values: Mapping[str, object]) -> Any:
        return await asyncio.to_thread(_get, f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(values)}")


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as response:
            return json.load(response)["data"]
    except urllib.error.HTTPError as error:
        raise PrometheusError(_told(error.read().decode(errors="replace"))) from error
    except OSError as error:
        raise PrometheusError(str(error)) from error


def _told(body: str) -> str:
    """Its own words: JSON once it is ready, plain text before."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.strip()


@asynccontextmanager
async def prometheus(folder: Path, targets: Sequence[Target], rules: Sequence[Path] = ()) -> AsyncIterator[Prometheus]:
    """Scrapes `targets` every second and evaluates `rules` as often. Raises PrometheusError if it does not start."""
    if not installed():
        raise PrometheusError(INSTALL)
    port = _free_port()
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(_config(targets, [_quickened(path, folder) for path in rules])))
    log = folder / "prometheus.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
            stdout=out,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "GOMAXPROCS": "1"},  # it shares the machine with what it measures
        )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        await _until_ready(server, process, log)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _until_ready(server: Prometheus, process: asyncio.subprocess.Process, log: Path) -> None:
    for _ in range(int(READY_S / 0.2)):
        if process.returncode is not None:
            break
        try:
            await server.query("1")
        except PrometheusError:
            await asyncio.sleep(0.2)
        else:
            return
    raise PrometheusError(f"Prometheus did not start:\n{(await asyncio.to_thread(log.read_text))[-2000:]}")


def _config(targets: Sequence[Target], rules: Sequence[Path]) -> dict[str, Any]:
    jobs: dict[str, list[dict[str, Any]]] = {}
    for target in targets:
        labels = {"namespace": target.namespace, "pod": target.pod}
        jobs.setdefault(target.job, []).append({"targets": [target.address], "labels": labels})
    return {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": job, "static_configs": static} for job, static in jobs.items()],
    }


def _quickened(path: Path, folder: Path) -> Path:
    """The rules, evaluated every second: a run lasts for less than one of their own intervals."""
    rules = yaml.safe_load(path.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        group["interval"] = f"{SCRAPE_S}s"
    copy = folder / f"rules-{path.name}"
    copy.write_text(yaml.safe_dump(rules))
    return copy


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
