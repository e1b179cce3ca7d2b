// The use of the server by matrix-js-sdk; `run` starts this.

import assert from "node:assert/strict";
import readline from "node:readline";

import "./quiet.mjs";
import { ids, Person, texts } from "./person.mjs";

const GROUP_SIZE = 20;
const HISTORY = 120;

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const people = await Promise.all(
    Array.from({ length: GROUP_SIZE }, (_, number) => Person.register(`person${number}`)),
);
const [phone, bob, carol] = people;
const laptop = await Person.login(phone.name);
await Promise.all([phone, laptop, bob, carol].map((person) => person.start()));
seen("20 people registered, one on two devices");

const direct = await directChat();
const group = await groupOfAll();
await readReceipts();
await historyOf(group);
await restartInTheMiddle();
await offlineAndBack();
await bothDevicesSeeTheSame();

[phone, laptop, bob, carol].forEach((person) => person.stop());
process.exit(0);

async function directChat() {
    const { room_id: room } = await phone.client.createRoom({
        preset: "trusted_private_chat",
        is_direct: true,
        invite: [bob.id],
    });
    await phone.client.setAccountData("m.direct", { [bob.id]: [room] });
    await bob.until("an invite", () => bob.membership(room) === "invite");
    const invite = bob.client.getRoom(room).getMember(bob.id).events.member;
    assert.equal(invite.getContent().is_direct, true);
    assert.equal(invite.getSender(), phone.id);
    await bob.client.joinRoom(room);
    await phone.until("bob", () => phone.client.getRoom(room)?.getMember(bob.id)?.membership === "join");
    await phone.say(room, "Hello Bob");
    await bob.seesLast(room, "Hello Bob");
    await bob.client.sendTyping(room, true, 30_000);
    await phone.until("bob's typing", () => phone.client.getRoom(room).getMember(bob.id).typing);
    await bob.say(room, "Hello");
    await phone.seesLast(room, "Hello");
    await laptop.seesLast(room, "Hello");
    await laptop.until("m.direct", () => {
        return laptop.client.getAccountData("m.direct")?.getContent()[bob.id]?.[0] === room;
    });
    seen("a direct chat");
    return room;
}

async function groupOfAll() {
    const { room_id: room } = await phone.client.createRoom({
        preset: "private_chat",
        name: "All of us",
        invite: people.slice(1).map((person) => person.id),
    });
    await Promise.all(people.slice(1).map((person) => person.client.joinRoom(room)));
    await phone.until("20 members", () => phone.client.getRoom(room)?.getJoinedMemberCount() === GROUP_SIZE);
    await bob.until("the room's name", () => bob.client.getRoom(room)?.name === "All of us");
    const stranger = await Person.register("stranger");
    await assert.rejects(stranger.client.joinRoom(room), { errcode: "M_FORBIDDEN" });
    const syncing = [phone, laptop, bob, carol];
    let last = null;
    for (const person of people) {
        // The SDK shows its own message when it is sent, possibly before earlier messages of
        // others.
        if (last !== null && syncing.includes(person)) await person.seesLast(room, last);
        last = `I am ${person.name}`;
        await person.say(room, last);
    }
    for (const person of syncing) {
        await person.seesLast(room, last);
        assert.deepEqual(greetings(await person.history(room)), people.map(({ name }) => `I am ${name}`));
    }
    await bob.client.getRoom(room).loadMembersIfNeeded();
    assert.equal(bob.client.getRoom(room).getJoinedMembers().length, GROUP_SIZE);
    seen("a group of 20");
    return room;
}

function greetings(events) {
    return texts(events).filter((body) => body.startsWith("I am "));
}

async function readReceipts() {
    await bob.say(direct, "Have you read this?");
    await phone.seesLast(direct, "Have you read this?");
    await phone.until("an unread message", () => {
        return phone.client.getRoom(direct).getUnreadNotificationCount() > 0;
    });
    await phone.client.sendReadReceipt(phone.client.getRoom(direct).getLiveTimeline().getEvents().at(-1));
    await laptop.until("nothing unread", () => {
        return laptop.client.getRoom(direct).getUnreadNotificationCount() === 0;
    });
    await bob.until("the receipt", () => {
        const room = bob.client.getRoom(direct);
        return room.getEventReadUpTo(phone.id) === room.getLiveTimeline().getEvents().at(-1).getId();
    });
    seen("read receipts");
}

async function historyOf(room) {
    for (let number = 0; number < HISTORY; number += 1) {
        await bob.say(room, `history ${number}`);
    }
    const tablet = await Person.login(phone.name);
    await tablet.start({ initialSyncLimit: 10 });
    await tablet.seesLast(room, `history ${HISTORY - 1}`);
    assert.ok(tablet.messages(room).length <= 10, "only the newest came with the first sync");
    const events = await tablet.history(room);
    const history = texts(events).filter((body) => body.startsWith("history "));
    assert.deepEqual(history, Array.from({ length: HISTORY }, (_, number) => `history ${number}`));
    assert.equal(greetings(events).length, GROUP_SIZE);
    assert.equal(events[0].getType(), "m.room.create");
    tablet.stop();
    seen("the whole history, page by page");
}

async function restartInTheMiddle() {
    const beforeRestart = await bob.say(group, "before the restart");
    seen("restart");
    const { value } = await answers.next();
    assert.equal(value, "restarted");
    [phone, laptop, bob, carol].forEach((person) => person.client.retryImmediately());
    await bob.say(group, "after the restart");
    for (const person of [phone, laptop, bob, carol]) {
        await person.seesLast(group, "after the restart");
        const known = ids(await person.history(group));
        assert.equal(known.filter((id) => id === beforeRestart).length, 1, "what was before the restart is there once");
    }
    seen("a restart in the middle");
}

async function offlineAndBack() {
    carol.goOffline();
    const missed = Array.from({ length: HISTORY }, (_, number) => `while carol is away ${number}`);
    for (const body of missed) {
        await bob.say(group, body);
    }
    const { room_id: invited } = await bob.client.createRoom({ name: "For Carol", invite: [carol.id] });
    carol.goOnline();
    await carol.seesLast(group, missed.at(-1));
    await carol.until("the invite", () => carol.membership(invited) === "invite");
    // More events than one sync contains: the client starts a new timeline, and pages back through
    // the gap.
    const all = texts(await carol.history(group));
    const caughtUp = all.filter((body) => body.startsWith("while carol is away"));
    assert.deepEqual(caughtUp, missed);
    seen("an offline user caught up");
}

async function bothDevicesSeeTheSame() {
    await laptop.say(direct, "from the laptop");
    await phone.say(group, "from the phone");
    for (const [room, body] of [[direct, "from the laptop"], [group, "from the phone"]]) {
        await phone.seesLast(room, body);
        await laptop.seesLast(room, body);
        assert.deepEqual(ids(await phone.history(room)), ids(await laptop.history(room)));
    }
    seen("both devices see the same");
}

function seen(what) {
    process.stdout.write(`${what}\n`);
}
