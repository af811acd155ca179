# SPDX-License-Identifier: Apache-2.0
"""Calls the methods of grpc_server.py through a gateway. Usage: grpc_client.py ADDRESS SCENARIO [ARGUMENT].

A scenario is a function below. Ends with 0 and prints `good` where everything went as it should."""

import json
import os
import sys
import threading
import time

import grpc
from grpc import StatusCode

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
channel = grpc.insecure_channel(sys.argv[1], options=UNLIMITED)
METHOD = "/test.Calls/"
unary = lambda name: channel.unary_unary(METHOD + name)
to_stream = lambda name: channel.unary_stream(METHOD + name)
from_stream = lambda name: channel.stream_unary(METHOD + name)
both = lambda name: channel.stream_stream(METHOD + name)


def text(value):
    return json.dumps(value).encode()


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return StatusCode.OK


def unary_calls():
    for size in (0, 1, 1000, 65_535, 1_000_000):
        sent = os.urandom(size)
        assert unary("Unary")(sent, timeout=8) == sent, size
    with_compression = channel.unary_unary(METHOD + "Unary")
    sent = b"again and again " * 5_000
    assert with_compression(sent, timeout=8, compression=grpc.Compression.Gzip) == sent


def many_at_once():
    calls = [(str(n).encode() * 300, unary("Unary").future(str(n).encode() * 300, timeout=8)) for n in range(300)]
    for sent, call in calls:
        assert call.result() == sent


def large():
    sent = os.urandom(16 << 20)
    assert unary("Unary")(sent, timeout=15) == sent


def server_stream():
    got = list(to_stream("Repeat")(text({"count": 200, "size": 3_000}), timeout=8))
    assert [len(message) for message in got] == [3_000] * 200
    assert got[7] == b"\7" * 3_000
    began, times = time.monotonic(), []
    for _ in to_stream("Repeat")(text({"count": 4, "size": 10, "wait": 0.25}), timeout=8):
        times.append(time.monotonic() - began)
    assert times[0] < 0.2 and times[1] < 0.5, f"messages are held back: {times}"


def client_stream():
    answer = from_stream("Collect")((b"x" * 5_000 for _ in range(300)), timeout=8)
    assert json.loads(answer) == [300, 1_500_000], answer
    assert json.loads(from_stream("Collect")(iter(()), timeout=8)) == [0, 0]


def both_streams():
    turn = threading.Semaphore(1)

    def questions():
        for number in range(50):
            turn.acquire()
            yield f"question {number}".encode()

    for number, answer in enumerate(both("Chat")(questions(), timeout=8)):
        assert answer == f"question {number}".encode()
        turn.release()
    assert number == 49


def early_end():
    """The server refuses before the client has ended its stream."""
    stop = threading.Event()

    def endless():
        while not stop.is_set():
            yield b"x" * 1_000
            time.sleep(0.01)

    error = None
    try:
        from_stream("RefuseEarly")(endless(), timeout=5)
    except grpc.RpcError as caught:
        error = caught
    stop.set()
    assert (error.code(), error.details()) == (StatusCode.FAILED_PRECONDITION, "one is enough"), error


def statuses():
    for name in ("NOT_FOUND", "INTERNAL", "UNAVAILABLE", "UNAUTHENTICATED", "DATA_LOSS", "RESOURCE_EXHAUSTED"):
        try:
            unary("Fail")(text({"code": name, "text": "why: 100 % äöü\n"}), timeout=5, metadata=[("x-back", "b")])
            raise AssertionError("no error")
        except grpc.RpcError as error:
            assert (error.code().name, error.details()) == (name, "why: 100 % äöü\n"), error
            assert ("x-back", "b") in error.trailing_metadata(), error.trailing_metadata()
    messages, error = [], None
    try:
        for message in to_stream("Repeat")(text({"count": 3, "size": 5, "fail": "ABORTED"}), timeout=5):
            messages.append(message)
    except grpc.RpcError as caught:
        error = caught
    assert (len(messages), error.code(), error.details()) == (3, StatusCode.ABORTED, "after all"), error
    assert code_of(lambda: unary("NoSuch")(b"", timeout=5)) == StatusCode.UNIMPLEMENTED


def metadata():
    binary = bytes(range(256))
    pairs = [("x-front", "f"), ("x-front-bin", binary), ("x-back", "b"), ("x-back-bin", binary), ("x-back-bin", b"")]
    answer, call = unary("Unary").with_call(b"", timeout=5, metadata=pairs)
    front, back = list(call.initial_metadata()), list(call.trailing_metadata())
    for pair in (("x-front", "f"), ("x-front-bin", binary)):
        assert pair in front, front
    for pair in (("x-back", "b"), ("x-back-bin", binary), ("x-back-bin", b"")):
        assert pair in back, back
    seen = dict(json.loads(unary("Metadata")(b"", timeout=5)))
    assert seen["user-agent"].startswith("grpc-python"), seen


def trailing_names():
    """No trailer fails a call that has run: most pass, and what would frame, decode or store something is dropped."""
    harmless = ["x-request-id", "cache-control", "www-authenticate", "location", "vary", "via", "authorization"]
    harmless += ["x-forwarded-for", "etag", "x-own", "server"]
    for name in harmless:
        sent = text([name])
        answer, call = unary("Trail").with_call(sent, timeout=5)
        assert (answer, call.code()) == (sent, StatusCode.OK), name
        assert (name, "5") in call.trailing_metadata(), (name, call.trailing_metadata())
    for name in ("content-encoding", "set-cookie", "trailer", "host", "content-range"):
        answer, call = unary("Trail").with_call(text([name, "x-own"]), timeout=5)
        names = [key for key, _ in call.trailing_metadata()]
        assert "x-own" in names and name not in names, (name, names)


def trailers_only():
    """The head that is the whole answer holds what the server sent and no length of ours."""
    call = unary("NoSuch").future(b"", timeout=5)
    assert call.code() == StatusCode.UNIMPLEMENTED
    names = [key for key, _ in list(call.initial_metadata()) + list(call.trailing_metadata())]
    assert "content-length" not in names, names


def until_events(wanted):
    """Asks until the server remembers just these events, in this order."""
    until = time.monotonic() + 10
    while (events := json.loads(unary("Events")(b"", timeout=5))) != wanted:
        assert time.monotonic() < until, (events, wanted)
        time.sleep(0.05)


def cancellation():
    call = unary("Wait").future(b"", timeout=15)
    until_events(["came"])
    call.cancel()
    assert call.code() == StatusCode.CANCELLED
    until_events(["came", "gone"])
    stream = to_stream("WaitStream")(b"", timeout=15)
    assert next(stream) == b"first"
    stream.cancel()
    until_events(["came", "gone", "came", "gone"])


def deadline():
    began = time.monotonic()
    assert code_of(lambda: unary("Wait")(b"", timeout=0.4)) == StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 2
    left = float(unary("Remaining")(b"", timeout=3))
    assert 1.5 < left <= 3.01, left


def silent_stream():
    """A stream on which nobody speaks for longer than HTTP would wait."""
    go_on = threading.Event()

    def questions():
        yield b"one"
        go_on.wait(5)
        yield b"two"

    answers = both("Chat")(questions(), timeout=10)
    assert next(answers) == b"one"
    time.sleep(1.6)
    go_on.set()
    assert next(answers) == b"two"


def end_of(call):
    """Code, details and the names of the metadata of a call that fails."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("no error")


def one_failure(wanted="", part=""):
    """A unary call fails with this code, and these words in its message."""
    error = end_of(lambda: unary("Unary")(b"hello", timeout=8))
    assert error.code().name == wanted, error
    assert part in (error.details() or ""), error.details()


RESETS = {0: "INTERNAL", 1: "INTERNAL", 2: "INTERNAL", 3: "INTERNAL", 5: "INTERNAL", 7: "UNAVAILABLE", 8: "CANCELLED"}
RESETS |= {9: "INTERNAL", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED", 13: "UNKNOWN", 99: "UNKNOWN"}


def resets():
    """The server resets streams, before its head and behind its first message; each code has a meaning."""
    for number, name in RESETS.items():
        for when in ("head", "late"):
            got = []
            call = to_stream("Reset")(b"", timeout=8, metadata=[("x-reset", f"{number}/{when}")])
            error = end_of(lambda: got.extend(call))
            assert error.code().name == name, (number, when, error)
            assert got == ([b"first"] if when == "late" and got else []), (number, when, got)
    # While the client is still speaking.
    over = threading.Event()
    for number, name in ((8, "CANCELLED"), (12, "PERMISSION_DENIED")):
        slow = iter(lambda: over.wait(0.05) and None or b"more", None)
        error = end_of(lambda: list(both("Reset")(slow, timeout=8, metadata=[("x-reset", f"{number}/late")])))
        assert error.code().name == name, (number, error)


def reset_once():
    """A stream that is reset is tried again."""
    got = unary("Reset")(b"x", timeout=8, metadata=[("x-reset", "11/once")])
    assert got == b"first", got


def stream_failure(wanted=""):
    """A stream of the server fails with this code after its first message."""
    stream = to_stream("WaitStream")(b"", timeout=10)
    assert next(stream) == b"first"
    print("first", flush=True)
    error = end_of(lambda: next(stream))
    assert error.code().name == wanted, error


def own_deadline():
    """The gateway's deadline ends a call whose caller has none, also within its answer."""
    began = time.monotonic()
    assert code_of(lambda: unary("Wait")(b"")) == StatusCode.DEADLINE_EXCEEDED
    stream = to_stream("WaitStream")(b"")
    assert next(stream) == b"first"
    assert end_of(lambda: next(stream)).code() == StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 5
    left = float(unary("Remaining")(b""))
    assert 0.1 < left <= 0.81, left


def deadline_free_call():
    assert unary("Unary")(b"hello") == b"hello"


def failures_among(count, failures):
    codes = [code_of(lambda: unary("Unary")(b"", timeout=5)) for _ in range(int(count))]
    assert codes.count(StatusCode.UNAVAILABLE) == int(failures), codes


def retried():
    asked = text({"name": "a", "failures": 2, "code": "UNAVAILABLE"})
    assert unary("Flaky")(asked, timeout=5) == b"3"
    error = end_of(lambda: unary("Flaky")(text({"name": "b", "failures": 2, "code": "ABORTED"}), timeout=5))
    assert (error.code(), error.details()) == (StatusCode.ABORTED, "not yet"), error
    error = end_of(lambda: unary("Flaky")(text({"name": "c", "failures": 9, "code": "UNAVAILABLE"}), timeout=5))
    assert (error.code(), error.details()) == (StatusCode.UNAVAILABLE, "not yet"), error
    assert unary("Flaky")(text({"name": "c", "failures": 3, "code": "UNAVAILABLE"}), timeout=5) == b"4"


def sizes():
    assert unary("Unary")(b"x" * 1_000, timeout=5) == b"x" * 1_000
    error = end_of(lambda: unary("Unary")(b"x" * 1_001, timeout=5))
    assert error.code() == StatusCode.RESOURCE_EXHAUSTED, error
    # Each message counts for itself.
    assert json.loads(from_stream("Collect")((b"x" * 900 for _ in range(40)), timeout=5)) == [40, 36_000]
    assert len(list(to_stream("Repeat")(text({"count": 40, "size": 1_999}), timeout=5))) == 40
    error = end_of(lambda: list(to_stream("Repeat")(text({"count": 40, "size": 2_001}), timeout=5)))
    assert error.code() == StatusCode.RESOURCE_EXHAUSTED, error


globals()[sys.argv[2]](*sys.argv[3:])
print("good")
