"""The real binary as a child process, on a free loopback port that it keeps across restarts."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

START_LIMIT = 60
STOP_LIMIT = 60


class Server:
    def __init__(self, binary, folder):
        self._binary = binary
        self._folder = folder
        self._log = folder / "log"
        self._process = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self):
        self._start()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def restart(self):
        self._process.terminate()
        if self._process.wait(STOP_LIMIT) != 0:
            raise RuntimeError(f"the server did not end well:\n{self.last_lines()}")
        self._start()

    def kill(self):
        """Ends it at once, whatever it is doing, and starts it again."""
        self._process.kill()
        self._process.wait()
        self._start()

    def last_lines(self):
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-80:])

    def _start(self):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AQUEDUCT_")
        }
        environment |= {
            "AQUEDUCT_SERVER_NAME": "localhost",
            "AQUEDUCT_LISTEN": f"127.0.0.1:{self._port}",
            "AQUEDUCT_DATABASE__PATH": str(self._folder / "database"),
            "AQUEDUCT_REGISTRATION__MODE": "open",
            "AQUEDUCT_RATE_LIMITS__ENABLED": "false",
        }
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [self._binary, "serve"],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_LIMIT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server does not start:\n{self.last_lines()}")
            time.sleep(0.02)

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/_matrix/client/versions", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False
