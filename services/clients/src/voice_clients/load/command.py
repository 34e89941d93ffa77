"""`voice load`: from its arguments to its reports and its exit status."""

import argparse
import asyncio
import gc
import json
import os
import sys
from pathlib import Path

from voice_clients.caller import CallConfig
from voice_clients.channel import Security
from voice_clients.errors import BadInputError
from voice_clients.events import LEGACY, MODERN
from voice_clients.load.arguments import scenario_of
from voice_clients.load.page import page
from voice_clients.load.progress import Progress
from voice_clients.load.report import Report, ResumeFigures
from voice_clients.load.run import LoadOptions, run_load
from voice_clients.load.speech import read_pool
from voice_clients.load.statistics import Distribution
from voice_clients.load.thresholds import judge, parse_threshold, sentence
from voice_clients.load.user import RATE_HZ, Line

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def load(arguments: argparse.Namespace, targets: tuple[str, ...], security: Security, resume_for_s: float) -> int:
    """Run, report, judge. Returns the exit status; raises VoiceError."""
    scenario = scenario_of(arguments)
    thresholds = [parse_threshold(text) for text in arguments.fail_over]
    pool = read_pool(arguments.wav, RATE_HZ, scenario.chunk_ms)
    _prepare(arguments.report)
    config = CallConfig(
        language_code=arguments.language,
        session_id="voice-load",
        sample_rate_hz=RATE_HZ,
        capabilities=LEGACY if arguments.legacy else MODERN,
    )
    line = Line(targets, security, config, resume_for_s)
    gc.collect()
    gc.freeze()  # a full collection over all that was imported takes tens of ms, and callers would be late by them
    progress = Progress(None if arguments.quiet else sys.stderr)
    try:
        report = asyncio.run(run_load(LoadOptions(scenario, line, pool, arguments.max_lag_ms), progress))
    finally:
        progress.close()
    report.thresholds = judge(report, thresholds)
    _write(report, arguments.report)
    if arguments.as_json:
        _tell(json.dumps(report.document(), ensure_ascii=False))
    else:
        for text in summary(report):
            _tell(text)
        if arguments.report is not None:
            _tell(f"report     {arguments.report / 'report.html'}, {arguments.report / 'report.json'}")
    return _judge(report)


def _judge(report: Report) -> int:
    """Say what is wrong, and give the exit status."""
    for judgement in report.thresholds:
        if judgement.crossed:
            _complain(sentence(judgement))
    if not report.valid:
        _complain(f"The run is not valid: {report.generator.invalid_because}.")
    if report.run.interrupted:
        return INTERRUPTED
    # A generator that was late cannot tell whether thresholds were kept.
    failed = any(item.crossed for item in report.thresholds) or (bool(report.thresholds) and not report.valid)
    return 1 if failed else 0


def _prepare(folder: Path | None) -> None:
    """A report that cannot be written is told before the run."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"--report {folder} cannot be made: {error.strerror or error}.") from error
    if not os.access(folder, os.W_OK):
        raise BadInputError(f"--report {folder} cannot be written to.")


def _write(report: Report, folder: Path | None) -> None:
    if folder is None:
        return
    try:
        (folder / "report.json").write_text(json.dumps(report.document(), ensure_ascii=False, indent=1) + "\n")
        (folder / "report.html").write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"--report {folder} cannot be written to: {error.strerror or error}.") from error


def _tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is the output


def _complain(text: str) -> None:
    print(f"voice: {text}", file=sys.stderr, flush=True)  # noqa: T201 - for the person at the terminal


def summary(report: Report) -> list[str]:
    """The run in a few lines."""
    run, calls, turns, gaps, own = report.run, report.calls, report.turns, report.gaps, report.generator
    early = ", ended early" if run.interrupted else ""
    ends = f"{calls.ended_well} ended well, {calls.refused} refused, {calls.broken} broken"
    lost = f"{turns.failed} failed, {turns.lost} lost, {turns.cut_in} cut short"
    obeyed = f"{turns.interruptions_obeyed} of {turns.interrupting} interruptions obeyed"
    silences = f"{gaps.gaps} gaps in {gaps.answers_with_gaps} of {gaps.answers} answers"
    lines = [
        f"scenario   {run.scenario.name}: {run.scenario.users} users, {run.duration_s:.0f} s at {run.target}{early}",
        f"calls      {calls.dialled} dialled, {ends}, {calls.most_up} at once at most",
        f"turns      {turns.answered} answered, {lost}, {obeyed}",
        f"response   {_words(report.response_ms)}; end of speech to first answer audio received",
        f"set-up     {_words(report.setup_ms)}",
        f"barge-in   {_words(report.barge_in_ms)}",
        f"audio      jitter {_words(report.jitter_ms)}; {silences}",
        *_resumes(report.resumes),
    ]
    for stage in report.stages:
        lines.append(
            f"  {stage.stage.replace('_', ' '):<18} {stage.start_p50_ms:.0f} - {stage.end_p50_ms:.0f} ms (p95 "
            f"{stage.end_p95_ms:.0f})"
        )
    lines += [f"error      {reason}: {count}" for reason, count in report.errors.items()]
    verdict = "valid" if report.valid else "NOT VALID"
    late = f"{own.late_chunks} of {own.chunks} chunks late"
    lines.append(f"generator  {verdict}: loop lag p99 {own.lag_p99_ms:.1f} ms, {own.cores:.2f} cores, {late}")
    return lines


def _resumes(resumes: ResumeFigures) -> list[str]:
    """Nothing where no connection was lost."""
    if not resumes.count and not resumes.calls_lost:
        return []
    turns = f"{resumes.turns} turns in them, {resumes.turns_lost} lost, {resumes.turns_duplicated} duplicated"
    lines = [f"resumes    {resumes.count}; {turns}; {resumes.calls_lost} calls could not be resumed"]
    lines += [f"  {item.cause.lower():<18} gap {_words(item.gap_ms)}" for item in resumes.by_cause]
    return lines


def _words(item: Distribution) -> str:
    if not item.count:
        return "not measured"
    return f"p50 {item.p50:.0f}, p95 {item.p95:.0f}, p99 {item.p99:.0f}, max {item.max:.0f} ms ({item.count})"
