# SPDX-License-Identifier: Apache-2.0
"""Sends requests of HTTP/2 exactly as they are written, each on a connection of its own.

Usage: h2_smuggle.py ADDRESS whole|pieces, with cases on standard input: one JSON object a line with `id`, `headers` (pairs), `body` (DATA
frames or null) and perhaps `trailers` (pairs). With `pieces` each frame is sent
alone, with a pause behind it. Prints one line of JSON for each as soon as it is over: `status`, `marked` (an
origin made the answer), `reset`, `goaway`, `ended`."""

import json
import sys

from h2_wire import DATA, END_HEADERS, END_STREAM, HEADERS, Wire, frame

MARK = b"x-from-the-origin"


def ask(address, pieces, case):
    wire = Wire(address)
    wire.pump(5, lambda: wire.settled)
    body, trailers = case["body"] or [], case.get("trailers")
    flags = END_HEADERS | (0 if case["body"] is not None or trailers else END_STREAM)
    frames = [frame(HEADERS, flags, 1, wire.head(case["headers"]))]
    for place, piece in enumerate(body):
        last = place == len(body) - 1 and not trailers
        frames.append(frame(DATA, END_STREAM if last else 0, 1, piece.encode("latin-1")))
    if trailers:
        frames.append(frame(HEADERS, END_HEADERS | END_STREAM, 1, wire.head(trailers)))
    if pieces:
        for piece in frames:
            wire.send(piece)
            wire.pump(0.03, lambda: wire.of(1).over)
    else:
        wire.send(*frames)
    wire.pump(5, lambda: wire.of(1).over or wire.goaway is not None)
    came = wire.of(1)
    wire.socket.close()
    return {
        "status": came.status, "marked": MARK in dict(came.fields), "reset": came.reset,
        "goaway": wire.goaway and wire.goaway[1], "ended": came.ended,
    }


def main():
    for line in sys.stdin:
        print(json.dumps(ask(sys.argv[1], sys.argv[2] == "pieces", json.loads(line))), flush=True)


main()
