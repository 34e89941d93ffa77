"""Where a running gateway's configuration comes from."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from servicekit.logs import get_logger
from servicekit.settings import SettingsError
from voice_gateway.adapters.followed_files import Refusal, stamp
from voice_gateway.application.config import CallConfig, ConfigSource

POLL_S = 1.0
"""How often the source is looked at. Kubernetes itself takes up to a minute to change a mounted ConfigMap."""

log = get_logger(__name__)


@dataclass(slots=True)
class ConfigHistory:
    """What became of edits."""

    applied_at_s: float = field(default_factory=time.time)
    """When the configuration in force was taken, in Unix time."""
    refusal: Refusal | None = None
    """The last edit that was refused."""
    refused: bool = False
    """Whether that is what the source holds now."""


class FollowedConfig(ConfigSource, Protocol):
    """A configuration, and what became of edits."""

    history: ConfigHistory


class StaticConfigSource:
    """One configuration for the life of the process."""

    def __init__(self, config: CallConfig) -> None:
        self._config = config
        self.history = ConfigHistory()

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
        changed_keys: Callable[[], Sequence[str]] = tuple,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` reads the whole configuration again and may raise SettingsError; `on_reload` is told "applied",
        "unchanged" or "refused"; `changed_keys` names the keys that `load` found changed, for the log.
        """
        self._source = source
        self._load = load
        self._config = initial
        self._on_reload = on_reload
        self._changed_keys = changed_keys
        self._now_s = now_s
        self._seen = _identity(source)
        self._next_look_s = now_s() + POLL_S
        self.history = ConfigHistory()

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

    def catch_up(self) -> None:
        """Take an edit that came between the reading of `initial` and now: a start takes seconds."""
        self._reload(quiet=True)

    def _reload(self, *, quiet: bool = False) -> None:
        """`quiet`: finding nothing new is no news."""
        history = self.history
        try:
            config = self._load()
        except SettingsError as error:
            if _identity(self._source) != self._seen:
                return  # it changed while it was read, and the next look reads it again
            log.error("config_refused", problems=list(error.problems), kept_revision=self._config.revision)
            history.refusal, history.refused = Refusal(time.time(), error.problems), True
            self._on_reload("refused")
            return
        history.refused = False
        if config.revision == self._config.revision:
            if not quiet:
                self._on_reload("unchanged")
            return
        log.info(
            "config_applied",
            revision=config.revision,
            previous_revision=self._config.revision,
            keys=list(self._changed_keys()),
        )
        self._config = config
        history.applied_at_s = time.time()
        self._on_reload("applied")


def _identity(source: Path) -> object:
    """What differs once the source has changed; None while it cannot be looked at."""
    try:
        if not source.is_dir():
            return stamp(source)
        data = source / "..data"
        if data.is_symlink():
            return str(data.readlink())
        return tuple((entry.name, stamp(entry)) for entry in sorted(source.iterdir()))
    except OSError:
        return None
