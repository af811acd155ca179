# SPDX-License-Identifier: Apache-2.0
"""A client of HTTP/2 that counts whose content comes when. Usage: h2_turns.py ADDRESS.

Its windows are as large as can be, so that only turns and sockets hold anything back. It reads nothing but where a step
says so, slowly, so that everybody always has something for it, and its own socket keeps little. Each line (JSON) on standard input is a step, which is answered with a line:

    ["ask", STREAM, PATH, FIELDS]   asks with GET
    ["priority", STREAM, VALUE]     PRIORITY_UPDATE
    ["came", STREAM, COUNT]         reads until so many bytes of content came on the stream
    ["headed", STREAM]              reads until its head came
    ["over", STREAM]                reads until the stream is over
    ["reset", STREAM]               gives the stream up

The answer is what came so far: `bytes` of each stream, the DATA `frames` of all, and how its stream `ended`."""

import json
import sys
import time

from h2_wire import (
    ACK, DATA, END_STREAM, PRIORITY_UPDATE, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, frame, number, settings,
)

LARGEST = 0x7FFF_FFFF


class Counter(Wire):
    def __init__(self, address):
        self.bytes = {}
        self.data_frames = 0
        grown = frame(WINDOW_UPDATE, 0, 0, number(LARGEST - 65_535))
        super().__init__(address, settings(window=LARGEST) + grown, polite=False, received=1 << 16)

    def act(self, kind, flags, stream, payload):
        if kind == DATA:
            self.data_frames += 1
            self.bytes[stream] = self.bytes.get(stream, 0) + len(payload)
            self.of(stream).ended |= bool(flags & END_STREAM)
            return
        super().act(kind, flags, stream, payload)
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK))

    def take(self):
        """As it is, but no further than to the end of a step, and no faster than anybody can follow."""
        time.sleep(0.002)
        while len(self.buffer) >= 9 and not self.until():
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                return
            kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
            payload = bytes(self.buffer[9:9 + length])
            del self.buffer[:9 + length]
            self.act(kind, flags, stream, payload)

    def read(self, until):
        self.until = until
        self.take()
        return self.pump(8, until)

    def until(self):
        return False


def step(wire, what, *arguments):
    if what == "ask":
        stream, path, fields = arguments
        return wire.send(wire.request(stream, path, more=fields))
    if what == "priority":
        stream, value = arguments
        return wire.send(frame(PRIORITY_UPDATE, 0, 0, number(stream) + value.encode()))
    if what == "came":
        stream, count = arguments
        return wire.read(lambda: wire.bytes.get(stream, 0) >= count)
    stream = wire.of(arguments[0])
    if what == "headed":
        return wire.read(lambda: stream.status is not None or stream.over)
    if what == "over":
        return wire.read(lambda: stream.over)
    assert what == "reset", what
    return wire.send(frame(RST_STREAM, 0, arguments[0], number(8)))


def main():
    wire = Counter(sys.argv[1])
    wire.read(lambda: wire.settled)
    for line in sys.stdin:
        good = step(wire, *json.loads(line))
        ended = {str(of): stream.reset or stream.status for of, stream in wire.streams.items() if stream.over}
        counts = {str(of): count for of, count in wire.bytes.items()}
        print(json.dumps({"good": good, "bytes": counts, "frames": wire.data_frames, "ended": ended}), flush=True)


main()
