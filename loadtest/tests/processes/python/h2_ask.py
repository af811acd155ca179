# SPDX-License-Identifier: Apache-2.0
"""Asks over HTTP/2 by prior knowledge and prints what came back as one line of JSON.

Usage: h2_ask.py ADDRESS, with one JSON document on standard input: a list of requests, which are sent at once on one
connection. Each has `path`, and where wanted `method`, `fields` (pairs), `body` (text) or `size` (that many bytes), `trailers`,
`wait` (the body is sent behind 100). The answer to each: `status`, `fields`, `text`, `length`, `digest`, `trailers`,
`interim`, `reset`, `ended`. `text` holds the first 4 KiB."""

import hashlib
import json
import sys

from h2_wire import (
    DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, Wire, frame, number, settings,
)


class Windows(Wire):
    """A client that keeps to the server's windows."""

    def __init__(self, address):
        self.room, self.initial, self.rooms = 65_535, 65_535, {}
        super().__init__(address, settings(window=1 << 20) + frame(WINDOW_UPDATE, 0, 0, number(1 << 22)))

    def act(self, kind, flags, stream, payload):
        super().act(kind, flags, stream, payload)
        if kind == SETTINGS and not flags & 1:
            for at in range(0, len(payload), 6):
                if payload[at:at + 2] == b"\0\4":
                    value = int.from_bytes(payload[at + 2:at + 6], "big")
                    self.rooms = {of: room + value - self.initial for of, room in self.rooms.items()}
                    self.initial = value
        elif kind == WINDOW_UPDATE:
            by = int.from_bytes(payload, "big")
            if stream == 0:
                self.room += by
            elif stream in self.rooms:
                self.rooms[stream] += by

    def upload(self, stream, body, trailers):
        view = memoryview(body)
        while view and not self.of(stream).over:
            if not self.pump(8, lambda: min(self.room, self.rooms[stream]) > 0 or self.of(stream).over):
                return
            count = min(self.room, self.rooms[stream], 16_384, len(view))
            if count <= 0:
                return
            last = count == len(view) and not trailers
            if not self.send(frame(DATA, END_STREAM if last else 0, stream, bytes(view[:count]))):
                return
            self.room, self.rooms[stream] = self.room - count, self.rooms[stream] - count
            view = view[count:]
        if trailers and not self.of(stream).over:
            self.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, self.head(trailers)))


def pattern(count):
    return (bytes(range(251)) * (count // 251 + 1))[:count]


def shown(stream):
    def texts(fields):
        return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields]
    body = bytes(stream.body)
    return {
        "status": stream.status, "fields": texts(stream.fields), "trailers": texts(stream.trailers),
        "interim": [[status, texts(fields)] for status, fields in stream.interim], "length": len(body),
        "text": body[:4_096].decode("latin-1"), "digest": hashlib.sha256(body).hexdigest(), "reset": stream.reset,
        "ended": stream.ended,
    }


def main():
    wire = Windows(sys.argv[1])
    wire.pump(8, lambda: wire.settled)
    uploads = []
    for place, ask in enumerate(json.load(sys.stdin)):
        stream = 2 * place + 1
        body = ask["body"].encode("latin-1") if "body" in ask else pattern(ask.get("size", 0))
        trailers = ask.get("trailers", [])
        wire.rooms[stream] = wire.initial
        ends = not body and not trailers
        more = ask.get("fields", [])
        wire.send(wire.request(stream, ask["path"], ask.get("method", "GET"), ends, more))
        if ask.get("wait"):
            wire.pump(8, lambda: wire.of(stream).interim or wire.of(stream).over)
        if not ends:
            uploads.append((stream, body, trailers))
    for upload in uploads:
        wire.upload(*upload)
    wire.pump(25, lambda: all(wire.of(2 * place + 1).over for place in range(place + 1)))
    answers = [shown(wire.of(2 * place + 1)) for place in range(place + 1)]
    print(json.dumps({"answers": answers, "goaway": wire.goaway, "closed": wire.closed}))


main()
