// The use of the server by Hydrogen and matrix-js-sdk in a browser; `run` starts this.
//
// Alice and Bob use Hydrogen, Carol and Dave the page on matrix-js-sdk. Alice and Carol share one
// browser, Bob and Dave another.

import assert from "node:assert/strict";
import { mkdir, rm } from "node:fs/promises";
import readline from "node:readline";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";
import { build, preview } from "vite";

import { OnHydrogen } from "./on_hydrogen.mjs";
import { OnSdk } from "./on_sdk.mjs";

const HOMESERVER = process.env.HOMESERVER;
const PASSWORD = "correct horse battery staple";
const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const PICTURES = `${FOLDER}screenshots`;
const BROWSER = {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ],
};

await rm(PICTURES, { recursive: true, force: true });
await mkdir(PICTURES);
process.chdir(FOLDER);
await build();
const pages = await preview({ preview: { host: "127.0.0.1", port: 0 } });
const address = pages.resolvedUrls.local[0];
seen("the pages are built");

const browsers = await Promise.all([chromium.launch(BROWSER), chromium.launch(BROWSER)]);
const people = [];
let alice, bob, carol, dave;
try {
    [alice, bob, carol, dave] = await Promise.all([
        person("alice", OnHydrogen, browsers[0]),
        person("bob", OnHydrogen, browsers[1]),
        person("carol", OnSdk, browsers[0]),
        person("dave", OnSdk, browsers[1]),
    ]);
    seen("four people logged in");
    await roomOfHydrogen();
    await roomOfSdk();
    await everyoneReloads();
    await restartInTheMiddle();
    assert.deepEqual([...carol.errors, ...dave.errors], []);
} catch (error) {
    for (const one of people) await picture(one, "when it failed");
    throw error;
}
process.exit(0);

async function person(name, Kind, browser) {
    const answer = await fetch(`${HOMESERVER}/_matrix/client/v3/register`, {
        method: "POST",
        body: JSON.stringify({ username: name, password: PASSWORD, auth: { type: "m.login.dummy" } }),
    });
    const { user_id: id } = await answer.json();
    const context = await browser.newContext({ viewport: { width: 1000, height: 640 } });
    context.setDefaultTimeout(60_000);
    const one = new Kind(name, id, await context.newPage(), address);
    people.push(one);
    await one.logIn(HOMESERVER, PASSWORD);
    await picture(one, "logged in");
    return one;
}

async function roomOfHydrogen() {
    await alice.createRoom("Made in Hydrogen");
    for (const guest of [bob, carol]) await alice.invite(guest.id);
    await bob.accept("Made in Hydrogen");
    await carol.joined("Made in Hydrogen", 3);
    for (const guest of [bob, carol]) await alice.seesJoin(guest.id);
    await talk("Made in Hydrogen", [alice, bob, carol]);
    seen("an encrypted room made in Hydrogen");
}

async function roomOfSdk() {
    await carol.createRoom("Made in the SDK", [dave.id, alice.id]);
    await alice.accept("Made in the SDK");
    await dave.joined("Made in the SDK", 3);
    await carol.joined("Made in the SDK", 3);
    await talk("Made in the SDK", [carol, dave, alice]);
    seen("an encrypted room made in matrix-js-sdk");
}

async function everyoneReloads() {
    for (const one of people) await one.reload();
    await alice.open("Made in Hydrogen");
    await bob.open("Made in Hydrogen");
    for (const one of [alice, bob, carol]) await one.sees("Made in Hydrogen", "Hello from carol");
    await talk("Made in Hydrogen", [alice, bob, carol], "After the reload, hello");
    await alice.open("Made in the SDK");
    await talk("Made in the SDK", [carol, dave, alice], "After the reload, hello");
    seen("a reload");
}

// The pages reconnect without help.
async function restartInTheMiddle() {
    const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    seen("restart");
    assert.equal((await answers.next()).value, "restarted");
    await talk("Made in the SDK", [carol, dave, alice], "After the restart, hello");
    seen("a restart in the middle");
}

// Everybody sees every message.
async function talk(room, people, greeting = "Hello") {
    for (const one of people) {
        await one.say(room, `${greeting} from ${one.name}`);
        for (const other of people) await other.sees(room, `${greeting} from ${one.name}`);
    }
    for (const one of people) await picture(one, `${room}, ${greeting}`);
}

async function picture(one, what) {
    await one.page.screenshot({ path: `${PICTURES}/${one.name}, ${what}.png` });
}

function seen(what) {
    process.stdout.write(`${what}\n`);
}
