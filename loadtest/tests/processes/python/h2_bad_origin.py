# SPDX-License-Identifier: Apache-2.0
"""An origin of HTTP/2 that breaks rules by the path of the request. Prints its port, then runs until it is ended.

Each case is written below by its name; what is not a case is answered with 200 and `here`. Requests with `x-reset: CODE/WHEN` are
calls of gRPC that are reset with this code: `head` before anything, `late` behind the first message, `once` before anything, but
only the first of all, and the others are answered."""

import socket
import struct
import sys
import threading

from hpack import Decoder, Encoder

from h2_wire import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PUSH_PROMISE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, block, frame, number, settings,
)

GOOD = [(":status", "200"), ("content-length", "4")]


def head(peer, stream, fields, end=False):
    return block(END_STREAM if end else 0, stream, peer.head(fields))


def body(stream, content=b"here", end=True):
    return frame(DATA, END_STREAM if end else 0, stream, content)


def answer(fields):
    """A head that should be refused, with content that would be good."""
    return lambda peer, stream: head(peer, stream, fields) + body(stream)


def more(*fields):
    return answer([*GOOD, *fields])


def many(make, count):
    return lambda peer, stream: b"".join(make(peer, stream, at) for at in range(count))


def bomb(peer, stream):
    entry = b"\x40\x01a\x7f" + bytes([0x80 | (3_900 - 127) & 0x7F, (3_900 - 127) >> 7]) + b"v" * 3_900
    return frame(HEADERS, END_HEADERS, stream, peer.head(GOOD) + entry + b"\xbe" * 12_000) + body(stream)


CASES = {
    # Fields.
    "line-feed-in-value": more(("x", "a\nset-cookie: b=c")),
    "carriage-return-in-value": more(("x", "a\r\n\r\nHTTP/1.1 200 OK")),
    "zero-in-value": more(("x", "a\0b")),
    "line-feed-in-name": more(("x\r\ny", "a")),
    "colon-in-name": more(("x: y", "a")),
    "upper-case-name": more(("X-Upper", "a")),
    "empty-name": more(("", "a")),
    "space-in-name": more(("x y", "a")),
    "space-before-value": more(("x", " a")),
    "connection": more(("connection", "close")),
    "transfer-encoding": more(("transfer-encoding", "chunked")),
    "upgrade": more(("upgrade", "h2c")),
    "keep-alive": more(("keep-alive", "timeout=5")),
    "two-lengths": answer([(":status", "200"), ("content-length", "4"), ("content-length", "5")]),
    "length-in-words": answer([(":status", "200"), ("content-length", "four")]),
    "negative-length": answer([(":status", "200"), ("content-length", "-4")]),
    # Pseudo-fields.
    "no-status": answer([("content-length", "4")]),
    "two-statuses": answer([(":status", "200"), *GOOD]),
    "late-status": answer([("content-length", "4"), (":status", "200")]),
    "status-in-words": answer([(":status", "2xx")]),
    "status-of-two-digits": answer([(":status", "20")]),
    "status-101": answer([(":status", "101")]),
    "request-pseudo-field": answer([(":status", "200"), (":path", "/")]),
    "unknown-pseudo-field": answer([(":status", "200"), (":x", "y")]),
    # Frames of a stream.
    "data-first": lambda peer, stream: body(stream),
    "interim-that-ends": lambda peer, stream: head(peer, stream, [(":status", "103")], end=True),
    "endless-interim": many(lambda peer, stream, at: head(peer, stream, [(":status", "103")]), 500),
    "push": lambda peer, stream: frame(PUSH_PROMISE, END_HEADERS, stream, number(2) + peer.head([(":method", "GET")])),
    "even-stream": lambda peer, stream: head(peer, 2, GOOD, end=True),
    "garbage-in-block": lambda peer, stream: frame(HEADERS, END_HEADERS, stream, b"\xff" * 30),
    "large-head": more(*(("x-" + str(at), "v" * 1_000) for at in range(56))),
    "bomb": bomb,
    "endless-block": lambda peer, stream: frame(HEADERS, 0, stream, peer.head(GOOD)) + b"".join(
        frame(CONTINUATION, 0, stream, b"") for _ in range(2_000)),
    "frame-too-large": lambda peer, stream: head(peer, stream, GOOD) + frame(DATA, 0, stream, bytes(20_000)),
    "not-http2": lambda peer, stream: b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere",
    # Content: the head is good, so what must not be is an answer that ends well.
    "content-too-short": lambda peer, stream: head(peer, stream, GOOD) + body(stream, b"her"),
    "content-too-long": lambda peer, stream: head(peer, stream, GOOD) + body(stream, b"heres"),
    "content-of-head-alone": lambda peer, stream: head(peer, stream, GOOD, end=True),
    "pseudo-field-in-trailers": lambda peer, stream: head(peer, stream, [(":status", "200")]) + body(
        stream, end=False) + head(peer, stream, [(":status", "200")], end=True),
    "line-feed-in-trailers": lambda peer, stream: head(peer, stream, [(":status", "200")]) + body(
        stream, end=False) + head(peer, stream, [("x", "a\r\n\r\nb")], end=True),
    "trailers-that-do-not-end": lambda peer, stream: head(peer, stream, [(":status", "200")]) + body(
        stream, end=False) + head(peer, stream, [("x", "a")]),
    "content-above-the-window": lambda peer, stream: head(peer, stream, [(":status", "200")]) + b"".join(
        body(stream, bytes(16_384), end=False) for _ in range(2_000)),
    "window-overflow": lambda peer, stream: head(peer, stream, [(":status", "200")]) + frame(
        WINDOW_UPDATE, 0, stream, number(0x7FFF_FFFF)) * 2,
    # Floods, behind the beginning of a good answer.
    "settings-flood": lambda peer, stream: head(peer, stream, GOOD) + settings(window=65_535) * 4_000,
    "ping-flood": lambda peer, stream: head(peer, stream, GOOD) + frame(PING, 0, 0, bytes(8)) * 8_000,
    "empty-data-flood": lambda peer, stream: head(peer, stream, GOOD) + frame(DATA, 0, stream) * 8_000,
    "window-flood": lambda peer, stream: head(peer, stream, GOOD) + frame(WINDOW_UPDATE, 0, 0, number(1)) * 50_000,
    "unknown-flood": lambda peer, stream: head(peer, stream, GOOD) + frame(0xBE, 0, 0, b"x") * 50_000,
}


GRPC = [(":status", "200"), ("content-type", "application/grpc")]
MESSAGE = b"\0\0\0\0\5first"
were_reset = []


def call(peer, stream, code, when):
    reset = frame(RST_STREAM, 0, stream, number(int(code)))
    if when == "head":
        return reset
    if when == "once" and not were_reset:
        were_reset.append(stream)
        return reset
    begun = head(peer, stream, GRPC) + body(stream, MESSAGE, end=False)
    return begun + (reset if when == "late" else head(peer, stream, [("grpc-status", "0")], end=True))


class Peer:
    def __init__(self, line):
        self.line, self.encoder, self.decoder = line, Encoder(), Decoder()

    def head(self, fields):
        return self.encoder.encode([(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields], huffman=False)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.line.recv(count - len(data))
            if not piece:
                raise OSError("end")
            data += piece
        return data

    def run(self):
        self.line.sendall(settings())
        self.exactly(len(PREFACE))
        while True:
            header = self.exactly(9)
            length = int.from_bytes(header[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", header[3:])
            payload = self.exactly(length)
            if kind == SETTINGS and not flags & ACK:
                self.line.sendall(frame(SETTINGS, ACK))
            elif kind == PING and not flags & ACK:
                self.line.sendall(frame(PING, ACK, 0, payload))
            elif kind == HEADERS:
                fields = dict(self.decoder.decode(payload, raw=True))
                case = CASES.get(fields[b":path"].decode()[1:])
                if b"x-reset" in fields:
                    made = call(self, stream, *fields[b"x-reset"].decode().split("/"))
                else:
                    made = case(self, stream) if case else head(self, stream, GOOD) + body(stream)
                self.line.sendall(made)


def serve(line):
    try:
        Peer(line).run()
    except OSError:
        line.close()


def main():
    if sys.argv[1:] == ["names"]:
        print("\n".join(CASES))
        return
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    while True:
        line, _ = listener.accept()
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(line,), daemon=True).start()


main()
