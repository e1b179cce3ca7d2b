"""Runs stories, each on its own server.

A story is a program that is told the server's address in HOMESERVER, and in PYTHON what runs matrix-nio. It prints what it has seen,
and `restart` or `kill` when it wants the server to be stopped or killed, and started again, after which it is told `restarted`. It
ends with 0 when all was as it should be.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

from install import HERE, PYTHON
from server import Server

STORY_LIMIT = 600


def arguments(description, stories):
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, default=default_binary())
    parser.add_argument("--only", choices=stories, help="only one story")
    found = parser.parse_args()
    if not found.binary.exists():
        sys.exit(f"{found.binary} is not built: cargo build -p aqueduct")
    return found


def default_binary():
    target = os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target")
    return pathlib.Path(target) / "debug" / "aqueduct"


def tell_all(given, stories):
    """`stories` are commands by their names. Ends the process, with 1 if any failed."""
    chosen = [given.only] if given.only else list(stories)
    failed = [name for name in chosen if not tell(name, stories[name], given.binary)]
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


def tell(name, command, binary):
    """Returns whether it ended well."""
    print(f"{name}: begins", flush=True)
    with tempfile.TemporaryDirectory() as folder, Server(binary, pathlib.Path(folder)) as server:
        story = subprocess.Popen(
            ["timeout", str(STORY_LIMIT), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOMESERVER": server.url, "PYTHON": str(PYTHON)},
        )
        for line in story.stdout:
            if line.strip() in ["restart", "kill"]:
                server.restart() if line.strip() == "restart" else server.kill()
                story.stdin.write("restarted\n")
                story.stdin.flush()
            else:
                print(f"{name}: {line}", end="", flush=True)
        is_good = story.wait() == 0
        if not is_good:
            print(f"{name}: FAILED; the server's last lines:\n{server.last_lines()}", flush=True)
    print(f"{name}: {'ends well' if is_good else 'failed'}", flush=True)
    return is_good
