"""What people of two servers do together. Each story gets the two servers, and works whichever is which."""

from client import ApiError, Person


def direct_chat(near, far):
    """An invite to a direct chat, its acceptance, and messages both ways."""
    ann, ben = Person(near, "ann"), Person(far, "ben")
    room = ann.create_room(preset="trusted_private_chat", is_direct=True, invite=[ben.id])
    ben.wait_for_invite(room)
    member = [event for event in ben.invites[room] if event.get("state_key") == ben.id]
    check(member and member[0]["content"].get("is_direct") is True, "the invite is not direct")
    ben.join(room)
    ann.wait_for_member(room, ben.id)
    for number in range(10):
        ann.say(room, f"ann {number}")
        ben.say(room, f"ben {number}")
    for person in (ann, ben):
        person.wait_for_message(room, "ann 9")
        person.wait_for_message(room, "ben 9")
        check_once(person, room)


def group(near, far):
    """Three people of each server in a public room: names, topics, redactions, receipts, typing."""
    people = [Person(server, f"g{n}") for n in range(3) for server in (near, far)]
    first, second = people[0], people[1]
    room = first.create_room(preset="public_chat", name="Group")
    for person in people[1:]:
        person.join(room, near.name)
    for person in people:
        for other in people:
            person.wait_for_member(room, other.id)
    power = first.get_state(room, "m.room.power_levels")
    power.setdefault("users", {})[second.id] = 50
    first.set_state(room, "m.room.power_levels", power)
    second.wait("power", lambda: second.id in power_users(second, room))
    second.set_state(room, "m.room.topic", {"topic": "from the other side"})
    first.wait("the topic", lambda: (room, "m.room.topic", "") in first.state)
    for person in people:
        for number in range(5):
            person.say(room, f"{person.id} {number}")
    for person in people:
        for other in people:
            person.wait_for_message(room, f"{other.id} 4")
        check_once(person, room)
    check(first.whole_state(room) == second.whole_state(room), "the states differ")
    secret = second.say(room, "secret")
    first.wait_for_message(room, "secret")
    second.redact(room, secret)
    first.wait("the redaction", lambda: redacted(first, room, secret))
    first.read(room, secret)
    second.wait("a receipt", lambda: second.receipts.get((room, first.id)) == secret)
    second.read(room, secret)
    first.wait("a receipt", lambda: first.receipts.get((room, second.id)) == secret)
    first.type_in(room)
    second.wait("typing", lambda: first.id in second.typing.get(room, ()))
    second.type_in(room)
    first.wait("typing", lambda: second.id in first.typing.get(room, ()))
    second.leave(room)
    first.wait_for_member(room, second.id, "leave")


def alias_and_directory(near, far):
    """A room is found in the other server's directory, and joined by its alias."""
    for owner, guest, home, n in (("ann", "ben", near, 0), ("ben", "ann", far, 1)):
        other = far if home is near else near
        owner, guest = Person(home, f"{owner}-d{n}"), Person(other, f"{guest}-d{n}")
        room = owner.create_room(
            preset="public_chat", name="Found", room_alias_name=f"found{n}", visibility="public",
        )
        listed = guest.call("GET", "/v3/publicRooms", server=home.name)["chunk"]
        check(room in [entry["room_id"] for entry in listed], "the directory lacks the room")
        check(guest.join(f"#found{n}:{home.name}") == room, "another room")
        owner.wait_for_member(room, guest.id)
        profile = guest.call("GET", f"/v3/profile/{owner.id}")
        check(profile.get("displayname"), "no profile of another server")


def history(near, far):
    """Who joins late reads what was said before."""
    for n, (home, other) in enumerate(((near, far), (far, near))):
        owner, guest = Person(home, f"owner-h{n}"), Person(other, f"guest-h{n}")
        room = owner.create_room(preset="public_chat")
        said = [f"line {number}" for number in range(120)]
        for text in said:
            owner.say(room, text)
        guest.join(room, home.name)
        owner.wait_for_member(room, guest.id)
        check(guest.history(room) == said[::-1], "the history is not whole")


def knock_and_restricted(near, far):
    """Knocks are accepted by an invite; members of one room may join another."""
    for n, (home, other) in enumerate(((near, far), (far, near))):
        owner, guest = Person(home, f"owner-k{n}"), Person(other, f"guest-k{n}")
        door = owner.create_room(
            preset="private_chat", room_version="10",
            initial_state=[{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}],
        )
        guest.knock(door, home.name)
        owner.wait_for_member(door, guest.id, "knock")
        owner.invite(door, guest.id)
        guest.wait_for_invite(door)
        guest.join(door, home.name)
        owner.wait_for_member(door, guest.id)
        allow = [{"type": "m.room_membership", "room_id": door}]
        rule = {"join_rule": "restricted", "allow": allow}
        inner = owner.create_room(
            preset="private_chat", room_version="10",
            initial_state=[{"type": "m.room.join_rules", "content": rule}],
        )
        stranger = Person(other, f"stranger-k{n}")
        try:
            stranger.join(inner, home.name)
            raise RuntimeError("a stranger joined a restricted room")
        except ApiError as error:
            check(error.status == 403, f"a stranger's join is answered by {error}")
        guest.join(inner, home.name)
        owner.wait_for_member(inner, guest.id)


def rejected_invite(near, far):
    """An invite is declined, and another one is taken back."""
    ann, ben = Person(near, "ann-i"), Person(far, "ben-i")
    room = ann.create_room(preset="private_chat", invite=[ben.id])
    ben.wait_for_invite(room)
    ben.leave(room)
    ann.wait_for_member(room, ben.id, "leave")
    ann.invite(room, ben.id)
    ben.wait_for_invite(room)
    ann.call("POST", f"/v3/rooms/{room}/kick", {"user_id": ben.id})
    ben.wait("the end of the invite", lambda: room not in ben.invites)


def absence(near, far):
    """Each server is stopped while the other talks, and has everything once when it is back."""
    ann, ben = Person(near, "ann-a"), Person(far, "ben-a")
    room = ann.create_room(preset="public_chat")
    ben.join(room, near.name)
    ann.wait_for_member(room, ben.id)
    for talker, listener, away in ((ann, ben, far), (ben, ann, near)):
        listener.sync()
        away.stop()
        for number in range(30):
            talker.say(room, f"{talker.id} to nobody {number}")
        away.start()
        talker.say(room, f"{talker.id} welcomes")
        listener.wait_for_message(room, f"{talker.id} welcomes")
        check(len(set(listener.history(room))) == len(listener.history(room)), "a message came twice")
        missing = {f"{talker.id} to nobody {number}" for number in range(30)}
        missing -= set(listener.history(room))
        check(not missing, f"messages are missing: {sorted(missing)}")


def kills(near, far):
    """Each server is killed while people talk; nothing acknowledged is lost."""
    ann, ben = Person(near, "ann-x"), Person(far, "ben-x")
    room = ann.create_room(preset="public_chat")
    ben.join(room, near.name)
    ann.wait_for_member(room, ben.id)
    for turn, victim in enumerate((far, near, far, near)):
        for number in range(10):
            ann.say(room, f"ann {turn}.{number}")
            ben.say(room, f"ben {turn}.{number}")
        victim.kill()
        victim.start()
        ann.say(room, f"ann {turn}.last")
        ben.say(room, f"ben {turn}.last")
        for person in (ann, ben):
            person.wait_for_message(room, f"ann {turn}.last")
            person.wait_for_message(room, f"ben {turn}.last")
    expected = {f"{who} {turn}.{n}" for who in ("ann", "ben") for turn in range(4)
                for n in [*range(10), "last"]}
    for person in (ann, ben):
        check(expected <= set(person.history(room)), f"{person.id} lacks messages")


def partition(near, far):
    """Both sides go on while they cannot reach each other, and agree afterwards."""
    ann, ben = Person(near, "ann-p"), Person(far, "ben-p")
    room = ann.create_room(preset="public_chat")
    ben.join(room, near.name)
    ann.wait_for_member(room, ben.id)
    power = ann.get_state(room, "m.room.power_levels")
    power.setdefault("users", {})[ben.id] = 50
    ann.set_state(room, "m.room.power_levels", power)
    ben.wait("power", lambda: ben.id in power_users(ben, room))
    near.link.cut()
    far.link.cut()
    for number in range(10):
        ann.say(room, f"ann apart {number}")
        ben.say(room, f"ben apart {number}")
        ann.set_state(room, "m.room.topic", {"topic": f"ann's {number}"})
        ben.set_state(room, "m.room.topic", {"topic": f"ben's {number}"})
    near.link.restore()
    far.link.restore()
    ann.say(room, "ann again")
    ben.say(room, "ben again")
    for person in (ann, ben):
        for text in ("ann again", "ben again", "ann apart 9", "ben apart 9"):
            person.wait(text, lambda text=text: text in person.bodies(room) or text in person.history(room))
    ann.wait("agreement", lambda: ann.whole_state(room) == ben.whole_state(room))
    for person in (ann, ben):
        texts = person.history(room)
        check(len(texts) == len(set(texts)) == 22, f"{person.id} has {len(texts)} messages")


def power_users(person, room):
    event = person.state.get((room, "m.room.power_levels", ""))
    return event["content"].get("users", {}) if event else {}


def redacted(person, room, event_id):
    path = f"/v3/rooms/{room}/event/{event_id}"
    return person.call("GET", path)["content"] == {}


def check_once(person, room):
    texts = person.bodies(room)
    check(len(texts) == len(set(texts)), f"{person.id} was sent a message twice")


def check(holds, problem):
    if not holds:
        raise RuntimeError(problem)


STORIES = {
    story.__name__.replace("_", "-"): story
    for story in (direct_chat, group, alias_and_directory, history, knock_and_restricted,
                  rejected_invite, absence, kills, partition)
}
