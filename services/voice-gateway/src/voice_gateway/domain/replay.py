"""A recording run through the turn machine again, and whether it came to the end that the call came to."""

from dataclasses import dataclass

from voice_gateway.domain.actions import Action
from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.codec import decode
from voice_gateway.domain.events import Event
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.recording import Outcome, Recording
from voice_gateway.domain.turn import TurnMachine


@dataclass(frozen=True, slots=True)
class Step:
    """One event and what the machine made of it."""

    line: int
    """Of the file; 0 where the journal was never in one."""
    now: int
    """ms of call time."""
    before: Phase
    event: Event
    phase: Phase
    """After the event."""
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """All steps of a recording, and what is to be said about them."""

    recording: Recording
    steps: tuple[Step, ...]
    problems: tuple[str, ...]
    """Why the replay is not the call: one sentence each. Empty where it is."""
    notes: tuple[str, ...]
    """What else one should know, such as that the file ends with a crash."""


def replay(recording: Recording) -> Replay:
    """Run a recording through a new machine, as far as both go."""
    journal = recording.journal
    machine = TurnMachine(state=decode(CallState, journal.opening))
    places = recording.lines or (0,) * len(journal.entries)
    steps: list[Step] = []
    failure = ""
    for line, (now, event) in zip(places, journal.entries, strict=True):
        before = machine.phase
        try:
            actions = machine.handle(event, now=now)
        except Exception as error:  # noqa: BLE001 - a call that failed in the machine is what one replays
            failure = f"Line {line}: the machine fails at {type(event).__name__} while {before}: {error!r}."
            break
        steps.append(Step(line, now, before, event, machine.phase, tuple(actions)))
    problems, notes = _verdict(recording, machine, failure)
    return Replay(recording, tuple(steps), problems, notes)


def _verdict(recording: Recording, machine: TurnMachine, failure: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    problems: list[str] = []
    notes: list[str] = []
    outcome, damage, cut = recording.outcome, recording.damage, recording.cut
    if failure:
        (notes if outcome is not None and outcome.status == "internal" else problems).append(failure)
    if damage is not None and not damage.unread and outcome is None:
        notes.append(f"Line {damage.line} is broken ({damage.why}) and the last: the process died there.")
    elif damage is not None:
        problems.append(f"Line {damage.line} is damaged ({damage.why}); {damage.unread} more lines were not read.")
    if cut:
        notes.append(f"The journal was cut off ({cut}); what came after is not known.")
    if outcome is None:
        if damage is None:
            notes.append("The journal has no outcome: the call was still in progress, or the process died.")
    elif not cut and damage is None and not failure:
        came_to = Outcome.of(machine, outcome.status)
        if came_to != outcome:
            problems.append(
                f"The call ended {_place(outcome)}, the replay {_place(came_to)}: "
                "this gateway decides otherwise than the one that held the call."
            )
    return tuple(problems), tuple(notes)


def _place(outcome: Outcome) -> str:
    return f"{outcome.phase} in turn {outcome.turn}, generation {outcome.generation}"
