"""A real server process for the journeys, which can be stopped and started again on the same data and port."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS = 30
COMMAND_SECONDS = 500


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """`neuronjury serve` on 127.0.0.1 over the data folder `data`."""

    def __init__(self, data: Path, n_processes: int = 1):
        self.n_processes = n_processes
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {**os.environ, "NEURONJURY_DATA": str(data), "NEURONJURY_PUBLIC_URL": self.url}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "app", "serve", "--port", str(self.port)]
        command += ["--processes", str(self.n_processes)]
        # In a group of its own, so that a kill reaches all of its processes.
        self._process = subprocess.Popen(command, env=self.environment, start_new_session=True)
        self._wait_until_it_answers()

    def kill(self) -> None:
        """Ends it as a power cut would: no chance to finish anything."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def command(self, *arguments: str) -> str:
        """Runs `neuronjury` with these arguments on the same data; gives what it printed."""
        command = [sys.executable, "-m", "app", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=COMMAND_SECONDS)
        if done.returncode:
            raise RuntimeError(f"neuronjury {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def _wait_until_it_answers(self) -> None:
        for _ in range(START_SECONDS * 20):
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=1)
                return
            except (urllib.error.URLError, ConnectionError):
                if self._process is None or self._process.poll() is not None:
                    break
                # Waits for the process to end, in vain if all is well: a pause that notices a crash at once.
                try:
                    self._process.wait(timeout=0.05)
                except subprocess.TimeoutExpired:
                    continue
        raise RuntimeError("the server did not start")
