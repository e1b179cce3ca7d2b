// End-to-end encryption between matrix-js-sdk (its cryptography in Rust) and matrix-nio; `run`
// starts this.
//
// Every message is checked on every device of its room. No device may receive one that it cannot
// decrypt, except a new device that has not restored its user's keys yet.

import assert from "node:assert/strict";
import readline from "node:readline";

import "./quiet.mjs";
import { acceptComparing, EncryptedPerson, plain, startComparing } from "./encrypted_person.mjs";
import { NioPerson } from "./nio_person.mjs";

const ENCRYPTION = {
    type: "m.room.encryption",
    state_key: "",
    content: { algorithm: "m.megolm.v1.aes-sha2" },
};

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Each room's messages so far.
const said = new Map();

const [phone, bob, dave, erin, frank] = await Promise.all(
    ["alice", "bob", "dave", "erin", "frank"].map(async (name) => {
        const person = await EncryptedPerson.register(name);
        await person.start();
        return person;
    }),
);
const [carol, ...restOnNio] = await Promise.all(
    ["carol", "grace", "heidi", "ivan", "judy"].map((name) => NioPerson.register(name)),
);
const ten = [phone, bob, carol, dave, erin, frank, ...restOnNio];
let devices = ten;
seen("ten people, five on each client");

const recoveryKey = await phone.setUp();
await Promise.all([bob, erin].map((person) => person.setUp()));
seen("a recovery key, and a backup of room keys");

const withBob = await directChat(bob);
const withCarol = await directChat(carol);
const group = await groupOfTen();
seen("encrypted chats of two and of ten");

await verifyUser();
await verifyOverToDevice();
const laptop = await secondDevice();
await restartInTheMiddle();
await offlineAndBack();
const tablet = await newDeviceFromBackup();
await loggedOut();
await otherCrossSigning();
await everyoneHasEverything();

devices.filter((device) => device.client).forEach((device) => device.stop());
NioPerson.stop();
process.exit(0);

async function directChat(other) {
    const room = await roomOf([phone, other], { preset: "trusted_private_chat", is_direct: true });
    await say(phone, room, `Hello ${other.name}`);
    await say(other, room, "Hello");
    return room;
}

async function groupOfTen() {
    const room = await roomOf(ten, { preset: "private_chat", name: "Ten of us" });
    for (const person of ten) await say(person, room, `I am ${person.name}`);
    await Promise.all(ten.map((person) => say(person, room, `${person.name}, with all others at once`)));
    return room;
}

async function roomOf(people, options) {
    const others = people.slice(1);
    const { room_id: room } = await phone.client.createRoom({
        ...options,
        invite: others.map((person) => person.id),
        initial_state: [ENCRYPTION],
    });
    await phone.until("the room", () => phone.client.getRoom(room)?.hasEncryptionStateEvent());
    await Promise.all(others.map((person) => person.join(room, people.length)));
    await phone.until("all members", () => phone.client.getRoom(room).getJoinedMemberCount() === people.length);
    said.set(room, { people: new Set(people.map(({ id }) => id)), texts: [] });
    await Promise.all(people.map((person) => {
        return Promise.all(others.map((other) => person.knows(other.id, devicesOf(other.id))));
    }));
    return room;
}

// In the room of the two, by messages.
async function verifyUser() {
    assert.ok(await phone.crypto.userHasCrossSigningKeys(bob.id, true));
    assert.ok(await bob.crypto.userHasCrossSigningKeys(phone.id, true));
    const asked = await phone.crypto.requestVerificationDM(bob.id, withBob);
    await verify(asked, await bob.requestFrom(phone.id));
    for (const [one, other] of [[phone, bob], [bob, phone]]) {
        await one.until(`the signature of ${other.id}`, async () => {
            return (await one.crypto.getUserVerificationStatus(other.id)).isCrossSigningVerified();
        });
        assert.ok(await one.trusts(other.id, other.device));
    }
    seen("two users verified each other");
}

// Between the clients, device by device.
async function verifyOverToDevice() {
    assert.ok(!await phone.trusts(carol.id, carol.device));
    const asked = await phone.crypto.requestDeviceVerification(carol.id, carol.device);
    const [mine, others] = await Promise.all([startComparing(asked), carol.emoji(phone.id)]);
    assert.deepEqual(mine.emoji, others.map(plain));
    await Promise.all([mine.confirm(), carol.confirm(phone.id)]);
    assert.ok(await phone.trusts(carol.id, carol.device));
    await say(carol, withCarol, "verified");
    await say(phone, withCarol, "verified, too");
    seen("two devices on different clients verified each other");
}

async function secondDevice() {
    await phone.untilBackedUp();
    const laptop = await EncryptedPerson.login(phone.name);
    await laptop.start();
    await allKnowTheDevicesOfAlice([phone, laptop]);
    const asked = await laptop.crypto.requestOwnUserVerification();
    await verify(asked, await phone.requestFrom(phone.id));
    assert.ok(await laptop.trusts(phone.id, phone.device));
    await bob.until("the laptop's signature", () => bob.trusts(laptop.id, laptop.device));
    assert.ok(await laptop.trusts(bob.id, bob.device), "it trusts whom the phone trusts");
    // The other device sends the backup's key, with which older messages become readable.
    await laptop.until("the backup's key", () => laptop.crypto.getSessionBackupPrivateKey());
    await sees(laptop, group, said.get(group).texts);
    await say(laptop, group, "from the laptop");
    await say(bob, group, "to the laptop");
    seen("a second device, verified by the first, which gives it the older keys");
    return laptop;
}

async function restartInTheMiddle() {
    seen("restart");
    const { value } = await answers.next();
    assert.equal(value, "restarted");
    devices.forEach((device) => device.client?.retryImmediately());
    await bob.crypto.forceDiscardSession(group);
    for (const person of devices) await say(person, group, `${person.device} after the restart`);
    seen("a restart in the middle");
}

async function offlineAndBack() {
    dave.goOffline();
    await bob.crypto.forceDiscardSession(group);
    for (const person of [bob, carol, bob, erin]) await say(person, group, `while dave is away, by ${person.name}`, [dave]);
    dave.goOnline();
    await sees(dave, group, said.get(group).texts);
    seen("an offline user decrypts all that was missed");
}

async function newDeviceFromBackup() {
    await phone.untilBackedUp();
    const tablet = await EncryptedPerson.login(phone.name);
    await tablet.start({ initialSyncLimit: 10 });
    assert.deepEqual((await tablet.texts(group)).texts, [], "nothing is readable without keys");
    assert.ok(await tablet.recover(recoveryKey) > 0);
    await allKnowTheDevicesOfAlice([phone, laptop, tablet]);
    assert.ok(await tablet.trusts(phone.id, phone.device));
    assert.ok(await tablet.trusts(bob.id, bob.device));
    await bob.until("the tablet's signature", () => bob.trusts(tablet.id, tablet.device));
    await say(carol, group, "to the tablet");
    await say(tablet, withBob, "from the tablet");
    seen("a new device with all older messages, by the recovery key");
    return tablet;
}

async function loggedOut() {
    laptop.stop();
    await laptop.client.logout();
    await allKnowTheDevicesOfAlice([phone, tablet]);
    await assert.rejects(laptop.client.whoami(), { errcode: "M_UNKNOWN_TOKEN" });
    for (const person of [bob, carol, phone, tablet]) await say(person, group, `${person.device} without the laptop`);
    seen("a device logged out");
}

async function otherCrossSigning() {
    const before = await erin.crypto.getCrossSigningKeyId();
    await erin.replaceCrossSigning();
    const after = await erin.crypto.getCrossSigningKeyId();
    assert.notEqual(after, before);
    await bob.until("erin's new key", async () => {
        const known = await bob.crypto.getUserCrossSigningKeys(erin.id);
        return Object.values(known?.master_key.keys ?? {}).includes(after);
    });
    for (const person of [bob, carol, erin]) await say(person, group, `${person.name} after erin's new keys`);
    seen("keys for cross-signing, replaced with a password");
}

async function everyoneHasEverything() {
    let count = 0;
    for (const [room, { people, texts }] of said) {
        for (const device of devices.filter(({ id }) => people.has(id))) {
            const found = await device.texts(room);
            assert.deepEqual(found.texts.toSorted(), texts.toSorted(), `${device.name} has them all, once`);
            if (device !== tablet) assert.equal(found.undecryptable, 0, `${device.name} decrypted each at once`);
            count += found.texts.length;
        }
    }
    seen(`${count} messages decrypted on ${devices.length} devices, none undecryptable`);
}

// Both see the same emoji, confirm them, and trust each other from then on.
async function verify(asked, incoming) {
    const [one, other] = await Promise.all([startComparing(asked), acceptComparing(incoming)]);
    assert.equal(one.emoji.length, 7);
    assert.deepEqual(one.emoji, other.emoji);
    await Promise.all([one.confirm(), other.confirm()]);
}

async function allKnowTheDevicesOfAlice(those) {
    devices = [...those, ...ten.slice(1)];
    await Promise.all(devices.map((device) => device.knows(phone.id, devicesOf(phone.id))));
}

function devicesOf(user) {
    return devices.filter(({ id }) => id === user).map(({ device }) => device);
}

// Returns when every device of the room has decrypted it, except those that are away.
async function say(person, room, text, away = []) {
    await person.say(room, text);
    const { people, texts } = said.get(room);
    texts.push(text);
    const there = devices.filter((device) => people.has(device.id) && !away.includes(device));
    await Promise.all(there.map((device) => device.sees(room, text)));
}

async function sees(person, room, texts) {
    await Promise.all(texts.map((text) => person.sees(room, text)));
}

function seen(what) {
    process.stdout.write(`${what}\n`);
}
