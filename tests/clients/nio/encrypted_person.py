"""A user's device, on matrix-nio, with end-to-end encryption."""

import base64
import hashlib

import nio
from nio.api import Api
from nio.crypto import Sas
from nio.event_builders import ToDeviceMessage
from nio.store import SqliteMemoryStore

from person import Person, expect


class EncryptedPerson(Person):
    """Trusts every device at first sight, and counts what it cannot decrypt when it arrives."""

    def __init__(self, name):
        super().__init__(name, nio.AsyncClientConfig(store=SqliteMemoryStore))
        self.undecryptable = 0
        self._requests = {}

    async def start(self):
        self.client.add_response_callback(self._notice, (nio.KeysQueryResponse, nio.KeysUploadResponse))
        self.client.add_to_device_callback(self._take_request, nio.UnknownToDeviceEvent)
        await super().start()
        await self.until("its keys to be uploaded", lambda: self.client.olm_account_shared)

    async def say(self, room, body):
        content = {"msgtype": "m.text", "body": body}
        sent = await self.client.room_send(
            room, "m.room.message", content, ignore_unverified_devices=True
        )
        return expect(sent, nio.RoomSendResponse).event_id

    async def join(self, room, members):
        """Returns when the syncs have shown all the members of the encrypted room."""
        expect(await self.client.join(room), nio.JoinResponse)
        rooms = self.client.rooms
        await self.until(f"{room} to be encrypted", lambda: room in rooms and rooms[room].encrypted)
        await self.until(f"{members} members", lambda: rooms[room].joined_count == members)

    async def sees(self, room, body):
        await self.until(f'"{body}"', lambda: body in self.bodies(room))

    async def knows(self, user, devices):
        """The client keeps all devices but its own."""
        others = set(devices) - {self.client.device_id}

        def known():
            return {device.id for device in self.client.device_store.active_user_devices(user)}

        await self.until(f"{user} to have {devices}", lambda: known() == others)

    async def emoji(self, user):
        """Takes part in the verification that `user` asks for, until there is something to compare."""
        await self.until(f"a request from {user}", lambda: user in self._requests)
        transaction, device = self._requests[user]
        ready = {
            "transaction_id": transaction,
            "from_device": self.client.device_id,
            "methods": ["m.sas.v1"],
        }
        await self._send("m.key.verification.ready", user, device, ready)
        running = self.client.key_verifications
        await self.until("the start", lambda: transaction in running)
        expect(await self.client.accept_key_verification(transaction), nio.ToDeviceResponse)
        await self.until("the other's key", lambda: running[transaction].established_sas)
        return [symbol for symbol, _ in running[transaction].get_emoji()]

    async def confirm(self, user):
        """Says that the emoji are alike. Returns when the other has said so too, and is verified."""
        transaction, device = self._requests.pop(user)
        verification = self.client.key_verifications[transaction]
        expect(await self.client.confirm_short_auth_string(transaction), nio.ToDeviceResponse)
        await self.until("the other's confirmation", lambda: verification.verified)
        await self._send("m.key.verification.done", user, device, {"transaction_id": transaction})
        assert self.client.olm.is_device_verified(self.client.device_store[user][device])

    async def _send(self, kind, user, device, content):
        sent = await self.client.to_device(ToDeviceMessage(kind, user, device, content))
        expect(sent, nio.ToDeviceResponse)

    async def _take_request(self, event):
        if event.type == "m.key.verification.request":
            content = event.source["content"]
            self._requests[event.sender] = content["transaction_id"], content["from_device"]

    async def _take(self, response):
        for info in response.rooms.join.values():
            events = info.timeline.events
            self.undecryptable += sum(isinstance(event, nio.MegolmEvent) for event in events)
        await super()._take(response)

    async def _notice(self, _):
        self._news.set()


def correct_verification():
    """matrix-nio 0.26.0 understands only itself: its commitment is in hexadecimal digits, its emoji are picked from numbers as if
    these were bytes, and it calls the corrected code of messages by the name of the old one. Known there; this is as the
    specification has it."""
    start = Sas.from_key_verification_start.__func__

    def from_key_verification_start(cls, own_user, own_device, own_key, other, event):
        sas = start(cls, own_user, own_device, own_key, other, event)
        said = sas.pubkey + Api.to_canonical_json(event.source["content"])
        digest = hashlib.sha256(said.encode()).digest()
        sas.commitment = base64.b64encode(digest).decode().rstrip("=")
        return sas

    def generate_emoji(self, extra_info):
        return [self.emoji[index] for index in self.established_sas.bytes(extra_info).emoji_indices]

    Sas.from_key_verification_start = classmethod(from_key_verification_start)
    Sas._generate_emoji = generate_emoji
    Sas._mac_normal = "hkdf-hmac-sha256.v2"
    Sas._mac_v1 = [Sas._mac_normal]
