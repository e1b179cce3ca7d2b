// A user's device, on matrix-js-sdk, with end-to-end encryption.

import assert from "node:assert/strict";

import { MatrixEventEvent } from "matrix-js-sdk";
import {
    CryptoEvent,
    decodeRecoveryKey,
    VerificationPhase,
    VerificationRequestEvent,
    VerifierEvent,
} from "matrix-js-sdk/lib/crypto-api/index.js";
import { RustBackupManager } from "matrix-js-sdk/lib/rust-crypto/backup.js";

import { PASSWORD, Person, texts } from "./person.mjs";

// Without this, room keys are uploaded to the backup after a random delay.
RustBackupManager.maxBackupLoopStartDelayMillis = 0;

export class EncryptedPerson extends Person {
    constructor(name, answer) {
        super(name, answer, {
            cryptoCallbacks: {
                getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], this.secretStorageKey],
            },
        });
        this.secretStorageKey = null;
        this.requests = [];
        // Events that could not be decrypted on arrival, even if they were later.
        this.undecryptable = new Set();
    }

    async start(options) {
        await this.client.initRustCrypto({ useIndexedDB: false });
        this.crypto = this.client.getCrypto();
        this.client.on(CryptoEvent.VerificationRequestReceived, (request) => this.requests.push(request));
        this.client.on(MatrixEventEvent.Decrypted, (event) => {
            if (event.isDecryptionFailure()) this.undecryptable.add(event.getId());
        });
        await super.start(options);
    }

    async join(room, members) {
        await this.client.joinRoom(room);
        await this.until("the encrypted room", () => this.client.getRoom(room)?.hasEncryptionStateEvent());
        await this.until(`${members} members`, () => this.client.getRoom(room).getJoinedMemberCount() === members);
    }

    async knows(user, devices) {
        await this.until(`${user} to have ${devices}`, async () => {
            const known = (await this.crypto.getUserDeviceInfo([user])).get(user);
            return JSON.stringify([...(known?.keys() ?? [])].sort()) === JSON.stringify([...devices].sort());
        });
    }

    async sees(room, body) {
        await this.until(`"${body}"`, () => this.messages(room).includes(body));
    }

    // As NioPerson has it.
    async texts(room) {
        const events = await this.history(room);
        await Promise.all(events.map((event) => event.getDecryptionPromise()));
        return { texts: texts(events), undecryptable: this.undecryptable.size };
    }

    async trusts(user, device) {
        const status = await this.crypto.getDeviceVerificationStatus(user, device);
        return status !== null && status.isVerified();
    }

    // Creates cross-signing keys, a recovery key, and a backup of room keys. Returns the recovery
    // key.
    async setUp() {
        await this.crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: (upload) => upload(null) });
        const recoveryKey = await this.crypto.createRecoveryKeyFromPassphrase();
        this.secretStorageKey = recoveryKey.privateKey;
        await this.crypto.bootstrapSecretStorage({
            createSecretStorageKey: async () => recoveryKey,
            setupNewKeyBackup: true,
        });
        return recoveryKey.encodedPrivateKey;
    }

    // Replaces the cross-signing keys: the server asks for the password first.
    async replaceCrossSigning() {
        await this.crypto.bootstrapCrossSigning({
            setupNewCrossSigning: true,
            authUploadDeviceSigningKeys: async (upload) => {
                const refusal = await upload(null).then(() => null, (error) => error);
                assert.equal(refusal?.httpStatus, 401);
                assert.ok(refusal.data.flows.some(({ stages }) => stages.join() === "m.login.password"));
                const identifier = { type: "m.id.user", user: this.id };
                const { session } = refusal.data;
                return upload({ type: "m.login.password", identifier, password: PASSWORD, session });
            },
        });
    }

    // On a new device: restores the data of an earlier one. Returns the number of room keys in the
    // backup.
    async recover(recoveryKey) {
        this.secretStorageKey = decodeRecoveryKey(recoveryKey);
        await this.crypto.bootstrapCrossSigning({});
        await this.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
        const { imported, total } = await this.crypto.restoreKeyBackup();
        assert.equal(imported, total);
        return total;
    }

    // Waits until the server's backup has every room key.
    async untilBackedUp() {
        await this.until("the backup of all room keys", async () => {
            const { count } = await this.client.http.authedRequest("GET", "/room_keys/version");
            return count === (await this.crypto.exportRoomKeys()).length;
        });
    }

    // The request of a verification that another user, or another device of one's own, has sent.
    async requestFrom(user) {
        let request;
        await this.until(`a request from ${user}`, () => {
            request = this.requests.find(({ otherUserId, pending }) => otherUserId === user && pending);
            return request;
        });
        return request;
    }
}

// Starts a verification that the other has accepted. Returns the emoji; `confirm` confirms that
// they
  // match, and returns when both sides have.
export async function startComparing(request) {
    await reaches(request, () => request.phase === VerificationPhase.Ready);
    return compare(request, await request.startVerification("m.sas.v1"));
}

// Accepts a verification that the other starts.
export async function acceptComparing(request) {
    await request.accept();
    await reaches(request, () => request.verifier);
    return compare(request, request.verifier);
}

async function compare(request, verifier) {
    const shown = new Promise((resolve) => verifier.once(VerifierEvent.ShowSas, resolve));
    const verified = verifier.verify();
    const callbacks = await Promise.race([shown, verified]);
    const confirm = async () => {
        await callbacks.confirm();
        await verified;
        await reaches(request, () => request.phase === VerificationPhase.Done);
    };
    return { emoji: callbacks.sas.emoji.map(([symbol]) => plain(symbol)), confirm };
}

// Without the mark that asks for a colored picture, which clients set as they like.
export function plain(symbol) {
    return symbol.replaceAll("\u{fe0f}", "");
}

function reaches(request, holds) {
    return new Promise((resolve, reject) => {
        const look = () => {
            const isOver = request.phase === VerificationPhase.Cancelled;
            if (!isOver && !holds()) return;
            request.off(VerificationRequestEvent.Change, look);
            if (isOver) reject(new Error(`the verification was cancelled: ${request.cancellationCode}`));
            else resolve();
        };
        request.on(VerificationRequestEvent.Change, look);
        look();
    });
}
