# SPDX-License-Identifier: Apache-2.0
"""A client of HTTP/2 that does as told. Usage: h2_leaver.py ADDRESS PATH.

Asks for PATH, says `"asked"`, and then answers each line (JSON) on standard input with a line:

    "reset"   resets the stream of the first request
    "ask"     asks for /here; the status
    "more"    asks for PATH once more, without reading
    "read"    reads the first answer to its end; its length
    "upload"  sends content to /deaf for as long as there is window; how much
    "answer"  waits for the first answer; its status
    "come"    waits for more content of the first answer; all of it so far, as text
    "frames"  how many DATA frames of content came
    "end"     waits for the end of the connection; `goaway` and `closed`
    "part"    sends the head and a part of the content of a POST to PATH; `"reset"` is then about this one
    ["part", PATH]  the same with another path
    "rest"    ends that POST with some more content; its status and the length of its answer
    "leave"   closes the connection"""

import json
import sys

from h2_wire import ACK, DATA, END_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, frame, number, settings


class Leaver:
    def __init__(self, address, path):
        self.path = path
        # Large windows for the stream, but the connection's stays as it is: nothing is given back before `read`.
        self.wire = Wire(address, settings(window=1 << 20), polite=False)
        self.wire.pump(5, lambda: self.wire.settled)
        self.wire.send(frame(SETTINGS, ACK), self.wire.request(1, path))
        self.next = 3

    def ask(self, path, method="GET", end=True):
        stream = self.next
        self.next += 2
        self.wire.send(self.wire.request(stream, path, method, end))
        return stream

    def act(self, what):
        wire = self.wire
        if isinstance(what, list):
            _, self.path = what
            return self.act("part")
        if what == "reset":
            wire.send(frame(RST_STREAM, 0, self.victim, number(8)))
            return "reset"
        if what == "part":
            self.victim = self.ask(self.path, "POST", end=False)
            return wire.send(frame(DATA, 0, self.victim, bytes(1_000)))
        if what == "rest":
            wire.send(frame(DATA, END_STREAM, self.victim, bytes(500)))
            stream = wire.wait(self.victim)
            return [stream.status, len(stream.body)]
        if what == "ask":
            return wire.wait(self.ask("/here")).status
        if what == "answer":
            return wire.wait(1).status
        if what == "come":
            had = len(wire.of(1).body)
            wire.pump(5, lambda: len(wire.of(1).body) > had or wire.of(1).over)
            return bytes(wire.of(1).body).decode("latin-1")
        if what == "frames":
            return sum(kind == DATA and length > 0 for kind, _, _, length in wire.frames)
        if what == "end":
            wire.polite = True
            wire.pump(10, lambda: wire.closed)
            return {"goaway": wire.goaway, "closed": wire.closed}
        if what == "more":
            return self.ask(self.path)
        if what == "read":
            return self.read()
        if what == "upload":
            return self.upload()
        wire.socket.close()
        return "left"

    def read(self):
        """The connection's window is opened by what comes on any stream; the others are given up."""
        wire = self.wire
        wire.send(*(frame(RST_STREAM, 0, stream, number(8)) for stream in range(3, self.next, 2)))
        wire.pump(20, lambda: sum(len(stream.body) for stream in wire.streams.values()) >= 65_535)
        given = 0
        first = wire.of(1)
        while not first.over and not wire.closed:
            came = sum(len(stream.body) for stream in wire.streams.values())
            if came > given:
                wire.send(frame(WINDOW_UPDATE, 0, 0, number(came - given)))
                given = came
            if len(first.body) > self.opened(first) and not first.over:
                wire.send(frame(WINDOW_UPDATE, 0, 1, number(1 << 20)))
                self.granted += 1 << 20
            if not wire.pump(30, lambda: first.over or sum(len(one.body) for one in wire.streams.values()) > given):
                break
        return len(first.body) if first.ended else -len(first.body)

    victim = 1
    granted = 1 << 20

    def opened(self, stream):
        return self.granted - (1 << 19)

    def upload(self):
        wire, stream = self.wire, self.ask("/deaf", "POST", end=False)
        room = {0: wire.room, stream: wire.window}
        settled = wire.act

        def act(kind, flags, of, payload):
            if kind == WINDOW_UPDATE and of in room:
                room[of] += int.from_bytes(payload, "big")
            settled(kind, flags, of, payload)

        wire.act = act
        sent = 0
        while sent < 50_000_000:
            count = min(min(room.values()), 16_384)
            if count == 0:
                if not wire.pump(1.5, lambda: min(room.values()) > 0):
                    break
                continue
            wire.send(frame(DATA, 0, stream, bytes(count)))
            room = {of: left - count for of, left in room.items()}
            sent += count
        return sent


def main():
    leaver = Leaver(sys.argv[1], sys.argv[2])
    print('"asked"', flush=True)
    for line in sys.stdin:
        print(json.dumps(leaver.act(json.loads(line))), flush=True)


main()
