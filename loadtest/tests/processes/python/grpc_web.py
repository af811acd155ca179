# SPDX-License-Identifier: Apache-2.0
"""A gRPC-Web client by hand: HTTP/1.1 of the standard library and frames. Usage: grpc_web.py ADDRESS SCENARIO."""

import base64
import http.client
import json
import struct
import sys

METHOD = "/test.Calls/"


def frame(payload, flags=0):
    return struct.pack(">BI", flags, len(payload)) + payload


def frames(body):
    """Messages and the trailers behind them."""
    messages, trailers = [], None
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        payload, body = body[5 : 5 + length], body[5 + length :]
        assert len(payload) == length, "a cut frame"
        assert trailers is None, "something behind the trailers"
        if flags & 0x80:
            lines = payload.decode().split("\r\n")
            assert lines.pop() == "" and all(line == line.lower() or ":" in line for line in lines), lines
            trailers = dict(line.split(": ", 1) for line in lines)
        else:
            messages.append(payload)
    return messages, trailers


def texts(body):
    """Base64 that may have been padded between any two groups."""
    out = b""
    while body:
        end = body.find(b"=")
        end = len(body) if end < 0 else end + len(body[end:]) - len(body[end:].lstrip(b"="))
        out, body = out + base64.b64decode(body[:end]), body[end:]
    return out


class Caller:
    def __init__(self, address, kind):
        self.connection = http.client.HTTPConnection(address, timeout=10)
        self.kind = kind

    def call(self, name, messages, fields=()):
        body = b"".join(frame(message) for message in messages)
        if self.kind == "grpc-web-text":
            body = base64.b64encode(body)
        fields = {"content-type": f"application/{self.kind}+proto", "x-grpc-web": "1", **dict(fields)}
        try:
            self.connection.request("POST", METHOD + name, body, fields)
            answer = self.connection.getresponse()
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            # An answer that was complete before its request ended the connection: the next call takes a new one, as
            # browsers do.
            self.connection.close()
            self.connection.request("POST", METHOD + name, body, fields)
            answer = self.connection.getresponse()
        content = answer.read()
        assert answer.status == 200, (answer.status, content)
        assert answer.headers["content-type"] == f"application/{self.kind}+proto" or not content, answer.headers
        got, trailers = frames(texts(content) if self.kind == "grpc-web-text" else content)
        return got, trailers or dict(answer.headers), answer.headers


def trailing_names(caller):
    """No trailer fails a call that has run."""
    for name in ("x-request-id", "cache-control", "vary", "authorization", "x-own"):
        sent = json.dumps([name]).encode()
        got, trailers, _ = caller.call("Trail", [sent])
        assert (got, trailers["grpc-status"], trailers[name]) == ([sent], "0", "5"), (name, trailers)
    for name in ("content-encoding", "set-cookie", "host"):
        sent = json.dumps([name, "x-own"]).encode()
        got, trailers, _ = caller.call("Trail", [sent])
        assert (got, trailers["x-own"], name in trailers) == ([sent], "5", False), (name, trailers)


def calls(caller):
    for size in (0, 1, 2, 3, 1000, 70_000):
        sent = bytes(n % 251 for n in range(size))
        got, trailers, _ = caller.call("Unary", [sent], [("x-front", "f"), ("x-back", "b")])
        assert (got, trailers["grpc-status"], trailers["x-back"]) == ([sent], "0", "b"), trailers
    got, trailers, _ = caller.call("Repeat", [json.dumps({"count": 30, "size": 999}).encode()])
    assert ([len(one) for one in got], trailers["grpc-status"]) == ([999] * 30, "0"), trailers
    asked = json.dumps({"count": 2, "size": 9, "fail": "ABORTED"}).encode()
    got, trailers, _ = caller.call("Repeat", [asked])
    assert (len(got), trailers["grpc-status"], trailers["grpc-message"]) == (2, "10", "after all"), trailers
    asked = json.dumps({"code": "NOT_FOUND", "text": "not ä"}).encode()
    got, trailers, _ = caller.call("Fail", [asked])
    assert (got, trailers["grpc-status"], trailers["grpc-message"]) == ([], "5", "not %C3%A4"), trailers
    got, trailers, _ = caller.call("NoSuch", [b""])
    assert (got, trailers["grpc-status"]) == ([], "12"), trailers
    names = dict(json.loads(caller.call("Metadata", [b""], [("x-mine", "m")])[0][0]))
    assert names["x-mine"] == "m" and "x-grpc-web" not in names, names


def pages(caller):
    """A page of another origin: preflight, call, failure."""
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "content-type,x-grpc-web,x-user-agent"
    caller.connection.request("OPTIONS", METHOD + "Unary", headers=asked)
    answer = caller.connection.getresponse()
    answer.read()
    assert answer.status == 204, answer.status
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-grpc-web" in answer.headers["access-control-allow-headers"], answer.headers
    page = [("origin", "https://app.example")]
    for name, message in (("Unary", b"x"), ("Fail", json.dumps({"code": "ABORTED", "text": "no"}).encode())):
        _, _, headers = caller.call(name, [message], page)
        assert headers["access-control-allow-origin"] == "https://app.example", headers
        assert "grpc-status" in headers["access-control-expose-headers"], headers
        assert "x-own" in headers["access-control-expose-headers"], headers
    _, trailers, headers = caller.call("Unary", [b"x" * 2_000], page)
    assert trailers["grpc-status"] == "8", trailers
    assert "grpc-status" in headers["access-control-expose-headers"], headers


def broken(caller):
    for body in (b"\x02\0\0\0\0", b"\0\0\0\0\5abc", frame(b"a: b\r\n", 0x80)):
        if caller.kind == "grpc-web-text":
            body = base64.b64encode(body)
        fields = {"content-type": f"application/{caller.kind}"}
        caller.connection.request("POST", METHOD + "Collect", body, fields)
        answer = caller.connection.getresponse()
        content = answer.read()
        assert (answer.status, answer.headers["grpc-status"], content) == (200, "13", b""), answer.headers
        caller.connection.close()
    _, trailers, _ = caller.call("Unary", [b"x" * 100_001])
    assert trailers["grpc-status"] == "8", trailers
    caller.connection.close()
    got, trailers, _ = caller.call("Repeat", [json.dumps({"count": 3, "size": 200_001}).encode()])
    assert (got, trailers["grpc-status"]) == ([], "8"), trailers


def late(caller):
    """The gateway's deadline falls into an answer that has begun."""
    got, trailers, _ = caller.call("WaitStream", [b""])
    assert (got, trailers["grpc-status"]) == ([b"first"], "4"), trailers


def dead(caller):
    got, trailers, headers = caller.call("Unary", [b"x"])
    assert (got, trailers["grpc-status"]) == ([], "14"), headers


for kind in ("grpc-web", "grpc-web-text"):
    globals()[sys.argv[2]](Caller(sys.argv[1], kind))
print("good")
