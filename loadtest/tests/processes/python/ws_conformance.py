# SPDX-License-Identifier: Apache-2.0
"""The categories of the Autobahn test suite as a table, from a client that makes and reads every frame by hand.

Usage: ws_conformance.py 1|2 URL [deflate]. Each case is a WebSocket of its own. Prints one line of JSON: how many cases
there were, and what was wrong. `deflate` says that the server knows permessage-deflate.

A case is what is sent, in which pieces, which messages and pongs come back, and the code of the close frame behind
them."""

import json
import struct
import sys
import zlib

from ws_pipe import H1Pipe, H2Connection

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PROTOCOL, INVALID = 1002, 1007
MASK = b"\x37\xfa\x21\x3d"


def masked(payload):
    whole = MASK * (len(payload) // 4 + 1)
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole[:len(payload)], "big")).to_bytes(len(payload), "big")


def frame(opcode, payload=b"", fin=True, rsv=0):
    if len(payload) < 126:
        length = bytes([0x80 | len(payload)])
    elif len(payload) < 65_536:
        length = b"\xfe" + struct.pack(">H", len(payload))
    else:
        length = b"\xff" + struct.pack(">Q", len(payload))
    return bytes([fin << 7 | rsv << 4 | opcode]) + length + MASK + masked(payload)


def close(code=1000, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


def chopped(data, size=1):
    return [data[at:at + size] for at in range(0, len(data), size)]


def text(payload):
    return (TEXT, payload)


def binary(payload):
    return (BINARY, payload)


def pong(payload):
    return (PONG, payload)


class Case:
    """`back` comes back; then the client closes, unless what it sent ends the WebSocket: with a close frame of its own
    among it, or with what must be refused. Then `back` may be cut short by the end, whose `code` is said."""

    def __init__(self, name, sent, back=(), code=None):
        self.name, self.sent, self.back = name, list(sent), list(back)
        self.ends, self.codes = code is not None, code if isinstance(code, tuple) else (code or 1000,)


def framing():
    for make, kind in ((text, TEXT), (binary, BINARY)):
        for size in (0, 125, 126, 127, 128, 65_535, 65_536):
            payload = b"*" * size
            yield Case(f"1 {kind} of {size}", [frame(kind, payload)], [make(payload)])
        payload = b"*" * 65_536
        yield Case(f"1 {kind} chopped", chopped(frame(kind, payload), 997), [make(payload)])


def pings():
    for payload in (b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125):
        yield Case(f"2 ping of {len(payload)}", [frame(PING, payload)], [pong(payload)])
        yield Case(f"2 ping of {len(payload)}, chopped", chopped(frame(PING, payload)), [pong(payload)])
        yield Case(f"2 pong of {len(payload)} to nothing", [frame(PONG, payload)])
        yield Case(f"2 pong of {len(payload)}, then ping", [frame(PONG, payload), frame(PING, b"x")], [pong(b"x")])
    yield Case("2 ping of 126", [frame(PING, b"\xfe" * 126)], code=PROTOCOL)
    ten = [b"payload-%d" % number for number in range(10)]
    yield Case("2 ten pings", [frame(PING, one) for one in ten], [pong(one) for one in ten])
    yield Case("2 ten pings, chopped", chopped(b"".join(frame(PING, one) for one in ten)), [pong(one) for one in ten])


def reserved_bits():
    hello = frame(TEXT, b"Hello")
    for rsv in range(1, 8):
        behind = [hello, frame(TEXT, b"more", rsv=rsv), frame(PING)]
        yield Case(f"3 text with {rsv}", behind, [text(b"Hello")], PROTOCOL)
        yield Case(f"3 ping with {rsv}", [hello, frame(PING, b"x", rsv=rsv)], [text(b"Hello")], PROTOCOL)
        yield Case(f"3 close with {rsv}", [hello, frame(CLOSE, b"\x03\xe8", rsv=rsv)], [text(b"Hello")], PROTOCOL)
        yield Case(f"3 {rsv}, chopped", chopped(frame(BINARY, b"more", rsv=rsv)), [], PROTOCOL)


def opcodes():
    hello = frame(TEXT, b"Hello")
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        for payload in (b"", b"reserved"):
            bad = frame(opcode, payload)
            yield Case(f"4 {opcode} with {len(payload)}", [bad], code=PROTOCOL)
            behind = [hello, bad, frame(PING)]
            yield Case(f"4 {opcode} with {len(payload)} behind text", behind, [text(b"Hello")], PROTOCOL)
        yield Case(f"4 {opcode}, chopped", chopped(hello + frame(opcode, b"x")), [text(b"Hello")], PROTOCOL)


def fragments():
    one, two = frame(TEXT, b"fragment1", fin=False), frame(0, b"fragment2")
    whole = text(b"fragment1fragment2")
    for opcode in (PING, PONG, CLOSE):
        bad = [frame(opcode, b"\x03\xe8", fin=False), frame(0, b"x")]
        yield Case(f"5 {opcode} in fragments", bad, code=PROTOCOL)
    yield Case("5 text in two", [one, two], [whole])
    yield Case("5 text in two at once", [one + two], [whole])
    yield Case("5 text in two, chopped", chopped(one + two), [whole])
    parts = [one, frame(PING, b"between"), two]
    for how, pieces in (("", parts), (", at once", [b"".join(parts)]), (", chopped", chopped(b"".join(parts)))):
        yield Case(f"5 ping between{how}", pieces, [pong(b"between"), whole])
    for fin in (True, False):
        nothing = frame(0, b"non-continuation", fin=fin)
        for how in (lambda data: [data], chopped):
            yield Case(f"5 continuation of nothing, {fin}", how(nothing + frame(TEXT, b"Hello")), code=PROTOCOL)
            yield Case(f"5 too many continuations, {fin}", how(one + two + nothing), [whole], PROTOCOL)
        yield Case(f"5 text within text, {fin}", [one, frame(TEXT, b"fragment2", fin=fin)], code=PROTOCOL)
        yield Case(f"5 binary within text, {fin}", [one, frame(BINARY, b"fragment2", fin=fin)], code=PROTOCOL)
    five = [b"fragment%d" % number for number in range(1, 6)]
    pieces = [frame(TEXT if at == 0 else 0, one, fin=at == 4) for at, one in enumerate(five)]
    yield Case("5 text in five", pieces, [text(b"".join(five))])
    pings, pongs = [frame(PING, b"ping1"), frame(PING, b"ping2")], [pong(b"ping1"), pong(b"ping2")]
    mixed = [*pieces[:2], pings[0], *pieces[2:4], pings[1], frame(PONG, b"?"), *pieces[4:]]
    yield Case("5 text in five, pings between", mixed, [*pongs, text(b"".join(five))])
    yield Case("5 the same, chopped", chopped(b"".join(mixed)), [*pongs, text(b"".join(five))])
    yield Case("5 empty fragments", [frame(BINARY, fin=False), frame(0, fin=False), frame(0)], [binary(b"")])


VALID = [
    "Hello-µ@ßöäüàá-UTF-8!!".encode(), "κόσμε".encode(), b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80",
    b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd",
    b"\xef\xbf\xbe", b"\xf0\x9f\xbf\xbf", "日本語 emoji 🎉".encode(),
]
INVALID_TEXT = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xf4\x90\x80\x80", b"\x80", b"\xbf", b"\x80\xbf\x80",
    b"\xc0 \xc1 ", b"\xe0 \xe1 ", b"\xf0 ", b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xfe", b"\xff",
    b"\xfe\xfe\xff\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xc0\x80",
    b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80",
]


def utf8():
    yield Case("6 empty text in three", [frame(TEXT, fin=False), frame(0, fin=False), frame(0)], [text(b"")])
    for number, valid in enumerate(VALID):
        yield Case(f"6 valid {number}", [frame(TEXT, valid)], [text(valid)])
        single = [frame(TEXT if at == 0 else 0, valid[at:at + 1], at == len(valid) - 1) for at in range(len(valid))]
        yield Case(f"6 valid {number}, a byte in each frame", single, [text(valid)])
        yield Case(f"6 valid {number}, chopped", chopped(frame(TEXT, valid)), [text(valid)])
    for number, invalid in enumerate(INVALID_TEXT):
        yield Case(f"6 invalid {number}", [frame(TEXT, invalid)], code=INVALID)
        halves = [frame(TEXT, b"good " + invalid, fin=False), frame(0, b" good")]
        yield Case(f"6 invalid {number}, in two", halves, code=INVALID)
        yield Case(f"6 invalid {number} is good as bytes", [frame(BINARY, invalid)], [binary(invalid)])


def closing():
    hello = frame(TEXT, b"Hello")
    yield Case("7 close behind text", [hello, close()], [text(b"Hello")], 1000)
    yield Case("7 two closes", [close(), close()], code=1000)
    yield Case("7 ping behind close", [close(), frame(PING)], code=1000)
    yield Case("7 text behind close", [close(), frame(TEXT, b"late")], code=1000)
    within = [frame(TEXT, b"fragment1", fin=False), close(), frame(0, b"fragment2")]
    yield Case("7 close within a message", within, code=(1000, PROTOCOL))
    much = b"BAsd7&jh23" * 26_000
    yield Case("7 much text, then close", [frame(TEXT, much), close()], [text(much)], 1000)
    yield Case("7 close without a code", [frame(CLOSE)], code=1000)
    yield Case("7 close of one byte", [frame(CLOSE, b"a")], code=PROTOCOL)
    for length in (0, 5, 123):
        yield Case(f"7 reason of {length}", [close(1000, b"*" * length)], code=1000)
    yield Case("7 reason of 124", [close(1000, b"*" * 124)], code=PROTOCOL)
    yield Case("7 reason that is no text", [close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")], code=INVALID)
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        yield Case(f"7 code {code}", [close(code)], code=code)
    for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535):
        yield Case(f"7 code {code}", [close(code)], code=PROTOCOL)
        yield Case(f"7 code {code} with a reason", [close(code, b"why")], code=PROTOCOL)


def limits():
    large = bytes(range(256)) * 4_096
    yield Case("9 binary of 1 MiB", [frame(BINARY, large)], [binary(large)])
    yield Case("9 text of 1 MiB", [frame(TEXT, b"abcdefgh" * 131_072)], [text(b"abcdefgh" * 131_072)])
    for size in (64, 1_024, 65_536):
        parts = chopped(large, size) if size > 64 else chopped(large[:65_536], size)
        frames = [frame(BINARY if at == 0 else 0, one, at == len(parts) - 1) for at, one in enumerate(parts)]
        yield Case(f"9 in fragments of {size}", [b"".join(frames)], [binary(b"".join(parts))])
    yield Case("9 chopped by 64", chopped(frame(BINARY, large[:65_536]), 64), [binary(large[:65_536])])
    small = [frame(TEXT, b"%d" % number) for number in range(500)]
    yield Case("9 five hundred messages", small, [text(b"%d" % number) for number in range(500)])
    yield Case("9 the same at once", [b"".join(small)], [text(b"%d" % number) for number in range(500)])


def compression():
    def squeezed(payload):
        squeeze = zlib.compressobj(wbits=-15)
        return (squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
    for size in (0, 16, 1_000, 100_000):
        payload = b"a b c " * (size // 6)
        squeezed_payload = squeezed(payload) or b"\0"
        yield Case(f"12 text of {size}", [frame(TEXT, squeezed_payload, rsv=4)], [text(payload)])
        half = len(squeezed_payload) // 2
        both = [frame(TEXT, squeezed_payload[:half], fin=False, rsv=4), frame(0, squeezed_payload[half:])]
        yield Case(f"12 text of {size} in two", both, [text(payload)])
        yield Case(f"12 text of {size} as it is", [frame(TEXT, payload)], [text(payload)])
    yield Case("12 no compression", [frame(BINARY, b"\xff\xff\xff", rsv=4)], code=(INVALID, PROTOCOL, 1011))


def inflated(payload):
    return zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")


class Reader:
    """What comes: whole messages and control frames in `back`, the code of the close frame, and how it `ended`."""

    def __init__(self, pipe):
        self.pipe, self.data, self.back, self.code, self.part, self.ended = pipe, b"", [], "none", None, ""

    def read(self, done):
        while not self.ended and not done():
            piece = self.pipe.receive()
            if not piece:
                assert not self.data, "half a frame at the end"
                self.ended = "reset" if piece is None else "end"
                return
            self.data += piece
            while self.take():
                pass

    def take(self):
        if len(self.data) < 2:
            return False
        length, at = self.data[1], 2
        assert length < 128, "a server's frame with a mask"
        if length > 125:
            at = 4 if length == 126 else 10
            length = int.from_bytes(self.data[2:at], "big")
        if len(self.data) < at + length:
            return False
        first, payload, self.data = self.data[0], self.data[at:at + length], self.data[at + length:]
        assert self.code == "none", "something behind a close frame"
        opcode = first & 15
        if opcode == CLOSE:
            self.code = struct.unpack(">H", payload[:2])[0] if payload else 1000
        elif opcode > 7:
            self.back.append((opcode, payload))
        else:
            assert (opcode == 0) == (self.part is not None), "a continuation of nothing, or none of something"
            kind, before, rsv = self.part or (opcode, b"", first >> 4 & 7)
            self.part = (kind, before + payload, rsv)
            if first & 0x80:
                self.back.append((kind, inflated(self.part[1]) if rsv else self.part[1]))
                self.part = None
        return True


def wrong(case, pipe):
    """What is wrong with a case; None where nothing is."""
    reader = Reader(pipe)
    try:
        for piece in case.sent:
            pipe.send(piece)
        if not case.ends:
            reader.read(lambda: len(reader.back) >= len(case.back) or reader.code != "none")
            pipe.send(close())
        reader.read(lambda: False)
        if reader.ended == "end" and not isinstance(pipe, H1Pipe):
            pipe.finish()
    except (AssertionError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    back = reader.back
    good = back == (case.back[:len(back)] if case.ends else case.back)
    if good and reader.code in case.codes and reader.ended == "end":
        return None
    shown = [(opcode, len(payload), payload[:20].hex()) for opcode, payload in back]
    return f"{shown}, closed with {reader.code}, {reader.ended}"


def main(version, url, deflate=None):
    sections = [framing, pings, reserved_bits, opcodes, fragments, utf8, closing, limits]
    count, faults = 0, []
    shared = H2Connection(url) if version == "2" else None

    def fresh(fields):
        return shared.open(fields) if shared else H1Pipe(url, fields)

    for section in sections + [compression] * (deflate is not None):
        # Without contexts that are taken over, every message stands for itself.
        offer = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
        fields = [("sec-websocket-extensions", offer)] if section is compression else []
        for case in section():
            count += 1
            fault = wrong(case, fresh(fields))
            if fault:
                faults.append(f"{case.name}: {fault}")
    print(json.dumps({"count": count, "wrong": faults}))


main(*sys.argv[1:])
