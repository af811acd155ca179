# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by hand: frames are written as they are told and read without mercy. Nothing is checked or normalised.

Names are those of RFC 9113. `Wire` is one connection of a client; `Stream` is what came back on one stream."""

import json
import socket
import struct
import time

from hpack import Decoder, Encoder

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 1, 1, 4, 8, 32
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ERRORS = [
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
]


def frame(kind, flags=0, stream=0, payload=b""):
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    """SETTINGS; `table`, `push`, `streams`, `window`, `payload`, `list` name the six of RFC 9113 section 6.5.2."""
    numbers = {"table": 1, "push": 2, "streams": 3, "window": 4, "payload": 5, "list": 6}
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", numbers[name], value) for name, value in values.items()))


def number(value):
    """Four bytes, as RST_STREAM and WINDOW_UPDATE carry them."""
    return struct.pack(">I", value)


def block(flags, stream, fragment):
    """HEADERS with this header block, and CONTINUATION where it takes more than one frame."""
    pieces = [fragment[at:at + 16_384] for at in range(0, len(fragment), 16_384)] or [b""]
    frames = [frame(HEADERS if at == 0 else CONTINUATION, flags if at == 0 else 0, stream, piece)
              for at, piece in enumerate(pieces)]
    last = bytearray(frames[-1])
    last[4] |= END_HEADERS
    return b"".join(frames[:-1]) + bytes(last)


def error_name(code):
    return ERRORS[code] if code < len(ERRORS) else str(code)


class Stream:
    """What came back on one stream."""

    def __init__(self):
        self.status = None
        self.fields = []
        self.body = bytearray()
        self.trailers = []
        self.interim = []
        self.reset = None
        self.ended = False

    @property
    def over(self):
        return self.ended or self.reset is not None

    def heads(self, fields):
        status = dict(fields).get(b":status")
        if status is None:
            self.trailers = fields
        elif status.startswith(b"1"):
            self.interim.append((int(status), fields))
        else:
            self.status, self.fields = int(status), fields


class Wire:
    """One connection of a client. `polite` answers SETTINGS and PING, and gives windows back.
    Where `first` is None, not even the preface is sent."""

    def __init__(self, address, first=settings(), polite=True, received=None):
        host, _, port = address.rpartition(":")
        self.socket = socket.socket()
        if received is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
        self.socket.settimeout(8)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.decoder.max_header_list_size = 1 << 24
        self.polite, self.goaway, self.closed, self.settled = polite, None, None, False
        self.streams, self.frames, self.buffer, self.block = {}, [], bytearray(), None
        # What the other side lets us send: on a new stream, and in all.
        self.window, self.room = 65_535, 65_535
        if first is not None:
            self.send(PREFACE + first)

    def send(self, *pieces):
        """Sends bytes. False where the other side is gone, which the frames will tell."""
        try:
            self.socket.sendall(b"".join(pieces))
            return True
        except OSError as error:
            self.closed = self.closed or str(error)
            return False

    def head(self, fields, huffman=False):
        """A header block of exactly these fields, texts as bytes of the same number."""
        def raw(text):
            return text if isinstance(text, bytes) else text.encode("latin-1")
        return self.encoder.encode([(raw(name), raw(value)) for name, value in fields], huffman=huffman)

    def request(self, stream, path="/", method="GET", end=True, more=()):
        """HEADERS of an honest request."""
        fields = [(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path), *more]
        return block(END_STREAM if end else 0, stream, self.head(fields))

    def pump(self, seconds, until=lambda: False):
        """Reads frames until the connection ends, `until` holds, or the time is over. Did `until` hold?"""
        end = time.monotonic() + seconds
        while not until():
            left = end - time.monotonic()
            if left <= 0 or self.closed:
                return until()
            self.socket.settimeout(max(left, 0.001))
            try:
                piece = self.socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError as error:
                self.closed = str(error)
                continue
            if not piece:
                self.closed = "end"
                continue
            self.buffer += piece
            self.take()
        self.socket.settimeout(8)
        return True

    def take(self):
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                return
            kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
            payload = bytes(self.buffer[9:9 + length])
            del self.buffer[:9 + length]
            self.frames.append((kind, flags, stream, length))
            self.act(kind, flags, stream & 0x7FFF_FFFF, payload)

    def act(self, kind, flags, stream, payload):
        if kind == SETTINGS:
            self.settled = True
            entries = (payload[at:at + 6] for at in range(0, len(payload), 6))
            self.window = next((int.from_bytes(entry[2:], "big") for entry in entries if entry[:2] == b"\0\4"), self.window)
            if not flags & ACK and self.polite:
                self.send(frame(SETTINGS, ACK))
        elif kind == WINDOW_UPDATE and stream == 0:
            self.room += int.from_bytes(payload, "big")
        elif kind == PING and not flags & ACK and self.polite:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            last, code = struct.unpack(">II", payload[:8])
            self.goaway = (last & 0x7FFF_FFFF, error_name(code))
        elif kind == RST_STREAM:
            self.of(stream).reset = error_name(struct.unpack(">I", payload)[0])
        elif kind == DATA:
            self.of(stream).body += payload
            if payload and self.polite:
                self.send(frame(WINDOW_UPDATE, 0, 0, number(len(payload))))
                if not flags & END_STREAM:
                    self.send(frame(WINDOW_UPDATE, 0, stream, number(len(payload))))
        elif kind in (HEADERS, CONTINUATION):
            self.block = (self.block or b"") + payload
            if flags & END_HEADERS:
                self.of(stream).heads([tuple(field) for field in self.decoder.decode(self.block, raw=True)])
                self.block = None
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.of(stream).ended = True

    def of(self, stream):
        return self.streams.setdefault(stream, Stream())

    def wait(self, stream, seconds=8):
        """Waits for the end of a stream."""
        self.pump(seconds, lambda: self.of(stream).over)
        return self.of(stream)


def say(**values):
    """One line of JSON for the test."""
    print(json.dumps(values), flush=True)
