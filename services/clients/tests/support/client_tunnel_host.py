"""A host to open a tunnel to: a real sshd on loopback, and in place of kubectl a script that forwards a port."""

import asyncio
import contextlib
import getpass
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil

INSTALL = "These tests need a real sshd. Debian and Ubuntu: apt-get install openssh-server openssh-client."
SCRIPT = Path(__file__).resolve().parents[4] / "scripts" / "tunnel.sh"
STEP_S = 20.0

KUBECTL = '''#!{python}
"""`kubectl port-forward ... HERE:50051` without a cluster: HERE leads to the address in the file `{target}`, and
`{pods}` names the pods that are ready, if anybody may know."""
import asyncio, os, sys
if "get" in sys.argv:
    sys.exit(print(open("{pods}").read()) if os.path.exists("{pods}") else 1)
if "--fail" in os.environ.get("KUBECTL", ""):
    sys.exit("error: unable to forward port")
here = int(sys.argv[-1].split(":")[0])
with open("{log}", "a") as log:
    log.write(f"{{os.getpid()}} {{' '.join(sys.argv[1:])}}\\n")
async def carry(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def take(reader, writer):
    host, _, port = open("{target}").read().strip().rpartition(":")
    try:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
    except OSError:
        writer.close()
        return
    await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))
async def main():
    server = await asyncio.start_server(take, "127.0.0.1", here)
    print(f"Forwarding from 127.0.0.1:{{here}} -> 50051", flush=True)
    await server.serve_forever()
asyncio.run(main())
'''

REAL = """#!/bin/sh
export KUBECONFIG='{config}'
case "$*" in *port-forward*) echo "$$ $*" >>'{log}' ;; esac
exec '{kubectl}' "$@"
"""


def free_port() -> int:
    """Of loopback, free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Host:
    """`headnode`, for `tunnel.sh -F config headnode`."""

    folder: Path
    config: Path
    target: Path
    log: Path
    sshd: asyncio.subprocess.Process
    local_port: int
    remote_port: int

    def command(self, *arguments: str) -> list[str]:
        """A call of the script."""
        ports = ["--local-port", str(self.local_port), "--remote-port", str(self.remote_port)]
        return [str(SCRIPT), "-F", str(self.config), *ports, *arguments]

    @property
    def environ(self) -> dict[str, str]:
        """For the script."""
        return {**os.environ, "VOICE_TUNNEL_STATE": str(self.folder / "state"), "VOICE_TUNNEL_LOOK_S": "0.1"}

    def pods(self, *names: str) -> None:
        """These are ready."""
        (self.folder / "pods.new").write_text(" ".join(names))
        (self.folder / "pods.new").replace(self.folder / "pods")

    @property
    def forwards(self) -> list[tuple[int, str]]:
        """Process and arguments of each port-forward that was started."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(int(pid), rest) for pid, _, rest in (line.partition(" ") for line in lines)]

    async def forwarded(self, times: int) -> None:
        """Wait until port-forwards were started so often."""
        async with asyncio.timeout(STEP_S):
            while len(self.forwards) < times:  # noqa: ASYNC110 - another process tells it, in a file
                await asyncio.sleep(0.02)

    def drop_connections(self) -> None:
        """End what serves the SSH connections, as a lost network or a restarted host does."""
        for child in psutil.Process(self.sshd.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Run the script to its end: its status, and what it wrote."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            env=self.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(STEP_S):
            out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()

    @contextlib.asynccontextmanager
    async def up(self, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The script in the foreground, once its way is open."""
        with (self.folder / "up.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *self.command(*options, "headnode"),
                env=self.environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
            )
        try:
            async with asyncio.timeout(STEP_S):
                while (await self.run("headnode", "status"))[0] != 0 or not self.forwards:
                    assert process.returncode is None, self.said
                    await asyncio.sleep(0.05)
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
                async with asyncio.timeout(STEP_S):
                    await process.wait()

    @property
    def said(self) -> str:
        """By `up`, so far."""
        return (self.folder / "up.log").read_text()


async def _succeed(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 0, (command, err.decode())


@contextlib.asynccontextmanager
async def tunnel_host(folder: Path, target: str, *, real_kubectl: str = "") -> AsyncIterator[Host]:
    """An sshd of this user on loopback, and port-forwards on it that lead to `target`; with `real_kubectl`, the path of
    one, that runs in the stand-in's place, with this process's KUBECONFIG.
    """
    sshd = shutil.which("sshd", path=f"/usr/sbin:/usr/local/sbin:{os.environ.get('PATH', '')}")
    assert sshd is not None, INSTALL
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    target_file, log = folder / "target", folder / "forwards.log"
    target_file.write_text(target)
    kubectl = bin_folder / "kubectl"
    if real_kubectl:
        kubectl.write_text(REAL.format(config=os.environ.get("KUBECONFIG", ""), log=log, kubectl=real_kubectl))
    else:
        kubectl.write_text(KUBECTL.format(python=sys.executable, target=target_file, log=log, pods=folder / "pods"))
    kubectl.chmod(0o755)
    for name in ("host_key", "user_key"):
        await _succeed("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    shutil.copy(folder / "user_key.pub", folder / "authorized")
    port = free_port()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"PermitRootLogin prohibit-password\nAllowTcpForwarding yes\nSetEnv PATH={bin_folder}:/usr/bin:/bin\n"
    )
    host_key = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    config = folder / "ssh_config"
    config.write_text(
        f"Host headnode\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {folder}/user_key\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known_hosts\n"
        "  StrictHostKeyChecking yes\n  BatchMode yes\n"
    )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # noqa: PTH103 - sshd's privilege separation wants it
    with (folder / "sshd.log").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sshd, "-D", "-e", "-f", str(folder / "sshd_config")), stdin=asyncio.subprocess.DEVNULL, stderr=errors
        )
    try:
        async with asyncio.timeout(STEP_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                assert process.returncode is None, (folder / "sshd.log").read_text()
                await asyncio.sleep(0.02)
        yield Host(folder, config, target_file, log, process, free_port(), free_port())
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.returncode is None else []
        if process.returncode is None:
            process.kill()
            await process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
