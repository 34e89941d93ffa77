"""How soon a gateway notices that callers are gone without a packet: python -m bench.vanished [--calls 20]

Callers talk through a line that then swallows every packet, for good (bench/network.py; needs root and iproute2). To
clients that keep checkpoints something is sent all the time, and what is not acknowledged tells. To a silent client of
the first contract nothing is sent: only keepalive's pings tell. Until then such a call holds a place.

noticed: from the moment when the line goes down to the end of the call in the gateway's log.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from contextlib import ExitStack

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from bench.network import BEHIND, FAR, Network, network, possible
from bench.processes import Served, gateway, settle_in
from bench.table import percentile, show
from voice_clients.caller import Call, CallConfig, connect
from voice_clients.events import LEGACY, MODERN, Capability
from voice_clients.pacing import Pacer
from voice_fakes import FakesOptions, serving_fakes
from voice_fakes.script import build_script

RATE_HZ = 16_000
CHUNK = RATE_HZ // 50
BEGIN_WITHIN_S = 3.0
TALK_S = 3.0
AT_MOST_S = 90.0
LOOK_S = 0.05
KINDS = {
    "keeps checkpoints": MODERN | {Capability.CHECKPOINTS},
    "first contract": LEGACY,
}


async def talk(target: str, kind: str, number: int, calls: int) -> None:
    """Send silence, and read what comes, until cancelled. The line may be gone: then nobody is told."""
    await asyncio.sleep(BEGIN_WITHIN_S * number / calls)
    with contextlib.suppress(Exception):
        async with connect(target, CallConfig(sample_rate_hz=RATE_HZ, capabilities=KINDS[kind])) as call:
            pacer = Pacer(RATE_HZ)
            reading = asyncio.create_task(_read(call), name=f"read-{number}")
            try:
                while True:
                    await pacer.recorded(CHUNK)
                    await call.send_audio(bytes(2 * CHUNK))
            finally:
                reading.cancel()


async def _read(call: Call) -> None:
    async for _ in call:
        pass


async def ended(served: Served) -> int:
    """Calls that the gateway knows to be over."""
    return (await asyncio.to_thread(served.log.read_text)).count('"event": "call_ended"')


async def measure(kind: str, calls: int, net: Network) -> list[float]:
    """Seconds until each call's end was noticed."""
    net.line.weather.down = False
    async with serving_fakes(build_script({}), FakesOptions(riva="0.0.0.0:0", llm="0.0.0.0:0")) as fakes:
        settings = {
            "GATEWAY_LISTEN_ADDRESS": f"{FAR}:0",
            "RIVA_URI": f"{BEHIND}:{fakes.riva_port}",
            "LLM_BASE_URL": f"http://{BEHIND}:{fakes.llm_port}/v1",
        }
        async with gateway(fakes, settings=settings, entering=net.far.entering) as served:
            talks = [
                asyncio.create_task(talk(served.target, kind, number, calls), name=f"talk-{number}")
                for number in range(calls)
            ]
            await asyncio.sleep(BEGIN_WITHIN_S + TALK_S)
            net.line.weather.down = True
            down_s, noticed = time.monotonic(), list[float]()
            while len(noticed) < calls and time.monotonic() < down_s + AT_MOST_S:
                await asyncio.sleep(LOOK_S)
                count = await ended(served)
                noticed += [time.monotonic() - down_s] * (count - len(noticed))
            for task in talks:
                task.cancel()
            await asyncio.gather(*talks, return_exceptions=True)
            return noticed


async def measure_all(calls: int, net: Network) -> dict[str, list[float]]:
    """By kind of client."""
    return {kind: await measure(kind, calls, net) for kind in KINDS}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20)
    options = parser.parse_args()
    if not possible():
        print("bench.vanished: needs root and iproute2", file=sys.stderr)
        return 2
    settle_in()
    rows = []
    with ExitStack() as stack:
        net = stack.enter_context(network())
        net.near.enter()
        for kind, noticed in asyncio.run(measure_all(options.calls, net)).items():
            least, half, most = min(noticed, default=0.0), percentile(noticed, 0.5), max(noticed, default=0.0)
            rows.append([kind, f"{len(noticed)} of {options.calls}", f"{least:.1f}", f"{half:.1f}", f"{most:.1f}"])
    show("Callers who are gone without a packet", ["clients", "noticed", "after s, least", "p50", "most"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
