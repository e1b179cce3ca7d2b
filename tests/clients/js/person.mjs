// A user's device, on matrix-js-sdk, whose connection can be cut.

import {
    ClientEvent,
    createClient,
    EventTimeline,
    MatrixEventEvent,
    RoomEvent,
    RoomMemberEvent,
    TimelineWindow,
} from "matrix-js-sdk";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

const HOMESERVER = process.env.HOMESERVER;
export const PASSWORD = "correct horse battery staple";
const LIMIT_MS = 60_000;

export class Person {
    static async register(name) {
        const answer = await createClient({ baseUrl: HOMESERVER }).registerRequest({
            username: name,
            password: PASSWORD,
            auth: { type: "m.login.dummy" },
        });
        return new this(name, answer);
    }

    static async login(name) {
        const answer = await createClient({ baseUrl: HOMESERVER }).loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: name },
            password: PASSWORD,
        });
        return new this(name, answer);
    }

    // `options` are the client's, beyond what every person's has.
    constructor(name, { user_id, access_token, device_id }, options = {}) {
        this.name = name;
        this.id = user_id;
        this.device = device_id;
        this.connection = new AbortController();
        this.isOnline = true;
        this.client = createClient({
            baseUrl: HOMESERVER,
            userId: user_id,
            accessToken: access_token,
            deviceId: device_id,
            timelineSupport: true,
            fetchFn: (url, options) => this.#fetch(url, options),
            ...options,
        });
    }

    // Starts to sync, and waits for the first response.
    async start(options = {}) {
        await this.client.startClient({ initialSyncLimit: 100, lazyLoadMembers: true, ...options });
        await this.until("the first sync", () => this.client.isInitialSyncComplete());
    }

    stop() {
        this.client.stopClient();
    }

    goOffline() {
        this.isOnline = false;
        this.connection.abort();
        this.connection = new AbortController();
    }

    goOnline() {
        this.isOnline = true;
        this.client.retryImmediately();
    }

    // Checks the condition after each event of the client until it holds; `holds` may return a
    // promise.
    until(what, holds) {
        const { client } = this;
        const happenings = [
            ClientEvent.Sync,
            ClientEvent.Room,
            ClientEvent.AccountData,
            RoomEvent.Timeline,
            RoomEvent.MyMembership,
            RoomEvent.Receipt,
            RoomEvent.UnreadNotifications,
            RoomMemberEvent.Membership,
            RoomMemberEvent.Typing,
            MatrixEventEvent.Decrypted,
            CryptoEvent.DevicesUpdated,
            CryptoEvent.UserTrustStatusChanged,
            CryptoEvent.VerificationRequestReceived,
            CryptoEvent.KeyBackupDecryptionKeyCached,
            CryptoEvent.KeyBackupSessionsRemaining,
        ];
        return new Promise((resolve, reject) => {
            const finish = (settle, value) => {
                clearTimeout(timer);
                happenings.forEach((happening) => client.off(happening, look));
                settle(value);
            };
            const look = async () => {
                try {
                    if (await holds()) finish(resolve);
                } catch (error) {
                    finish(reject, error);
                }
            };
            const timer = setTimeout(() => {
                finish(reject, new Error(`${this.name} waited in vain for ${what}`));
            }, LIMIT_MS);
            happenings.forEach((happening) => client.on(happening, look));
            look();
        });
    }

    membership(room) {
        return this.client.getRoom(room)?.getMyMembership();
    }

    // The texts of the last events of a room that the client has, oldest first.
    messages(room) {
        return texts(this.client.getRoom(room)?.getLiveTimeline().getEvents() ?? []);
    }

    async seesLast(room, body) {
        await this.until(`"${body}"`, () => this.messages(room).at(-1) === body);
    }

    async say(room, body) {
        return (await this.client.sendTextMessage(room, body)).event_id;
    }

    // All of a room's events, oldest first: pages back through every gap to the room's beginning.
    async history(room) {
        const timelines = this.client.getRoom(room).getUnfilteredTimelineSet();
        const window = new TimelineWindow(this.client, timelines, { windowLimit: Infinity });
        await window.load(undefined, 30);
        while (window.canPaginate(EventTimeline.BACKWARDS)) {
            await window.paginate(EventTimeline.BACKWARDS, 30);
        }
        return window.getEvents();
    }

    #fetch(url, options = {}) {
        if (!this.isOnline) {
            return Promise.reject(new TypeError("fetch failed: this person is offline"));
        }
        const signals = [this.connection.signal, options.signal].filter(Boolean);
        return fetch(url, { ...options, signal: AbortSignal.any(signals) });
    }
}

// Own messages appear when they are sent.
export function texts(events) {
    return events
        .filter((event) => event.getContent().msgtype === "m.text" && !event.isSending())
        .map((event) => event.getContent().body);
}

export function ids(events) {
    return events.map((event) => event.getId());
}
