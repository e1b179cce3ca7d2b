"""A device that only receives to-device messages, and kills itself at a given moment; story.py starts this.

What it has is a file with a line for each `/sync` whose answer it has stored: the messages, and the token to go on with. It stores
before it asks for more, which is how a client acknowledges.
"""

import http.client
import json
import os
import signal
import sys
from urllib.parse import urlencode, urlsplit

# The moments at which the process can end, in their order.
MOMENTS = ["before asking", "after asking", "while reading", "before storing", "after storing"]


def main():
    stored, seen, token, wanted, last_sync, moment = sys.argv[1:]
    connection = http.client.HTTPConnection(urlsplit(os.environ["HOMESERVER"]).netloc, timeout=60)
    lines = read(stored)
    since, count = (lines[-1]["token"] if lines else None), sum(len(line["messages"]) for line in lines)
    sync = 0
    while count < int(wanted):
        sync += 1

        def may_die(here):
            if sync == int(last_sync) and here == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        may_die("before asking")
        query = {"timeout": 200, "filter": '{"room":{"rooms":[]}}'} | ({"since": since} if since else {})
        path = f"/_matrix/client/v3/sync?{urlencode(query)}"
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        may_die("after asking")
        response = connection.getresponse()
        body = response.read(20)
        may_die("while reading")
        body += response.read()
        assert response.status == 200, body
        answer = json.loads(body)
        messages = [event["content"]["number"] for event in answer.get("to_device", {}).get("events", [])]
        append(seen, messages)
        may_die("before storing")
        since = answer["next_batch"]
        count += len(messages)
        append(stored, {"token": since, "messages": messages})
        may_die("after storing")


def append(path, entry):
    """One write, which a killed process has made whole or not at all."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{json.dumps(entry)}\n".encode())
    os.close(file)


def read(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
