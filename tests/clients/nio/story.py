"""The use of the server by matrix-nio; `run` starts this."""

import asyncio
import sys

import nio

from person import Person, expect

GROUP_SIZE = 20
HISTORY = 120


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


def seen(what):
    print(what, flush=True)


asyncio.run(main())
