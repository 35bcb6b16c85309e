"""What an unmodified iii-sdk for Python does against the engine; prints a line for each thing that worked.

Usage: client.py <address of the workers' port> <address of HTTP> <a name for what this run registers>
"""

import asyncio
import json
import sys
import time
import urllib.request

from iii import InitOptions, TriggerAction, register_worker

WORKERS, HTTP, NAME = sys.argv[1:4]


def eventually(attempt, wanted):
    """Registrations travel: what is asked too early is asked again, for as long as the caller of this program waits."""
    while True:
        try:
            got = attempt()
        except Exception as error:  # every generation has errors of its own
            got = error
        if got == wanted:
            return
        time.sleep(0.05)


def new_channel():
    """Newer generations have it beside the client."""
    if hasattr(caller, "create_channel_async"):
        return caller.create_channel_async()
    from iii.helpers import create_channel_async

    return create_channel_async(caller)


def connect(name):
    return register_worker(WORKERS, InitOptions(worker_name=f"{NAME}-{name}", otel={"enabled": False}))


worker, caller = connect("worker"), connect("caller")
heard = []


async def add(data):
    return {"sum": data["a"] + data["b"]}


async def over_http(request):
    return {"status_code": 200, "body": {"hello": request["body"]["name"]}}


async def job(data):
    heard.append(data["n"])


async def read(data):
    return {"bytes": len(await data["reader"].read_all())}


worker.register_function(f"{NAME}::add", add)
worker.register_function(f"{NAME}::over_http", over_http)
worker.register_function(f"{NAME}::job", job)
worker.register_function(f"{NAME}::read", read)
print("registers", flush=True)

eventually(lambda: caller.trigger({"function_id": f"{NAME}::add", "payload": {"a": 2, "b": 3}}), {"sum": 5})
print("is called, and calls", flush=True)

place = {"scope": f"{NAME}-scope", "key": "k"}
written = caller.trigger({"function_id": "state::set", "payload": {**place, "value": {"n": 1}}})
assert written == {"old_value": None, "new_value": {"n": 1}}, written
assert caller.trigger({"function_id": "state::get", "payload": place}) == {"n": 1}
print("keeps state", flush=True)

worker.register_trigger(
    {
        "type": "http",
        "function_id": f"{NAME}::over_http",
        "config": {"api_path": f"{NAME}/hello", "http_method": "POST"},
    }
)


def ask():
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{HTTP}/{NAME}/hello", json.dumps({"name": "you"}).encode(), headers)
    return json.loads(urllib.request.urlopen(request).read())


eventually(ask, {"hello": "you"})
print("answers over HTTP", flush=True)


async def through_a_channel(_data):
    """Runs as a function of the caller, and so on the loop that the caller's sockets are on."""
    channel = await new_channel()
    reader = channel.reader_ref.model_dump()
    reading = asyncio.ensure_future(
        caller.trigger_async({"function_id": f"{NAME}::read", "payload": {"reader": reader}})
    )
    await channel.writer.write(b"x" * 200_000)
    await channel.writer.close_async()
    return await reading


caller.register_function(f"{NAME}::through_a_channel", through_a_channel)
eventually(lambda: worker.trigger({"function_id": f"{NAME}::through_a_channel", "payload": {}}), {"bytes": 200_000})
print("carries bytes through a channel", flush=True)

receipt = caller.trigger(
    {"function_id": f"{NAME}::job", "payload": {"n": 7}, "action": TriggerAction.Enqueue(queue="default")}
)
assert receipt["messageReceiptId"], receipt
eventually(lambda: list(heard), [7])
print("enqueues", flush=True)

worker.shutdown()
caller.shutdown()
