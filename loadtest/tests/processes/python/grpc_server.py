# SPDX-License-Identifier: Apache-2.0
"""A gRPC server whose messages are bytes, with health and reflection. Prints its port, then runs until it is ended.

Usage: grpc_server.py [unhealthy | ill]. With `unhealthy` its health service says NOT_SERVING, with `ill` it is UNAVAILABLE."""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

EVENTS = []
FAILURES = {}
LOCK = threading.Lock()


def told(context):
    """Gives the caller's own metadata back: in front what begins with `x-front`, behind what begins with `x-back`."""
    pairs = context.invocation_metadata()
    front = [(key, value) for key, value in pairs if key.startswith("x-front")]
    back = [(key, value) for key, value in pairs if key.startswith("x-back")]
    if front:
        context.send_initial_metadata(front)
    context.set_trailing_metadata(back)


def unary(request, context):
    if sys.argv[1:] == ["ill"]:
        context.abort(grpc.StatusCode.UNAVAILABLE, "ill")
    told(context)
    return request


def fail(request, context):
    wanted = json.loads(request)
    told(context)
    context.abort(getattr(grpc.StatusCode, wanted["code"]), wanted["text"])


def trail(request, context):
    """Sends a trailer of each name that the request lists."""
    context.set_trailing_metadata([(name, "5") for name in json.loads(request)])
    return request


def flaky(request, context):
    """Fails so many times for a name, then answers how often it was called."""
    wanted = json.loads(request)
    with LOCK:
        calls = FAILURES[wanted["name"]] = FAILURES.get(wanted["name"], 0) + 1
    if calls <= wanted["failures"]:
        context.abort(getattr(grpc.StatusCode, wanted["code"]), "not yet")
    return str(calls).encode()


def metadata(_, context):
    return json.dumps([[key, str(value)] for key, value in context.invocation_metadata()]).encode()


def remaining(_, context):
    left = context.time_remaining()
    return str(left if left is not None and left < 1e6 else "none").encode()


def repeat(request, context):
    wanted = json.loads(request)
    told(context)
    for number in range(wanted["count"]):
        if not context.is_active():
            EVENTS.append("gone")
            return
        yield bytes([number % 251]) * wanted["size"]
        time.sleep(wanted.get("wait", 0))
    if "fail" in wanted:
        context.abort(getattr(grpc.StatusCode, wanted["fail"]), "after all")


def collect(requests, context):
    sizes = [len(request) for request in requests]
    return json.dumps([len(sizes), sum(sizes)]).encode()


def refuse_early(requests, context):
    next(requests)
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "one is enough")


def chat(requests, context):
    told(context)
    for request in requests:
        yield request


def watched(context):
    """Remembers that the call came, and later that nobody wants its answer any more. Gives what is set then."""
    gone = threading.Event()

    def ended():
        EVENTS.append("gone")
        gone.set()

    EVENTS.append("came")
    if not context.add_callback(ended):
        ended()
    return gone


def wait(_, context):
    """Waits until nobody wants the answer."""
    watched(context).wait(20)
    return b""


def wait_stream(_, context):
    """Sends one message, then waits as `wait` does. The server need not resume this after a call that was cancelled."""
    gone = watched(context)
    yield b"first"
    gone.wait(20)


def events(_, context):
    return json.dumps(EVENTS).encode()


server = grpc.server(
    ThreadPoolExecutor(max_workers=64),
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
handlers = {
    "Unary": one(unary),
    "Fail": one(fail),
    "Trail": one(trail),
    "Flaky": one(flaky),
    "Metadata": one(metadata),
    "Remaining": one(remaining),
    "Wait": one(wait),
    "Events": one(events),
    "Repeat": many(repeat),
    "WaitStream": many(wait_stream),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "RefuseEarly": grpc.stream_unary_rpc_method_handler(refuse_early),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
}
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Calls", handlers)])
checks = health.HealthServicer()
states = health_pb2.HealthCheckResponse
checks.set("", states.NOT_SERVING if sys.argv[1:] == ["unhealthy"] else states.SERVING)
checks.set("test.Calls", states.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(checks, server)
reflection.enable_server_reflection((health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
