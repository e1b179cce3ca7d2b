"""A user's device, on matrix-nio, and what its syncs showed."""

import asyncio
import os

import nio

HOMESERVER = os.environ["HOMESERVER"]
PASSWORD = "correct horse battery staple"
LIMIT = 60


class Person:
    """A user's device. What its syncs showed is kept per room."""

    def __init__(self, name, config=None):
        self.name = name
        self.client = nio.AsyncClient(HOMESERVER, name, config=config)
        self.messages = {}
        self.invites = {}
        self._news = asyncio.Event()
        self._syncing = None

    @classmethod
    async def register(cls, name):
        person = cls(name)
        expect(await person.client.register(name, PASSWORD), nio.RegisterResponse)
        return person

    @classmethod
    async def login(cls, name):
        person = cls(name)
        expect(await person.client.login(PASSWORD), nio.LoginResponse)
        return person

    @property
    def id(self):
        return self.client.user_id

    async def start(self):
        self.client.add_response_callback(self._take, nio.SyncResponse)
        # Without its own limit, a burst of events leaves a gap, which this client does not fill.
        wanted = {"room": {"timeline": {"limit": 100}}}
        syncs = self.client.sync_forever(timeout=30_000, sync_filter=wanted)
        self._syncing = asyncio.create_task(syncs)
        await self.until("the first sync", lambda: self.client.next_batch)

    async def stop(self):
        """Goes offline. The client keeps its token, with which it begins again."""
        if self._syncing:
            self._syncing.cancel()
            await asyncio.gather(self._syncing, return_exceptions=True)

    async def close(self):
        await self.stop()
        await self.client.close()

    async def until(self, what, holds):
        async def wait():
            while not holds():
                self._news.clear()
                await self._news.wait()

        try:
            await asyncio.wait_for(wait(), LIMIT)
        except TimeoutError:
            raise AssertionError(f"{self.name} waited in vain for {what}") from None

    async def say(self, room, body):
        content = {"msgtype": "m.text", "body": body}
        return expect(
            await self.client.room_send(room, "m.room.message", content), nio.RoomSendResponse
        ).event_id

    async def sees_last(self, room, body):
        await self.until(f'"{body}"', lambda: self.bodies(room)[-1:] == [body])

    def bodies(self, room):
        return [event.body for event in self.messages.get(room, [])]

    def event_ids(self, room):
        return [event.event_id for event in self.messages.get(room, [])]

    async def history(self, room):
        """The texts of all messages, oldest first, page by page from the newest."""
        found = []
        token = ""
        while token is not None:
            page = expect(
                await self.client.room_messages(
                    room, token, direction=nio.MessageDirection.back, limit=30
                ),
                nio.RoomMessagesResponse,
            )
            found += [event.body for event in page.chunk if isinstance(event, nio.RoomMessageText)]
            token = page.end
        return found[::-1]

    async def _take(self, response):
        for room, info in response.rooms.join.items():
            if info.timeline.limited:
                self.messages[room] = []
            new = [event for event in info.timeline.events if isinstance(event, nio.RoomMessageText)]
            self.messages.setdefault(room, []).extend(new)
        for room, info in response.rooms.invite.items():
            self.invites[room] = info.invite_state
        self._news.set()


def expect(response, kind):
    assert isinstance(response, kind), response
    return response
