"""What the cluster is told of this pod: how many calls it holds, and what became of edits.

Nothing of it may disturb calls: requests are few, have deadlines, and wait in a bounded queue; a cluster that does not
permit them (403) is asked once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, Protocol, TypeAlias

from servicekit.logs import get_logger
from voice_gateway.adapters.kubernetes_api import FORBIDDEN, PodEvent, RequestFailed

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""A ReplicaSet that shrinks takes pods with a lower number first
(kubernetes.io/docs/concepts/workloads/controllers/replicaset)."""

LOOK_S = 1.0
MIN_PERIOD_S = 10.0
"""Between two changes of the annotation. Kubernetes' own advice is not to change it with every sample of a metric."""

MAX_PERIOD_S = 300.0
"""Between two attempts, while they fail."""

MAX_EVENTS = 16
"""That wait. An edit is seen once a second at most, so more are the sign of an API server that does not answer; the
oldest is dropped then, since the newest says how things are."""

EVENT_ATTEMPTS = 4
EVENT_RETRY_S = 1.0
"""After the first attempt, then twice as long each time."""

What: TypeAlias = Literal["deletion_cost", "event"]
Result: TypeAlias = Literal["ok", "failed", "forbidden", "dropped"]

log = get_logger(__name__)


class PodApi(Protocol):
    """The requests."""

    async def annotate(self, annotations: dict[str, str]) -> None:
        """Set annotations of the pod. Raises RequestFailed."""
        ...

    def named(self) -> str:
        """A name for an event."""
        ...

    async def post(self, event: PodEvent, *, name: str, at: datetime) -> None:
        """Post an event; twice by the same name is once. Raises RequestFailed."""
        ...


class PodReports:
    """Tells the cluster."""

    def __init__(
        self, api: PodApi, *, deletion_cost: bool, events: bool, on_result: Callable[[What, Result], None]
    ) -> None:
        self._api = api
        self._deletion_cost = deletion_cost
        self._events = events
        self._on_result = on_result
        self._waiting: deque[tuple[PodEvent, str, datetime]] = deque()
        self._posted = asyncio.Event()

    @property
    def state(self) -> dict[str, bool]:
        """Which reports are made: those that are wanted, and permitted as far as is known."""
        return {"deletion_cost": self._deletion_cost, "events": self._events}

    def event(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Have an event posted, soon."""
        if not self._events:
            return
        if len(self._waiting) == MAX_EVENTS:
            self._waiting.popleft()
            self._on_result("event", "dropped")
        self._waiting.append((PodEvent(kind, reason, message), self._api.named(), datetime.now(UTC)))
        self._posted.set()

    async def run(self, calls: Callable[[], int]) -> None:
        """Report until cancelled. `calls` says how many are in progress."""
        async with asyncio.TaskGroup() as tasks:
            if self._deletion_cost:
                tasks.create_task(self._follow(calls), name="pod-deletion-cost")
            if self._events:
                tasks.create_task(self._post_all(), name="pod-events")

    async def _follow(self, calls: Callable[[], int]) -> None:
        """Keep the annotation at the number of calls. The first one is set in any case: a container that was started
        again finds the number of the one before.
        """
        told: int | None = None
        period_s = MIN_PERIOD_S
        while True:
            if (running := calls()) == told:
                await asyncio.sleep(LOOK_S)
                continue
            try:
                await self._api.annotate({DELETION_COST: str(running)})
            except RequestFailed as error:
                if self._given_up("deletion_cost", error):
                    self._deletion_cost = False
                    return
                period_s = min(2 * period_s, MAX_PERIOD_S)
            else:
                self._on_result("deletion_cost", "ok")
                told, period_s = running, MIN_PERIOD_S
            await asyncio.sleep(period_s)

    async def _post_all(self) -> None:
        while True:
            while self._waiting:
                await self._post(*self._waiting.popleft())
                if not self._events:
                    self._waiting.clear()
                    return
            self._posted.clear()
            await self._posted.wait()

    async def _post(self, event: PodEvent, name: str, at: datetime) -> None:
        for attempt in range(EVENT_ATTEMPTS):
            if attempt:
                await asyncio.sleep(EVENT_RETRY_S * 2 ** (attempt - 1))
            try:
                await self._api.post(event, name=name, at=at)
            except RequestFailed as error:
                if self._given_up("event", error):
                    self._events = False
                    return
            else:
                self._on_result("event", "ok")
                return
        self._on_result("event", "dropped")

    def _given_up(self, what: What, error: RequestFailed) -> bool:
        """Count a failure; True where another attempt is in vain."""
        if error.status == FORBIDDEN:
            log.warning("kubernetes_forbidden", what=what, help="the service account's role does not permit it")
            self._on_result(what, "forbidden")
            return True
        log.info("kubernetes_failed", what=what, why=str(error))
        self._on_result(what, "failed")
        return False
