# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client over either version of HTTP.

Usage: ws_client.py 1|2 URL WHAT [ARGUMENT]. What it can do is listed at the end; it prints one line, or fails."""

import json
import os
import sys
import time

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode
from wsproto.utilities import LocalProtocolError

from ws_pipe import H2Connection, Refused, open_pipe


class Client:
    def __init__(self, pipe):
        self.pipe, self.frames, self.events, self.end = pipe, Connection(ConnectionType.CLIENT), [], None

    def say(self, event):
        self.pipe.send(self.frames.send(event))

    def raw(self, first, payload=b"", mask=True, length=None):
        """A frame as it is never made by a library."""
        size = len(payload)
        head = bytes([first])
        if length is not None:
            head += length
        elif size < 126:
            head += bytes([(128 if mask else 0) | size])
        elif size < 65536:
            head += bytes([(128 if mask else 0) | 126]) + size.to_bytes(2, "big")
        else:
            head += bytes([(128 if mask else 0) | 127]) + size.to_bytes(8, "big")
        if mask:
            head += b"\0\0\0\0"
        self.pipe.send(head + payload)

    def next(self):
        """The next event; None at the end."""
        while not self.events:
            data = self.pipe.receive()
            if not data:
                self.end = "reset" if data is None else "end"
                return None
            self.frames.receive_data(data)
            self.events.extend(self.frames.events())
        event = self.events.pop(0)
        if isinstance(event, Ping):
            self.say(event.response())
        return event

    def message(self):
        """The next whole message, with pings answered."""
        parts = []
        while True:
            event = self.next()
            assert isinstance(event, (Message, Ping, Pong)), event
            if isinstance(event, Message):
                parts.append(event.data)
                if event.message_finished:
                    return (b"" if isinstance(parts[0], (bytes, bytearray)) else "").join(parts)

    def echo(self, message):
        kind = TextMessage if isinstance(message, str) else BytesMessage
        self.say(kind(data=message))
        back = self.message()
        assert back == message, f"{len(back)} of {len(message)} came back"

    def last_words(self):
        """Waits for a close frame and the end behind it: the code, and how it ended."""
        while True:
            event = self.next()
            if event is None:
                return f"none {self.end}"
            if isinstance(event, CloseConnection):
                code = event.code
                try:
                    self.say(event.response())
                except (LocalProtocolError, OSError):
                    pass
                while self.next() is not None:
                    pass
                return f"{int(code)} {self.end}"

    def leave(self, code=CloseReason.NORMAL_CLOSURE, reason="bye"):
        self.say(CloseConnection(code=code, reason=reason))
        event = self.next()
        assert isinstance(event, CloseConnection), event
        assert event.code == code, event
        while self.next() is not None:
            pass
        assert self.end == "end", self.end
        self.pipe.close()


def cases(version, url):
    def fresh():
        return Client(open_pipe(version, url))

    client = fresh()
    for size in (0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000):
        client.echo(os.urandom(size))
        client.echo("ä" * (size // 2))
    client.echo(os.urandom(6 << 20))
    for number in range(300):
        client.say(TextMessage(data=str(number)))
    for number in range(300):
        assert client.message() == str(number)
    client.leave()

    client = fresh()
    for part in ("one ", "", "two ", "three"):
        client.say(TextMessage(data=part, message_finished=part == "three"))
        client.say(Ping(payload=b"between"))
    pongs, text = 0, ""
    while pongs < 4 or text != "one two three":
        event = client.next()
        if isinstance(event, Pong):
            assert bytes(event.payload) == b"between"
            pongs += 1
        else:
            text += event.data
    client.leave(CloseReason.GOING_AWAY, "")

    client = fresh()
    # Frames byte by byte, so that every header is cut everywhere.
    for byte in FrameProtocol(True, [])._serialize_frame(Opcode.BINARY, bytearray(b"x" * 130)):
        client.pipe.send(bytes([byte]))
    assert client.message() == b"x" * 130
    client.leave(3999, "mine")

    # Text that is none is the ends' affair: the origin says so, and its word arrives.
    client = fresh()
    client.raw(0x81, b"\xff\xfe")
    assert client.last_words() == "1007 end"

    # Bits and opcodes of extensions pass; an origin that knows none of them says so.
    for first in (0xC1, 0x83, 0x8B):
        client = fresh()
        client.raw(first, b"abc")
        said = client.last_words()
        assert said == "1002 end", said

    # An end without a farewell.
    client = fresh()
    client.echo("then gone")
    client.pipe.finish()
    while client.next() is not None:
        pass
    return "good"


BAD = {
    "unmasked": lambda client: client.raw(0x81, b"abc", mask=False),
    "long-ping": lambda client: client.raw(0x89, b"x" * 126),
    "fragmented-ping": lambda client: client.raw(0x09, b""),
    "orphan": lambda client: client.raw(0x80, b"abc"),
    "within": lambda client: (client.raw(0x01, b"abc"), client.raw(0x81, b"abc")),
    "length": lambda client: client.raw(0x82, b"", length=b"\xff\x80\0\0\0\0\0\0\0"),
    "not-shortest": lambda client: client.raw(0x82, b"abc", length=b"\xfe\0\3"),
}


def main(version, url, what, argument=None):
    if what == "cases":
        return cases(version, url)
    fields = [("origin", argument)] if what == "origin" and argument else []
    try:
        client = Client(open_pipe(version, url, fields))
    except Refused as refused:
        return str(refused.status)
    if what == "origin":
        client.echo("allowed")
        client.leave()
        return "open"
    if what == "first":
        return json.dumps(json.loads(client.message()))
    if what == "hold":
        # Says `open`, answers pings, and tells how it ended.
        client.echo("hello")
        print("open", flush=True)
        return client.last_words()
    if what == "wait":
        client.echo("hello")
        print("open", flush=True)
        sys.stdin.readline()
        client.echo("still here")
        client.leave()
        return "good"
    if what == "mute":
        # As `hold`, but answers nothing.
        client.say = lambda event: None
        print("open", flush=True)
        return client.last_words()
    if what == "flood":
        for number in range(int(argument)):
            client.raw(0x81, b"x")
        return client.last_words()
    if what == "pings":
        for number in range(int(argument)):
            client.raw(0x89)
        return client.last_words()
    if what == "crumbs":
        client.raw(0x01, b"x")
        for number in range(int(argument)):
            client.raw(0x00)
        return client.last_words()
    if what == "big":
        client.raw(0x82, b"x" * int(argument))
        return client.last_words()
    if what == "parts":
        client.raw(0x02, b"x" * 1000)
        for number in range(int(argument)):
            client.raw(0x00, b"x" * 1000)
        return client.last_words()
    if what == "ask":
        # The origin is asked to send a message of that size.
        client.say(TextMessage(data=f"send {argument}"))
        return client.last_words()
    if what == "slowly":
        # The same, and it is read in small pieces at first.
        client.say(TextMessage(data=f"send {argument}"))
        receive, until = client.pipe.receive, time.monotonic() + 6

        def piece():
            if time.monotonic() < until:
                time.sleep(0.02)
            return receive()

        client.pipe.receive = piece
        assert len(client.message()) == int(argument)
        return "good"
    if what == "raw":
        # The origin is asked to send these bytes.
        client.say(TextMessage(data=f"raw {argument}"))
        return client.last_words()
    if what == "hear":
        client.say(TextMessage(data=f"raw {argument}"))
        back = client.message()
        client.leave()
        return back
    if what == "half":
        # A frame that never ends, and what comes of a drain meanwhile.
        client.echo("hello")
        client.pipe.send(b"\x82\xff\0\0\0\0\0\1\0\0\0\0\0\0abc")
        print("open", flush=True)
        return client.last_words()
    if what == "bad":
        BAD[argument](client)
        return client.last_words()
    raise SystemExit(f"what is {what}?")


def many(url, count):
    """So many WebSockets on one connection of HTTP/2, with messages in turns."""
    connection = H2Connection(url)
    clients = [Client(connection.open()) for _ in range(int(count))]
    for turn in range(5):
        for number, client in enumerate(clients):
            client.say(TextMessage(data=f"{turn} {number}"))
        for number, client in enumerate(clients):
            assert client.message() == f"{turn} {number}"
    for client in clients:
        client.say(CloseConnection(code=1000))
        assert isinstance(client.next(), CloseConnection)
    return "good"


if __name__ == "__main__":
    if sys.argv[3] == "many":
        print(many(sys.argv[2], sys.argv[4]), flush=True)
    else:
        print(main(*sys.argv[1:]), flush=True)
