"""A client that is killed at any moment receives every to-device message at least once, and acknowledged
ones only once.

The client is receiver.py, killed and started again; this sends to it meanwhile. The specification: "Send-to-Device messaging",
and `since` of `GET /sync`. The seed is fixed; TO_DEVICE_SEED sets another.
"""

import asyncio
import json
import os
import pathlib
import random
import sys
import tempfile
import urllib.request

from receiver import MOMENTS, read

HOMESERVER = os.environ["HOMESERVER"]
RECEIVER = pathlib.Path(__file__).with_name("receiver.py")
LIVES = 40
# More than one response contains.
WHILE_DEAD = 250


async def main():
    seed = int(os.environ.get("TO_DEVICE_SEED", "1"))
    chance = random.Random(seed)
    receiver, sender = register("receiver"), register("sender")
    with tempfile.TemporaryDirectory() as folder:
        stored, seen = f"{folder}/stored", f"{folder}/seen"
        sent = 0
        for life in range(LIVES):
            moment = MOMENTS[life % len(MOMENTS)]
            last_sync = chance.randint(1, 4)
            death = asyncio.create_task(live(stored, seen, receiver, sys.maxsize, last_sync, moment))
            burst = chance.randint(0, 30)
            await asyncio.to_thread(send, sender, receiver, range(sent, sent + burst), chance)
            sent += burst
            assert await death < 0, "it was killed"
            if life == LIVES // 4:
                await server_ends("restart")
            if life == LIVES // 2:
                await asyncio.to_thread(send, sender, receiver, range(sent, sent + WHILE_DEAD), chance)
                sent += WHILE_DEAD
                await server_ends("kill")
        assert await live(stored, seen, receiver, sent, 0, "") == 0
        got = [number for line in read(stored) for number in line["messages"]]
        assert got == list(range(sent)), "each once and in order, among what was stored"
        again = sum(len(numbers) for numbers in read(seen)) - sent
        assert again > 0, "what was not acknowledged came again"
    print(f"{sent} messages through {LIVES} deaths, {again} of them again, with seed {seed}", flush=True)


async def live(stored, seen, receiver, wanted, last_sync, moment):
    """One life of the receiver. Returns its exit code."""
    arguments = [stored, seen, receiver["access_token"], wanted, last_sync, moment]
    child = await asyncio.create_subprocess_exec(sys.executable, RECEIVER, *map(str, arguments))
    return await child.wait()


def send(sender, receiver, numbers, chance):
    """Some are sent twice, by a client that did not hear the answer: the transaction's id says that it is the same."""
    for number in numbers:
        content = {receiver["user_id"]: {receiver["device_id"]: {"number": number}}}
        for _ in range(chance.choice([1, 1, 1, 2])):
            path = f"/sendToDevice/org.example.test/number{number}"
            request("PUT", path, {"messages": content}, sender["access_token"])


async def server_ends(how):
    print(how, flush=True)
    answer = await asyncio.to_thread(sys.stdin.readline)
    assert answer == "restarted\n", answer


def register(name):
    body = {"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}}
    return request("POST", "/register", body)


def request(method, path, body, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    url = f"{HOMESERVER}/_matrix/client/v3{path}"
    asked = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)


asyncio.run(main())
