"""Arguments of `voice load`."""

import argparse
import re
from dataclasses import replace
from pathlib import Path

from voice_clients.errors import BadInputError
from voice_clients.load.scenario import LONGEST_CHUNK_MS, SCENARIOS, SHORTEST_CHUNK_MS, Scenario

LAG_LIMIT_MS = 10.0
"""A lag of the generator is part of every figure: of a response of 500 ms this is two per cent."""
MOST_USERS = 1000


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """All but the connection's."""
    names = ", ".join(f"{name} ({item.users} for {item.duration_s:g} s)" for name, item in SCENARIOS.items())
    parser.add_argument(
        "--scenario", choices=sorted(SCENARIOS), default="baseline", metavar="NAME", help=f"{names}; baseline without"
    )
    parser.add_argument("--users", type=int, metavar="N", help="callers at once")
    parser.add_argument("--duration", type=float, metavar="S", help="seconds until no turn begins any more")
    parser.add_argument("--ramp", type=float, metavar="S", help="seconds in which all callers dial; 0: all at once")
    parser.add_argument(
        "--think-time", metavar="S|MIN-MAX", help="silence between an answer's end and the next speech (0.5-1.5)"
    )
    parser.add_argument("--turns", type=int, metavar="N", help="hang up and dial again after so many turns (0: never)")
    parser.add_argument("--interrupt", type=float, metavar="SHARE", help="share of answers that are spoken over (0)")
    parser.add_argument("--chunk-ms", type=int, metavar="MS", help="audio in a message (20; deployed clients: 256)")
    parser.add_argument(
        "--answer-timeout", type=float, metavar="S", help="a turn without an answer by then is lost (15)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of think times and interruptions (0)")
    parser.add_argument(
        "--wav", type=Path, action="append", default=[], metavar="FILE|DIR", help="what is said; repeatable"
    )
    parser.add_argument("--language", default="", metavar="TAG", help="what is spoken (the gateway's own)")
    parser.add_argument("--legacy", action="store_true", help="be clients of the first contract")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write report.json and report.html there")
    parser.add_argument(
        "--fail-over",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="exit with 1 where the value is over it; repeatable: p95_response_ms=1500, error_share=0.01",
    )
    parser.add_argument(
        "--max-lag-ms",
        type=float,
        default=LAG_LIMIT_MS,
        metavar="MS",
        help=f"p99 of the generator's own lag beyond which a run is not valid ({LAG_LIMIT_MS:g})",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", dest="as_json", help="the report as JSON on stdout")


def scenario_of(arguments: argparse.Namespace) -> Scenario:
    """The named scenario with what was asked for in its place. Raises BadInputError."""
    named = SCENARIOS[arguments.scenario]
    wishes = {
        "users": arguments.users,
        "duration_s": arguments.duration,
        "ramp_s": arguments.ramp,
        "turns_per_call": arguments.turns,
        "interrupt_share": arguments.interrupt,
        "chunk_ms": arguments.chunk_ms,
        "answer_timeout_s": arguments.answer_timeout,
        "seed": arguments.seed,
    }
    given = {name: value for name, value in wishes.items() if value is not None}
    if arguments.think_time is not None:
        given["think_s"] = parse_range(arguments.think_time)
    changed = replace(named, **given)
    _check(changed, arguments.max_lag_ms)
    reshaped = {"users", "duration_s", "ramp_s", "turns_per_call"} & set(given)
    return replace(changed, name="custom") if reshaped and changed != named else changed


def _check(scenario: Scenario, max_lag_ms: float) -> None:
    rules = (
        ("--users", scenario.users, 1 <= scenario.users <= MOST_USERS, f"1 to {MOST_USERS}"),
        ("--duration", scenario.duration_s, 0 < scenario.duration_s < float("inf"), "more than 0 seconds"),
        ("--ramp", scenario.ramp_s, 0 <= scenario.ramp_s <= scenario.duration_s, "0 to the duration"),
        ("--turns", scenario.turns_per_call, scenario.turns_per_call >= 0, "0 or more"),
        ("--interrupt", scenario.interrupt_share, 0 <= scenario.interrupt_share <= 1, "a share from 0 to 1"),
        (
            "--chunk-ms",
            scenario.chunk_ms,
            SHORTEST_CHUNK_MS <= scenario.chunk_ms <= LONGEST_CHUNK_MS,
            f"{SHORTEST_CHUNK_MS} to {LONGEST_CHUNK_MS}",
        ),
        ("--answer-timeout", scenario.answer_timeout_s, scenario.answer_timeout_s > 0, "more than 0 seconds"),
        ("--max-lag-ms", max_lag_ms, max_lag_ms > 0, "more than 0"),
    )
    for name, value, good, allowed in rules:
        if not good:
            raise BadInputError(f"{name} {value:g}: {allowed} is allowed.")


def parse_range(text: str) -> tuple[float, float]:
    """`1.5` or `0.5-2`, in seconds. Raises BadInputError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)(?:\s*-\s*(\d+(?:\.\d+)?))?\s*", text)
    if match is None or (match[2] is not None and float(match[2]) < float(match[1])):
        raise BadInputError(f"--think-time {text}: give seconds, or the shortest and the longest, such as 0.5-2.")
    return float(match[1]), float(match[2] or match[1])
