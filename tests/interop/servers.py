"""The two servers of a story, each behind a link that can be cut, and how they are started and stopped."""

import os
import pathlib
import select
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

START_LIMIT = 90
STOP_LIMIT = 60


class Link:
    """Carries connections from the port in a server's name to the port where it listens, unless it is cut."""

    def __init__(self, target):
        self._target = target
        self._is_cut = False
        self._open = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        with self._lock:
            self._is_cut = True
            for end in self._open:
                end.close()
            self._open.clear()


    def restore(self):
        with self._lock:
            self._is_cut = False

    def _accept(self):
        while True:
            near, _ = self._listener.accept()
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near):
        try:
            with self._lock:
                if self._is_cut:
                    near.close()
                    return
                self._open.add(near)
            far = socket.create_connection(("127.0.0.1", self._target), timeout=10)
        except OSError:
            near.close()
            return
        with self._lock:
            self._open.add(far)
        try:
            while True:
                readable, _, _ = select.select([near, far], [], [], 600)
                for end in readable:
                    data = end.recv(65_536)
                    if not data:
                        return
                    (far if end is near else near).sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open -= {near, far}
            near.close()
            far.close()


class Server:
    """A child process with its folder, its link, and a plain port for clients."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()
        self._plain, self._tls = free_port(), free_port()
        self.link = Link(self._tls)
        self.name = f"localhost:{self.link.port}"
        self.url = f"http://127.0.0.1:{self._plain}"
        self._process = None

    def start(self):
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_LIMIT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not start:\n{self.last_lines()}")
            time.sleep(0.05)

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(STOP_LIMIT)

    def kill(self):
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()

    def last_lines(self):
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-40:])

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/_matrix/client/versions", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


class Aqueduct(Server):
    def __init__(self, folder, binary, certificates):
        super().__init__(folder)
        self._binary = binary
        self._certificates = certificates

    def command(self):
        return [self._binary, "serve"]

    def environment(self):
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("AQUEDUCT_")
        }
        return inherited | {
            "AQUEDUCT_SERVER_NAME": self.name,
            "AQUEDUCT_LISTEN": f"127.0.0.1:{self._plain}",
            "AQUEDUCT_TLS__LISTEN": f"127.0.0.1:{self._tls}",
            "AQUEDUCT_TLS__CERTIFICATE": str(self._certificates / "localhost.pem"),
            "AQUEDUCT_TLS__KEY": str(self._certificates / "localhost-key.pem"),
            "AQUEDUCT_OUTGOING__CA_CERTIFICATES": str(self._certificates / "ca.pem"),
            "AQUEDUCT_OUTGOING__ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "AQUEDUCT_DATABASE__PATH": str(self.folder / "database"),
            "AQUEDUCT_REGISTRATION__MODE": "open",
            "AQUEDUCT_RATE_LIMITS__ENABLED": "false",
        }


class Synapse(Server):
    def __init__(self, folder, python, certificates):
        super().__init__(folder)
        self._python = python
        (folder / "homeserver.yaml").write_text(SYNAPSE.format(
            name=self.name, plain=self._plain, tls=self._tls, folder=folder,
            certificates=certificates,
        ))
        (folder / "log.yaml").write_text(SYNAPSE_LOG)
        make = [python, "-m", "synapse.app.homeserver", "-c", "homeserver.yaml", "--generate-keys"]
        subprocess.run(make, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    def command(self):
        return [self._python, "-m", "synapse.app.homeserver", "-c", "homeserver.yaml"]

    def environment(self):
        return os.environ


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def make_certificates(binary, folder):
    """An authority, and a certificate for localhost. Returns their folder."""
    certificates = pathlib.Path(folder) / "certificates"
    make = [binary, "dev-cert", "--folder", certificates, "localhost"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    return certificates


SYNAPSE = """
server_name: "{name}"
report_stats: false
pid_file: "{folder}/pid"
signing_key_path: "{folder}/signing.key"
log_config: "{folder}/log.yaml"
media_store_path: "{folder}/media"
macaroon_secret_key: "not secret"
registration_shared_secret: "not secret"
enable_registration: true
enable_registration_without_verification: true
suppress_key_server_warning: true
trusted_key_servers: []
ip_range_blacklist: []
federation_ip_range_blacklist: []
federation_custom_ca_list: ["{certificates}/ca.pem"]
tls_certificate_path: "{certificates}/localhost.pem"
tls_private_key_path: "{certificates}/localhost-key.pem"
allow_public_rooms_over_federation: true
room_list_publication_rules: [{{ action: allow }}]
federation:
  destination_min_retry_interval: 1s
  destination_max_retry_interval: 5s
database:
  name: sqlite3
  args: {{ database: "{folder}/homeserver.db" }}
listeners:
  - {{ port: {plain}, type: http, bind_addresses: ["127.0.0.1"], resources: [{{ names: [client] }}] }}
  - {{ port: {tls}, type: http, tls: true, bind_addresses: ["127.0.0.1"], resources: [{{ names: [federation, keys] }}] }}
rc_message: &fast {{ per_second: 10000, burst_count: 10000 }}
rc_registration: *fast
rc_login: {{ address: *fast, account: *fast, failed_attempts: *fast }}
rc_joins: {{ local: *fast, remote: *fast }}
rc_joins_per_room: *fast
rc_invites: {{ per_room: *fast, per_user: *fast, per_issuer: *fast }}
rc_federation: {{ window_size: 1000, sleep_limit: 10000, sleep_delay: 1, reject_limit: 10000, concurrent: 100 }}
"""

SYNAPSE_LOG = """
version: 1
formatters: { plain: { format: "%(asctime)s %(levelname)s %(name)s %(message)s" } }
handlers: { console: { class: logging.StreamHandler, formatter: plain } }
root: { level: INFO, handlers: [console] }
"""
