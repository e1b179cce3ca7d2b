"""A small Matrix client: requests, and what /sync has shown so far."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request

WAIT_LIMIT = 60
# Long timelines, so that a burst of messages is not cut.
FILTER = json.dumps({"room": {"timeline": {"limit": 200}}})


class ApiError(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class Person:
    """A registered user on one server, with everything that /sync has returned."""

    def __init__(self, server, name):
        self._server = server
        self._since = None
        self._transaction = 0
        self.events = {}
        self.state = {}
        self.invites = {}
        self.joined = set()
        self.typing = {}
        self.receipts = {}
        self._token = None
        body = {"username": name, "password": f"password of {name}", "auth": {"type": "m.login.dummy"}}
        account = self.call("POST", "/v3/register", body)
        self.id = account["user_id"]
        self._token = account["access_token"]

    def call(self, method, path, body=None, **query):
        """One request to the client-server API. Raises ApiError for any status but 200."""
        url = f"{self._server.url}/_matrix/client{path}"
        if query:
            url += "?" + urllib.parse.urlencode(query, doseq=True)
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")) from None

    def create_room(self, **options):
        return self.call("POST", "/v3/createRoom", options)["room_id"]

    def invite(self, room, user):
        self.call("POST", f"/v3/rooms/{quote(room)}/invite", {"user_id": user})

    def join(self, room, *via):
        return self.call("POST", f"/v3/join/{quote(room)}", {}, server_name=via, via=via)["room_id"]

    def knock(self, room, *via):
        return self.call("POST", f"/v3/knock/{quote(room)}", {}, server_name=via, via=via)["room_id"]

    def leave(self, room):
        self.call("POST", f"/v3/rooms/{quote(room)}/leave", {})

    def say(self, room, text):
        """Returns the id of the event."""
        self._transaction += 1
        path = f"/v3/rooms/{quote(room)}/send/m.room.message/{self._transaction}"
        return self.call("PUT", path, {"msgtype": "m.text", "body": text})["event_id"]

    def set_state(self, room, kind, content, key=""):
        path = f"/v3/rooms/{quote(room)}/state/{quote(kind)}/{quote(key)}"
        return self.call("PUT", path, content)["event_id"]

    def get_state(self, room, kind, key=""):
        return self.call("GET", f"/v3/rooms/{quote(room)}/state/{quote(kind)}/{quote(key)}")

    def whole_state(self, room):
        """Event ids by type and state key."""
        state = self.call("GET", f"/v3/rooms/{quote(room)}/state")
        return {(event["type"], event["state_key"]): event["event_id"] for event in state}

    def redact(self, room, event):
        self._transaction += 1
        self.call("PUT", f"/v3/rooms/{quote(room)}/redact/{quote(event)}/{self._transaction}", {})

    def read(self, room, event):
        self.call("POST", f"/v3/rooms/{quote(room)}/receipt/m.read/{quote(event)}", {})

    def type_in(self, room):
        path = f"/v3/rooms/{quote(room)}/typing/{quote(self.id)}"
        self.call("PUT", path, {"typing": True, "timeout": 20_000})

    def history(self, room, most=1_000):
        """Bodies of the messages from the newest to the oldest that the server can get."""
        bodies, start = [], None
        while len(bodies) < most:
            query = {"dir": "b", "limit": 50} | ({"from": start} if start else {})
            page = self.call("GET", f"/v3/rooms/{quote(room)}/messages", **query)
            bodies += [event["content"].get("body") for event in page["chunk"]
                       if event["type"] == "m.room.message"]
            start = page.get("end")
            if not start:
                return bodies
        raise RuntimeError("the history does not end")

    def sync(self, timeout=1_000):
        query = {"timeout": timeout, "filter": FILTER} | ({"since": self._since} if self._since else {"timeout": 0})
        answer = self.call("GET", "/v3/sync", **query)
        self._since = answer["next_batch"]
        rooms = answer.get("rooms", {})
        for room, invited in rooms.get("invite", {}).items():
            self.invites[room] = invited["invite_state"]["events"]
        for room, left in rooms.get("leave", {}).items():
            self.joined.discard(room)
            self.invites.pop(room, None)
            self._take(room, left)
        for room, joined in rooms.get("join", {}).items():
            self.joined.add(room)
            self.invites.pop(room, None)
            self._take(room, joined)
            for event in joined.get("ephemeral", {}).get("events", []):
                if event["type"] == "m.typing":
                    self.typing[room] = set(event["content"]["user_ids"])
                elif event["type"] == "m.receipt":
                    for target, kinds in event["content"].items():
                        for user in kinds.get("m.read", {}):
                            self.receipts[room, user] = target

    def _take(self, room, part):
        for event in part.get("state", {}).get("events", []):
            self.state[room, event["type"], event["state_key"]] = event
        for event in part.get("timeline", {}).get("events", []):
            self.events.setdefault(room, []).append(event)
            if "state_key" in event:
                self.state[room, event["type"], event["state_key"]] = event

    def wait(self, what, holds):
        """Syncs until `holds()` is true; fails with the name of what was waited for."""
        deadline = time.monotonic() + WAIT_LIMIT
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.id} waited in vain for {what}")
            self.sync()

    def wait_for_message(self, room, text):
        self.wait(f"the message {text!r}", lambda: text in self.bodies(room))

    def wait_for_invite(self, room):
        self.wait(f"an invite to {room}", lambda: room in self.invites)

    def wait_for_member(self, room, user, membership="join"):
        def holds():
            event = self.state.get((room, "m.room.member", user))
            return event is not None and event["content"]["membership"] == membership

        self.wait(f"{user} to be {membership} in {room}", holds)

    def bodies(self, room):
        """Texts of the messages that /sync has shown, in its order."""
        return [event["content"].get("body") for event in self.events.get(room, [])
                if event["type"] == "m.room.message"]


def quote(text):
    return urllib.parse.quote(text, safe="")
