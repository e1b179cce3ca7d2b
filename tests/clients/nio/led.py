"""People on matrix-nio, controlled by another program; js/nio_person.mjs starts this.

Both ways there is one JSON object per line. In: `number`, `name` (who), `do` (a method of EncryptedPerson, or `register`) and
`with` (its arguments). Out, in any order: the same `number`, and `answer` or `error`. It ends when there is nothing more to read.
"""

import asyncio
import json
import sys
import traceback

from encrypted_person import EncryptedPerson, correct_verification

people = {}


async def main():
    correct_verification()
    tasks = set()
    while line := await asyncio.to_thread(sys.stdin.readline):
        task = asyncio.create_task(obey(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*(person.close() for person in people.values()))


async def obey(order):
    try:
        result = {"answer": await do(order["name"], order["do"], order["with"])}
    except Exception:
        result = {"error": traceback.format_exc()}
    print(json.dumps({"number": order["number"], **result}), flush=True)


async def do(name, action, arguments):
    if action == "register":
        person = people[name] = await EncryptedPerson.register(name)
        await person.start()
        return {"user": person.id, "device": person.client.device_id}
    if action == "texts":
        person = people[name]
        return {"texts": person.bodies(*arguments), "undecryptable": person.undecryptable}
    return await getattr(people[name], action)(*arguments)


asyncio.run(main())
