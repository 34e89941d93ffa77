"""Where a running gateway's configuration comes from."""

import time
from collections.abc import Callable
from pathlib import Path

from servicekit.logs import get_logger
from servicekit.settings import SettingsError
from voice_gateway.application.config import CallConfig

POLL_S = 1.0
"""How often the source is looked at. Kubernetes itself takes up to a minute to change a mounted ConfigMap."""

log = get_logger(__name__)


class StaticConfigSource:
    """One configuration for the life of the process."""

    def __init__(self, config: CallConfig) -> None:
        self._config = config

    def current(self) -> CallConfig:
        """Always the same."""
        return self._config


class FileConfigSource:
    """Follows a mounted ConfigMap directory, or a file.

    `current` compares the source's identity at most once in `POLL_S`, which takes some microseconds, and reads it again
    when it has changed: some thirty small files in memory, about a millisecond. A ConfigMap changes all its files at
    once by pointing "..data" elsewhere, so half an edit is never read. A bad edit is logged and counted, and the last
    good configuration stays.
    """

    def __init__(
        self,
        source: Path,
        load: Callable[[], CallConfig],
        *,
        initial: CallConfig,
        on_reload: Callable[[str], None] = lambda _result: None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` reads the whole configuration again and may raise SettingsError; `on_reload` is told "applied",
        "unchanged" or "refused".
        """
        self._source = source
        self._load = load
        self._config = initial
        self._on_reload = on_reload
        self._now_s = now_s
        self._seen = _identity(source)
        self._next_look_s = now_s() + POLL_S

    def current(self) -> CallConfig:
        """The newest good configuration."""
        now_s = self._now_s()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + POLL_S
            identity = _identity(self._source)
            if identity is not None and identity != self._seen:
                self._seen = identity
                self._reload()
        return self._config

    def _reload(self) -> None:
        try:
            config = self._load()
        except SettingsError as error:
            log.error("config_refused", problems=list(error.problems), kept_revision=self._config.revision)
            self._on_reload("refused")
            return
        if config.revision == self._config.revision:
            self._on_reload("unchanged")
            return
        log.info("config_applied", revision=config.revision, previous_revision=self._config.revision)
        self._config = config
        self._on_reload("applied")


def _identity(source: Path) -> object:
    """What differs once the source has changed; None while it cannot be looked at."""
    try:
        if not source.is_dir():
            return _stamp(source)
        data = source / "..data"
        if data.is_symlink():
            return str(data.readlink())
        return tuple((entry.name, _stamp(entry)) for entry in sorted(source.iterdir()))
    except OSError:
        return None


def _stamp(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size
