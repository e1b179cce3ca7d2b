// A person who uses the page on matrix-js-sdk.

export class OnSdk {
    constructor(name, id, page, address) {
        this.name = name;
        this.id = id;
        this.page = page;
        this.address = `${address}sdk.html`;
        // Errors that the page did not handle.
        this.errors = [];
        page.on("pageerror", (error) => this.errors.push(`${name}: ${error}`));
    }

    async logIn(homeserver, password) {
        await this.page.goto(this.address);
        await this.page.fill("#login [name=homeserver]", homeserver);
        await this.page.fill("#login [name=user]", this.name);
        await this.page.fill("#login [name=password]", password);
        await this.page.click("#login button");
        await this.isSyncing();
    }

    async createRoom(name, guests) {
        await this.page.fill("#create [name=name]", name);
        await this.page.fill("#create [name=invite]", guests.join(" "));
        await this.page.click("#create button");
        await this.page.waitForSelector(this.#room(name));
    }

    async joined(room, members) {
        await this.page.waitForSelector(`h2:text-is("${room} (${members} members, encrypted)")`);
    }

    async say(room, text) {
        await this.page.fill(`${this.#room(room)} input`, text);
        await this.page.click(`${this.#room(room)} button`);
    }

    async sees(room, text) {
        await this.page.waitForSelector(`${this.#room(room)} li.decrypted:has-text("${text}")`);
    }

    async reload() {
        await this.page.reload();
        await this.isSyncing();
    }

    async isSyncing() {
        await this.page.waitForSelector("#status:has-text('SYNCING')");
    }

    #room(name) {
        return `section:has(h2:has-text("${name}"))`;
    }
}
