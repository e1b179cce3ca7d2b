// A small client on matrix-js-sdk, with its cryptography in Rust (as WebAssembly) and its stores in
// IndexedDB. It accepts all invites, and shows all rooms at once.

import { ClientEvent, createClient, MatrixEventEvent, RoomEvent, RoomMemberEvent, SyncState } from "matrix-js-sdk";

const [login, create, status, rooms] = ["login", "create", "status", "rooms"].map((id) => document.getElementById(id));

login.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { homeserver, user, password } = Object.fromEntries(new FormData(login));
    const answer = await createClient({ baseUrl: homeserver }).loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user },
        password,
    });
    const session = {
        baseUrl: homeserver,
        userId: answer.user_id,
        accessToken: answer.access_token,
        deviceId: answer.device_id,
    };
    localStorage.setItem("session", JSON.stringify(session));
    await start(session);
});

async function start(session) {
    login.hidden = true;
    create.hidden = false;
    const client = createClient(session);
    await client.initRustCrypto();
    create.addEventListener("submit", async (event) => {
        event.preventDefault();
        const { name, invite } = Object.fromEntries(new FormData(create));
        await client.createRoom({
            name,
            invite: invite.split(" "),
            initial_state: [{
                type: "m.room.encryption",
                state_key: "",
                content: { algorithm: "m.megolm.v1.aes-sha2" },
            }],
        });
        create.reset();
    });
    client.on(ClientEvent.Sync, (state) => {
        status.textContent = `${session.userId}: ${state}`;
        if (state === SyncState.Prepared) client.getRooms().forEach((room) => join(client, room));
        show(client);
    });
    client.on(RoomEvent.MyMembership, (room) => join(client, room));
    for (const happening of [RoomEvent.Timeline, RoomMemberEvent.Membership, MatrixEventEvent.Decrypted]) {
        client.on(happening, () => show(client));
    }
    await client.startClient();
}

async function join(client, room) {
    if (room.getMyMembership() === "invite") await client.joinRoom(room.roomId);
    show(client);
}

function show(client) {
    for (const room of client.getRooms().filter((room) => room.getMyMembership() === "join")) {
        const section = document.getElementById(room.roomId) ?? sectionFor(client, room.roomId);
        const encrypted = room.hasEncryptionStateEvent() ? "encrypted" : "in the clear";
        const members = `${room.getJoinedMemberCount()} members`;
        section.querySelector("h2").textContent = `${room.name} (${members}, ${encrypted})`;
        section.querySelector("ul").replaceChildren(...messages(room).map(item));
    }
}

function sectionFor(client, roomId) {
    const section = document.createElement("section");
    section.id = roomId;
    section.innerHTML = `<h2></h2><ul></ul><form><input placeholder="Message"><button>Send</button></form>`;
    section.querySelector("form").addEventListener("submit", async (event) => {
        event.preventDefault();
        const input = section.querySelector("input");
        const text = input.value;
        input.value = "";
        await client.sendTextMessage(roomId, text);
    });
    rooms.append(section);
    return section;
}

function messages(room) {
    return room.getLiveTimeline().getEvents().filter((event) => event.getType() === "m.room.message");
}

function item(event) {
    const line = document.createElement("li");
    line.className = event.isDecryptionFailure() ? "failed" : event.isEncrypted() ? "decrypted" : "plain";
    line.textContent = `${event.getSender()}: ${event.getContent().body}`;
    return line;
}

const stored = localStorage.getItem("session");
if (stored) await start(JSON.parse(stored));
