// A person who uses Hydrogen.

export class OnHydrogen {
    constructor(name, id, page, address) {
        this.name = name;
        this.id = id;
        this.page = page;
        this.address = `${address}hydrogen.html`;
    }

    async logIn(homeserver, password) {
        await this.page.goto(this.address);
        await this.page.fill("#homeserver", homeserver);
        await this.page.fill("#username", this.name);
        await this.page.fill("#password", password);
        await this.page.click("button[type=submit]");
        await this.page.waitForSelector(".LeftPanel");
    }

    async createRoom(name) {
        await this.page.click(".LeftPanel .create");
        await this.page.click("text=Create Room");
        await this.page.fill(".CreateRoomView #name", name);
        await this.page.click(".CreateRoomView button[type=submit]");
        await this.open(name);
        await this.page.waitForSelector(".MessageComposer");
    }

    // Sends to the open room.
    async invite(id) {
        await this.page.click(".room-options");
        await this.page.click("text=Room details");
        await this.page.click(".RoomDetailsView >> text=People");
        await this.page.click(".MemberListView__invite-btn");
        await this.page.fill(".InvitePanelView__input", id);
        await this.page.click(".InvitePanelView__btn");
        await this.page.waitForSelector(".InvitePanelView", { state: "detached" });
    }

    async accept(room) {
        await this.open(room);
        await this.page.click(".InviteView >> text=Accept");
        await this.page.waitForSelector(".MessageComposer");
    }

    // A room that exists on the server: while a room is being created, its address has another
    // form.
    async open(room) {
        await this.page.click(`.RoomList a[href*="/!"]:has(.name:text-is("${room}"))`);
    }

    async seesJoin(id) {
        await this.page.waitForSelector(`.AnnouncementView:has-text("${id} joined the room")`);
    }

    // In the room that is open.
    async say(_, text) {
        await this.page.fill(".MessageComposer textarea", text);
        await this.page.click(".MessageComposer .send");
    }

    async sees(_, text) {
        await this.page.waitForSelector(`.Timeline_messageBody:has-text("${text}")`);
    }

    async reload() {
        await this.page.reload();
        await this.page.waitForSelector(".LeftPanel");
    }
}
