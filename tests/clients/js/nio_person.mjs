// A user's device on matrix-nio, controlled from here: see `nio/led.py`.

import { spawn } from "node:child_process";
import readline from "node:readline";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../nio/led.py", import.meta.url));
const waiting = new Map();
let nio = null;
let orders = 0;

export class NioPerson {
    static async register(name) {
        return new NioPerson(name, await order(name, "register"));
    }

    // Ends them all.
    static stop() {
        nio.stdin.end();
    }

    constructor(name, { user, device }) {
        this.name = name;
        this.id = user;
        this.device = device;
    }

    join(room, members) {
        return order(this.name, "join", room, members);
    }

    knows(user, devices) {
        return order(this.name, "knows", user, devices);
    }

    say(room, body) {
        return order(this.name, "say", room, body);
    }

    sees(room, body) {
        return order(this.name, "sees", room, body);
    }

    emoji(user) {
        return order(this.name, "emoji", user);
    }

    confirm(user) {
        return order(this.name, "confirm", user);
    }

    // The messages of a room, and the number of messages in any room that could not be decrypted on
  // arrival.
    texts(room) {
        return order(this.name, "texts", room);
    }
}

function order(name, action, ...args) {
    nio ??= start();
    const number = orders++;
    nio.stdin.write(`${JSON.stringify({ number, name, do: action, with: args })}\n`);
    return new Promise((resolve, reject) => waiting.set(number, { resolve, reject }));
}

function start() {
    const child = spawn(process.env.PYTHON, [program], { stdio: ["pipe", "pipe", "ignore"] });
    readline.createInterface({ input: child.stdout }).on("line", (line) => {
        const { number, answer, error } = JSON.parse(line);
        const { resolve, reject } = waiting.get(number);
        waiting.delete(number);
        if (error) reject(new Error(error));
        else resolve(answer);
    });
    child.on("exit", () => waiting.forEach(({ reject }) => reject(new Error("matrix-nio has ended"))));
    return child;
}
