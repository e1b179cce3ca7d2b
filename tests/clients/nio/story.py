"""What matrix-nio must be able to do with the server; `run` starts this."""

import asyncio
import os
import sys

import nio

HOMESERVER = os.environ["HOMESERVER"]
PASSWORD = "correct horse battery staple"
GROUP_SIZE = 20
HISTORY = 120
LIMIT = 60


class Person:
    """A user's device. What its syncs showed is kept per room."""

    def __init__(self, name):
        self.name = name
        self.client = nio.AsyncClient(HOMESERVER, name)
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
        # Without a limit of its own a busy moment makes a gap, which this client does not fill by itself.
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


async def main():
    people = await asyncio.gather(*(Person.register(f"nio{number}") for number in range(GROUP_SIZE)))
    phone, bob, carol = people[:3]
    laptop = await Person.login(phone.name)
    syncing = [phone, laptop, bob, carol]
    await asyncio.gather(*(person.start() for person in syncing))
    seen("20 people registered, one on two devices")
    direct = await direct_chat(phone, laptop, bob)
    group = await group_of_all(people, syncing)
    await history_of(group, bob, phone.name)
    await restart_in_the_middle(group, bob, syncing)
    await offline_and_back(group, bob, carol)
    await both_devices_see_the_same(phone, laptop, direct, group)
    await asyncio.gather(*(person.close() for person in [laptop, *people]))


async def direct_chat(phone, laptop, bob):
    created = await phone.client.room_create(
        is_direct=True, invite=[bob.id], preset=nio.RoomPreset.trusted_private_chat
    )
    room = expect(created, nio.RoomCreateResponse).room_id
    await bob.until("an invite", lambda: room in bob.invites)
    expect(await bob.client.join(room), nio.JoinResponse)
    await phone.until("bob", lambda: bob.id in phone.client.rooms[room].users)
    await phone.say(room, "Hello Bob")
    await bob.sees_last(room, "Hello Bob")
    await bob.say(room, "Hello")
    await phone.sees_last(room, "Hello")
    await laptop.sees_last(room, "Hello")
    seen("a direct chat")
    return room


async def group_of_all(people, syncing):
    phone, others = people[0], people[1:]
    created = await phone.client.room_create(
        name="All of us", invite=[person.id for person in others], preset=nio.RoomPreset.private_chat
    )
    room = expect(created, nio.RoomCreateResponse).room_id
    for answer in await asyncio.gather(*(person.client.join(room) for person in others)):
        expect(answer, nio.JoinResponse)
    await phone.until("20 members", lambda: phone.client.rooms[room].joined_count == GROUP_SIZE)
    await asyncio.gather(*(person.say(room, f"I am {person.name}") for person in people))
    for person in syncing:
        await person.until("20 messages", lambda person=person: len(person.bodies(room)) == GROUP_SIZE)
        assert person.event_ids(room) == phone.event_ids(room), "all see one order"
    members = expect(await people[1].client.joined_members(room), nio.JoinedMembersResponse).members
    assert len(members) == GROUP_SIZE, members
    seen("a group of 20")
    return room


async def history_of(room, bob, name):
    for number in range(HISTORY):
        await bob.say(room, f"history {number}")
    tablet = await Person.login(name)
    history = await tablet.history(room)
    await tablet.close()
    assert history[-HISTORY:] == [f"history {number}" for number in range(HISTORY)], history
    assert len(history) == HISTORY + GROUP_SIZE, history
    seen("the whole history, page by page")


async def restart_in_the_middle(room, bob, syncing):
    before = await bob.say(room, "before the restart")
    print("restart", flush=True)
    answer = await asyncio.to_thread(sys.stdin.readline)
    assert answer == "restarted\n", answer
    await bob.say(room, "after the restart")
    for person in syncing:
        await person.sees_last(room, "after the restart")
        assert person.event_ids(room).count(before) == 1, "what was before the restart is there once"
    seen("a restart in the middle")


async def offline_and_back(room, bob, carol):
    await carol.stop()
    missed = [f"while carol is away {number}" for number in range(30)]
    for body in missed:
        await bob.say(room, body)
    created = await bob.client.room_create(name="For Carol", invite=[carol.id])
    invited = expect(created, nio.RoomCreateResponse).room_id
    await carol.start()
    await carol.sees_last(room, missed[-1])
    await carol.until("the invite", lambda: invited in carol.invites)
    assert (await carol.history(room))[-30:] == missed
    seen("an offline user caught up")


async def both_devices_see_the_same(phone, laptop, direct, group):
    await laptop.say(direct, "from the laptop")
    await phone.say(group, "from the phone")
    for room, body in [(direct, "from the laptop"), (group, "from the phone")]:
        await phone.sees_last(room, body)
        await laptop.sees_last(room, body)
        both = min(len(phone.event_ids(room)), len(laptop.event_ids(room)))
        assert phone.event_ids(room)[-both:] == laptop.event_ids(room)[-both:]
        assert await phone.history(room) == await laptop.history(room)
    seen("both devices see the same")


def expect(response, kind):
    assert isinstance(response, kind), response
    return response


def seen(what):
    print(what, flush=True)


asyncio.run(main())
