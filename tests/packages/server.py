"""The installed server, started in a chroot as a service manager would start it, and its API."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

START_LIMIT = 60
STOP_LIMIT = 60
WATCHDOG_SECONDS = 2
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Server:
    """Receives the notifications of the server in place of systemd."""

    def __init__(self, root, user, command, folder, environment=None):
        self._log = folder / "log"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._notified = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = root / "run" / "notify"
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        os.chmod(path, 0o777)
        variables = {
            "PATH": PATH,
            "AQUEDUCT_LISTEN": f"127.0.0.1:{port}",
            "NOTIFY_SOCKET": "/run/notify",
            "WATCHDOG_USEC": str(WATCHDOG_SECONDS * 1_000_000),
            **(environment or {}),
        }
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                ["chroot", f"--userspec={user}", root, *command],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.expect_notifications("READY=1")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def stop(self):
        self._process.terminate()
        status = self._process.wait(STOP_LIMIT)
        assert status == 0, f"the server ended with status {status}:\n{self._last_lines()}"

    def expect_notifications(self, *expected):
        """Waits until each of these was received."""
        deadline = time.monotonic() + START_LIMIT
        while not set(expected) <= set(self._notified):
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                self._notified += self._socket.recv(4096).decode().splitlines()
            except TimeoutError:
                received = f"expected {expected}, received {self._notified}"
                raise AssertionError(f"{received}:\n{self._last_lines()}") from None

    def _last_lines(self):
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def register(url, name, password):
    body = {"username": name, "password": password, "auth": {"type": "m.login.dummy"}}
    return post(f"{url}/_matrix/client/v3/register", body)


def login(url, name, password):
    user = {"type": "m.id.user", "user": name}
    body = {"type": "m.login.password", "identifier": user, "password": password}
    return post(f"{url}/_matrix/client/v3/login", body)


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"POST {url}: {error.code} {error.read().decode()}") from None
