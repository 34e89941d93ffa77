"""scripts/tunnel.sh with a real sshd: a way to a gateway that drops is opened again, and the call is resumed."""

import asyncio
import signal
from pathlib import Path

import psutil
import pytest
from client_fake_gateway import silence, tone
from client_harness import run_voice
from client_resuming_gateway import PHRASES, QUESTION, RATE, World, gateway
from client_tunnel_host import STEP_S, Host, tunnel_host

from voice_clients.audio_file import write_wav

pytestmark = [pytest.mark.edge, pytest.mark.timeout(120)]


def question(folder: Path) -> str:
    path = folder / "question.wav"
    write_wav(path, tone(0.4) + silence(0.1), RATE)
    return str(path)


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    processes = [psutil.Process(pid)] if psutil.pid_exists(pid) else []
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, STEP_S)
    assert not alive


@pytest.mark.parametrize("what", ["port-forward", "ssh"])
async def test_a_way_that_drops_in_the_middle_of_an_answer_is_a_resume(tmp_path: Path, what: str) -> None:
    world = World()
    async with gateway(world) as target, tunnel_host(tmp_path, target) as host, host.up():

        def drop(call: int, chunk: int) -> None:
            if (call, chunk) != (0, 15):
                return
            if what == "ssh":
                host.drop_connections()
            else:
                psutil.Process(host.forwards[-1][0]).kill()

        world.on_chunk = drop
        done = await run_voice(tmp_path, "say", question(tmp_path), "--target", f"127.0.0.1:{host.local_port}")
        assert (done.status, done.err) == (0, ""), (done, host.said)
        assert "connection lost, resuming ..." in done.out
        assert "resumed after " in done.out
        assert len(world.calls) == 2
        assert world.history == [["user", QUESTION], ["assistant", "all of it"]]
        assert len(host.forwards) == 2
        words = "the port-forward ended; opening it again" if what == "port-forward" else "opening it again in 1 s"
        assert words in host.said
    assert done.out.count("assistant: ") == 1
    assert f"Phrase {PHRASES - 1}." in done.out


async def test_up_status_down(tmp_path: Path) -> None:
    world = World()
    async with gateway(world) as target, tunnel_host(tmp_path, target) as host:
        assert await host.run("headnode", "status") == (
            1,
            f"tunnel: down: no tunnel to headnode runs for port {host.local_port}.\n",
        )
        async with host.up() as process:
            status, said = await host.run("headnode", "status")
            assert (status, said.split(":")[1]) == (0, " up")
            status, said = await host.run("headnode")
            assert status == 2
            assert f"runs already (process {process.pid})" in said
            (pid, arguments) = host.forwards[0]
            assert arguments == (
                "--namespace voice-workflow port-forward --address 127.0.0.1 service/voice-gateway-gateway "
                f"{host.remote_port}:50051"
            )
            assert await host.run("headnode", "down") == (0, "tunnel: down.\n")
            async with asyncio.timeout(STEP_S):
                assert await process.wait() == 0
            await gone(pid)
        assert (await host.run("headnode", "down"))[0] == 0
        assert not list((tmp_path / "state").iterdir())


async def test_it_leaves_a_pod_that_drains_for_one_that_is_ready(tmp_path: Path) -> None:
    async with gateway(World()) as target, tunnel_host(tmp_path, target) as host:
        host.pods("gateway-a", "gateway-b")
        async with host.up():
            assert " pod/gateway-a " in host.forwards[0][1]
            host.pods("gateway-b")
            await host.forwarded(2)
            await gone(host.forwards[0][0])
            assert " pod/gateway-b " in host.forwards[1][1]
            host.pods("gateway-b", "gateway-c")
            psutil.Process(host.forwards[1][0]).kill()
            await host.forwarded(3)
            assert " pod/gateway-c " in host.forwards[2][1], "another than the one that was lost"
            last = host.forwards[2][0]
        await gone(last)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_however_it_ends_nothing_stays_on_the_host(tmp_path: Path, how: signal.Signals) -> None:
    world = World()
    async with gateway(world) as target, tunnel_host(tmp_path, target) as host, host.up() as process:
        pid = host.forwards[0][0]
        ssh = [item for item in psutil.Process(process.pid).children() if item.name() == "ssh"]
        process.send_signal(how)
        async with asyncio.timeout(STEP_S):
            await process.wait()
        if how == signal.SIGKILL:
            ssh[0].kill()  # nobody was left to do it
        await gone(pid)
        await gone(ssh[0].pid)


def test_nothing_runs_on_a_dry_run(tmp_path: Path) -> None:
    host = Host(tmp_path, Path("/dev/null"), tmp_path, tmp_path / "log", None, 5001, 5002)  # type: ignore[arg-type]
    status, said = asyncio.run(host.run("--dry-run", "--context", "prod", "me@headnode"))
    assert status == 0
    assert "-L 127.0.0.1:5001:127.0.0.1:5002 me@headnode" in said
    assert "kubectl --context prod --namespace voice-workflow port-forward --address 127.0.0.1 " in said
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-oProxyCommand=x"], "-oProxyCommand=x is not known"),
        (["head;reboot"], "HOST head;reboot: letters, digits"),
        (["head", "sideways"], "sideways is not known; there are up, down and status."),
        (["head", "up", "now"], "now is one too many"),
        (["--namespace", "a b", "head"], "--namespace a b: letters, digits"),
        (["--local-port", "0", "head"], "port 0: a number from 1 to 65535 is needed."),
        (["head", "--context"], "--context needs a value"),
        ([], "Usage: scripts/tunnel.sh"),
    ],
)
def test_what_makes_no_sense_gets_a_sentence(tmp_path: Path, arguments: list[str], says: str) -> None:
    host = Host(tmp_path, Path("/dev/null"), tmp_path, tmp_path / "log", None, 5001, 5002)  # type: ignore[arg-type]
    status, said = asyncio.run(host.run(*arguments))
    assert status == 2
    assert says in said


async def test_a_host_that_cannot_be_reached_is_not_tried_for_ever(tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text("Host headnode\n  HostName 127.0.0.1\n  Port 1\n  BatchMode yes\n")
    host = Host(tmp_path, config, tmp_path, tmp_path / "log", None, 5003, 5004)  # type: ignore[arg-type]
    status, said = await host.run("headnode")
    assert status == 1
    assert "ssh to headnode failed (status 255)" in said
