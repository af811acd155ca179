# SPDX-License-Identifier: Apache-2.0
"""Floods, bombs and broken frames, each from a connection of its own. Prints one line of JSON for each: `name`, `goaway` (the
error's name or null), `closed` (how the connection ended, or null), `seconds`, and what else tells.

Usage: h2_hostile.py ADDRESS [NAME...]; without names all of them."""

import json
import struct
import sys
import threading
import time

from h2_wire import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PRIORITY_UPDATE,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, PREFACE, Wire, frame, number, settings,
)

cases = {}


def case(function):
    cases[function.__name__] = function
    return function


def opened(address, **options):
    wire = Wire(address, **options)
    wire.pump(5, lambda: wire.settled)
    return wire


def floods(wire, pieces, seconds=6):
    """Sends pieces until the other side has had enough."""
    for piece in pieces:
        if not wire.send(piece):
            break
        wire.pump(0.0005, lambda: wire.goaway is not None)
        if wire.goaway is not None or wire.closed:
            break
    wire.pump(seconds, lambda: wire.goaway is not None)
    return wire


def batches(make, count, size=50):
    """`count` frames, `size` in one write."""
    for start in range(0, count, size):
        yield b"".join(make(at) for at in range(start, start + size))


# One frame again and again: how each is made, how many there are, and how many go into one write.
MANY = {
    "made_you_reset_zero_increment": (
        lambda wire, at: wire.request(2 * at + 1, "/never", "POST", end=False)
        + frame(WINDOW_UPDATE, 0, 2 * at + 1, number(0)),
        2_000, 50,
    ),
    "made_you_reset_overflow": (
        lambda wire, at: wire.request(2 * at + 1, "/never", "POST", end=False)
        + frame(WINDOW_UPDATE, 0, 2 * at + 1, number(0x7FFF_FFFF)),
        2_000, 50,
    ),
    "made_you_reset_data_behind_the_end": (
        lambda wire, at: wire.request(2 * at + 1, "/never") + frame(DATA, 0, 2 * at + 1, b"behind the end, twenty"),
        2_000, 50,
    ),
    "made_you_reset_priority_length": (
        lambda wire, at: wire.request(2 * at + 1, "/never") + frame(PRIORITY, 0, 2 * at + 1, b"123"),
        2_000, 50,
    ),
    "made_you_reset_malformed_heads": (
        lambda wire, at: wire.request(2 * at + 1, "/", more=[("Upper", "case")]),
        2_000, 50,
    ),
    "settings_frames": (lambda wire, at: settings(window=65_535 + at % 2), 2_000, 10),
    "settings_acknowledged_too_often": (lambda wire, _: frame(SETTINGS, ACK), 2_000, 10),
    "ping_frames": (lambda wire, at: frame(PING, 0, 0, struct.pack(">Q", at)), 4_000, 50),
    "ping_answers_to_nothing": (lambda wire, at: frame(PING, ACK, 0, struct.pack(">Q", at)), 4_000, 50),
    "window_updates_of_one": (lambda wire, _: frame(WINDOW_UPDATE, 0, 0, number(1)), 40_000, 500),
    "priority_updates": (lambda wire, at: frame(PRIORITY_UPDATE, 0, 0, number(2 * at + 1) + b"u=1"), 4_000, 50),
    "unknown_frames": (lambda wire, _: frame(0xBE, 0, 0, b"?"), 60_000, 500),
    "goaway_frames": (lambda wire, _: frame(GOAWAY, 0, 0, number(0) + number(0)), 60_000, 500),
}

# A rule is broken at once.
BROKEN = {
    "block_of_garbage": lambda wire: [frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" * 40)],
    "even_stream": lambda wire: [wire.request(2, "/")],
    "stream_zero": lambda wire: [wire.request(0, "/")],
    "lower_stream": lambda wire: [wire.request(9, "/never"), wire.request(7, "/never")],
    "data_on_idle_stream": lambda wire: [frame(DATA, 0, 5, b"x")],
    "push": lambda wire: [frame(PUSH_PROMISE, END_HEADERS, 1, number(2) + wire.head([(":method", "GET")]))],
    "connection_window_overflow": lambda wire: [frame(WINDOW_UPDATE, 0, 0, number(0x7FFF_FFFF))] * 2,
    "something_within_a_block": lambda wire: [
        frame(HEADERS, END_STREAM, 1, wire.head([(":method", "GET")])), frame(PING, 0, 0, bytes(8)),
    ],
    "wrong_setting": lambda wire: [settings(window=0x8000_0000)],
    "settings_of_a_wrong_length": lambda wire: [frame(SETTINGS, 0, 0, b"12345")],
}


def table(name):
    """The case of a row of the tables."""
    def run(address):
        wire = opened(address)
        return floods(wire, BROKEN[name](wire) if name in BROKEN else repeated(wire, *MANY[name]))
    return run


def repeated(wire, make, count, size):
    return batches(lambda at: make(wire, at), count, size)


cases.update({name: table(name) for name in [*MANY, *BROKEN]})


# Streams that come and go.


@case
def rapid_reset(address):
    wire = opened(address)
    cancel = number(8)
    return floods(wire, batches(
        lambda at: wire.request(2 * at + 1, "/never") + frame(RST_STREAM, 0, 2 * at + 1, cancel), 2_000))


@case
def made_you_reset_lengths(address):
    wire = opened(address)
    more = [("content-length", "3")]
    return floods(wire, batches(lambda at: wire.request(2 * at + 1, "/never", "POST", False, more)
                                + frame(DATA, END_STREAM, 2 * at + 1, b"more than three"), 2_000))


@case
def streams_above_the_limit(address):
    wire = opened(address, polite=False)
    return floods(wire, batches(lambda at: wire.request(2 * at + 1, "/never", "POST", end=False), 4_000))


# Header blocks.


@case
def continuation_frames(address):
    wire = opened(address)
    block = wire.head([(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")])
    wire.send(frame(HEADERS, END_STREAM, 1, block))
    return floods(wire, batches(lambda at: frame(CONTINUATION, 0, 1, b""), 2_000, 10))


@case
def continuation_bytes(address):
    wire = opened(address)
    block = wire.head([(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")])
    wire.send(frame(HEADERS, END_STREAM, 1, block))
    field = wire.head([("x", "y" * 15_000)])
    return floods(wire, (frame(CONTINUATION, 0, 1, field) for _ in range(100)))


@case
def table_bomb(address):
    """One long entry in the dynamic table, then thousands of one-byte references to it."""
    wire = opened(address)
    head = wire.head([(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")])
    entry = b"\x40\x01a\x7f" + bytes([0x80 | (3_900 - 127) & 0x7F, (3_900 - 127) >> 7]) + b"v" * 3_900
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, head + entry))
    bomb = head + b"\xbe" * 16_000
    return floods(wire, (frame(HEADERS, END_HEADERS | END_STREAM, 2 * at + 3, bomb) for at in range(200)))


@case
def large_header_lists(address):
    wire = opened(address)
    more = [("x-" + str(at), "y" * 1_000) for at in range(15)]

    def request(at):
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/"), *more, *more]
        block = wire.head(fields)
        first, rest = block[:16_000], block[16_000:]
        return frame(HEADERS, END_STREAM, 2 * at + 1, first) + frame(CONTINUATION, END_HEADERS, 2 * at + 1, rest)

    return floods(wire, batches(request, 400, 4))


@case
def block_that_never_ends(address):
    wire = opened(address)
    wire.send(frame(HEADERS, END_STREAM, 1, wire.head([(":method", "GET")])))
    return floods(wire, [], 12)


# Frames about the connection.


@case
def window_updates_of_a_stream(address):
    wire = opened(address)
    wire.send(wire.request(1, "/never"))
    return floods(wire, batches(lambda _: frame(WINDOW_UPDATE, 0, 1, number(1)), 40_000, 500))


@case
def priority_frames(address):
    wire = opened(address)
    payload = struct.pack(">IB", 0, 15)
    return floods(wire, batches(lambda at: frame(PRIORITY, 0, 2 * at + 1, payload), 4_000))


@case
def resets_of_nothing(address):
    wire = opened(address)
    wire.send(wire.request(1, "/") + frame(RST_STREAM, 0, 1, number(8)))
    return floods(wire, batches(lambda _: frame(RST_STREAM, 0, 1, number(8)), 60_000, 500))


@case
def answers_not_read(address):
    """PING, paid for with content, whose answers are left in the pipe until there is no room for more."""
    wire = opened(address, received=4_096)
    wire.polite = False
    for stream in range(1, 33, 2):
        wire.send(wire.request(stream, "/never", "POST", end=False))
        pair = frame(PING, 0, 0, bytes(8)) + frame(DATA, 0, stream, bytes(16))
        if not all(wire.send(pair * 1_000) for _ in range(25)):
            break
    wire.pump(6, lambda: wire.goaway is not None)
    return wire


# Content.


@case
def empty_data(address):
    wire = opened(address)
    wire.send(wire.request(1, "/echo", "POST", end=False))
    return floods(wire, batches(lambda _: frame(DATA, 0, 1), 4_000, 20))


@case
def padded_nothing(address):
    wire = opened(address)
    wire.send(wire.request(1, "/echo", "POST", end=False))
    return floods(wire, batches(lambda _: frame(DATA, PADDED, 1, b"\x20" + bytes(32)), 4_000, 20))


@case
def tiny_data(address):
    wire = opened(address)
    wire.send(wire.request(1, "/never", "POST", end=False))
    return floods(wire, batches(lambda _: frame(DATA, 0, 1, b"x"), 100_000, 4_000))


@case
def crumbs(address):
    """The window of a large answer is opened byte by byte, each byte behind the one before."""
    wire = opened(address, first=settings(window=1), polite=False)
    wire.send(frame(SETTINGS, ACK), wire.request(1, "/bytes/1000000"))
    for count in range(1, 5_000):
        wire.pump(2, lambda: len(wire.of(1).body) >= count or wire.goaway is not None)
        if wire.goaway is not None or wire.closed or not wire.send(frame(WINDOW_UPDATE, 0, 1, number(1))):
            break
    return floods(wire, [])


# Broken rules.


@case
def last_stream_and_one_more(address):
    wire = opened(address)
    wire.send(wire.request(0x7FFF_FFFF, "/"))
    status = wire.wait(0x7FFF_FFFF).status
    wire.send(wire.request(1, "/"))
    wire.pump(6, lambda: wire.goaway is not None)
    wire.extra = {"status": status}
    return wire


@case
def data_behind_a_whole_exchange(address):
    wire = opened(address)
    wire.send(wire.request(1, "/"))
    wire.wait(1)
    return floods(wire, [frame(DATA, 0, 1, b"x" * 100)])


@case
def frame_above_the_limit(address):
    wire = opened(address)
    wire.send(wire.request(1, "/never", "POST", end=False))
    return floods(wire, [frame(DATA, 0, 1, bytes(16_385))])


@case
def content_above_the_window(address):
    wire = opened(address)
    wire.send(wire.request(1, "/deaf", "POST", end=False))
    wire.send(*(frame(DATA, 0, 1, bytes(16_384)) for _ in range(200)))
    wire.pump(6, lambda: wire.of(1).over)
    wire.extra = {"reset": wire.of(1).reset}
    return wire


@case
def content_above_the_window_of_the_connection(address):
    wire = opened(address)
    # 18 times 15 frames are a little more than 4 MiB; who sends much more may not be listened to for long enough.
    for at in range(18):
        wire.send(wire.request(2 * at + 1, "/deaf", "POST", end=False))
        wire.send(*(frame(DATA, 0, 2 * at + 1, bytes(16_384)) for _ in range(15)))
    return floods(wire, [])


@case
def no_settings_first(address):
    wire = Wire(address, first=frame(PING, 0, 0, bytes(8)))
    return floods(wire, [])


# Those who take their time.


@case
def half_a_preface(address):
    return slow(address, PREFACE[:10])


@case
def half_a_frame_header(address):
    return slow(address, PREFACE + settings() + frame(SETTINGS, ACK) + b"\0\0\4\1")


@case
def dribbled_head(address):
    """A byte of a request now and then: the head as a whole has a deadline."""
    wire = opened(address)
    for byte in wire.request(1, "/" + "x" * 200):
        if not wire.send(bytes([byte])) or wire.goaway or wire.closed:
            break
        wire.pump(0.25, lambda: wire.goaway is not None)
    wire.pump(3, lambda: wire.closed)
    return wire


@case
def settings_not_acknowledged(address):
    wire = Wire(address, polite=False)
    wire.pump(15, lambda: wire.goaway is not None)
    return wire


@case
def half_open_streams(address):
    """As many requests as are allowed, none of which goes on."""
    wire = opened(address)
    for at in range(100):
        wire.send(wire.request(2 * at + 1, "/echo", "POST", end=False))
    wire.pump(14, lambda: len([one for one in wire.streams.values() if one.over]) == 100)
    wire.extra = {"over": len([one for one in wire.streams.values() if one.over])}
    return wire


@case
def zero_window(address):
    """Many large answers, and no window for any."""
    wire = opened(address, first=settings(window=0), polite=False)
    wire.send(frame(SETTINGS, ACK), *(wire.request(2 * at + 1, "/bytes/1000000") for at in range(60)))
    wire.pump(14, lambda: len([one for one in wire.streams.values() if one.over]) == 60)
    over = [one for one in wire.streams.values() if one.over]
    wire.extra = {"over": len(over), "whole": len([one for one in over if one.ended])}
    return wire


def slow(address, piece):
    """Sends nothing but this, not even a preface, and waits for the end."""
    wire = Wire(address, first=None, polite=False)
    wire.send(piece)
    wire.pump(14, lambda: wire.closed)
    return wire


lock = threading.Lock()


def run(name, address):
    start = time.monotonic()
    wire = cases[name](address)
    if wire.goaway is not None:
        # What follows GOAWAY is the end.
        wire.pump(5, lambda: wire.closed)
    shown = {
        "name": name, "goaway": wire.goaway and wire.goaway[1], "closed": wire.closed,
        "seconds": round(time.monotonic() - start, 2), **getattr(wire, "extra", {}),
    }
    with lock:
        print(json.dumps(shown), flush=True)


def main():
    address, names = sys.argv[1], sys.argv[2:] or list(cases)
    patient = {
        "settings_not_acknowledged", "half_open_streams", "zero_window", "block_that_never_ends", "half_a_preface",
        "half_a_frame_header", "dribbled_head",
    }
    threads = [threading.Thread(target=run, args=(name, address)) for name in names if name in patient]
    for thread in threads:
        thread.start()
    for name in names:
        if name not in patient:
            run(name, address)
    for thread in threads:
        thread.join()


main()
