# SPDX-License-Identifier: Apache-2.0
"""Hostile requests to the admin API: `admin_api.py HOST PORT TOKEN`. Each must get exactly the status that is named."""

import json
import socket
import sys
import time

HOST, PORT, TOKEN = sys.argv[1], int(sys.argv[2]), sys.argv[3]
OWN = f"{HOST}:{PORT}"
AUTH = f"Authorization: Bearer {TOKEN}"
JSON = "Content-Type: application/json"
LEVEL = "PUT /api/v1/log-level"


def ask(line, fields, body=b"", host=OWN, length=None):
    """The status and the document of a response."""
    stream = socket.create_connection((HOST, PORT), timeout=20)
    head = [f"{line} HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
    if length is not None or body:
        head.append(f"Content-Length: {len(body) if length is None else length}")
    stream.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)
    return answer(stream)


def answer(stream):
    received = b""
    try:
        while data := stream.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    head, _, content = received.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    document = json.loads(content) if content.startswith(b"{") else {}
    if status >= 400:
        assert b"application/problem+json" in head, head
        assert document["status"] == status and document["type"].startswith("urn:turnpike:problem:"), document
        assert f"x-request-id: {document['request_id']}".encode() in head.lower(), head
    return status, document


GOOD = b'{"level":"info"}'
CASES = [
    # What is done, to know that the others fail for their own reason.
    (200, LEVEL, [AUTH, JSON], GOOD),
    (200, LEVEL, [AUTH, "Content-Type: application/json; charset=utf-8"], GOOD),
    # Web pages: with the token or without, by forms, and by simple requests.
    (403, LEVEL, [AUTH, JSON, "Origin: http://evil.test"], GOOD),
    (403, LEVEL, [AUTH, JSON, "Origin: null"], GOOD),
    (403, LEVEL, [AUTH, JSON, f"Origin: http://{OWN}"], GOOD),
    (403, LEVEL, [AUTH, JSON, "Sec-Fetch-Site: cross-site"], GOOD),
    (403, "POST /api/v1/stop", [JSON, "Origin: http://evil.test"], b"{}"),
    (403, "POST /stop", ["Origin: http://evil.test"], b""),
    (415, LEVEL, [AUTH, "Content-Type: text/plain"], GOOD),
    (415, LEVEL, [AUTH, "Content-Type: application/x-www-form-urlencoded"], b"level=info"),
    (415, LEVEL, [AUTH, "Content-Type: multipart/form-data; boundary=x"], b"--x--"),
    (415, LEVEL, [AUTH], GOOD),
    (415, LEVEL, [AUTH, JSON, JSON], GOOD),
    (405, "OPTIONS /api/v1/log-level", [], b""),
    (403, "OPTIONS /api/v1/log-level", ["Origin: http://evil.test", "Access-Control-Request-Method: PUT"], b""),
    # Tokens.
    (401, LEVEL, [JSON], GOOD),
    (401, LEVEL, [AUTH + "x", JSON], GOOD),
    (401, LEVEL, [AUTH, AUTH, JSON], GOOD),
    (401, LEVEL, [f"Authorization: Basic {TOKEN}", JSON], GOOD),
    (401, "GET /api/v1/status", [AUTH + "x"], b""),
    (401, "GET /api/v1/status", ["X-Forwarded-For: 127.0.0.1"], b""),
    (401, "GET /api/v1/audit", [], b""),
    # Overrides of the method are no methods.
    (405, "POST /api/v1/log-level", [AUTH, JSON, "X-HTTP-Method-Override: PUT"], GOOD),
    (405, "TRACE /api/v1/status", [AUTH], b""),
    # Bodies.
    (400, LEVEL, [AUTH, JSON], b'{"level":"info","level":"trace"}'),
    (400, LEVEL, [AUTH, JSON], b'{"level":"info"'),
    (400, LEVEL, [AUTH, JSON], b""),
    (400, LEVEL, [AUTH, JSON], b'\xef\xbb\xbf{"level":"info"}'),
    (400, LEVEL, [AUTH, JSON], b'{"level":"\xff"}'),
    (400, LEVEL, [AUTH, JSON], b"[" * 100_000),
    (422, LEVEL, [AUTH, JSON], b'{"level":"info","other":1}'),
    (422, LEVEL, [AUTH, JSON], b'{"level":"INFO"}'),
    (422, LEVEL, [AUTH, JSON], b"[]"),
    (422, LEVEL, [AUTH, JSON], b"null"),
    (413, LEVEL, [AUTH, JSON], b" " * (256 * 1024 + 1)),
    (400, "GET /api/v1/status", [AUTH], b"{}"),
    (400, "DELETE /api/v1/log-level", [AUTH], b"{}"),
    # Paths and queries.
    (404, "GET /api/v1/status/", [AUTH], b""),
    (404, "GET /api/v1//status", [AUTH], b""),
    (404, "GET /api/v1/x/../status", [AUTH], b""),
    (404, "GET /api/v1/%73tatus", [AUTH], b""),
    (404, "GET /API/v1/status", [AUTH], b""),
    (404, "GET /api/v1/upstreams/%00", [AUTH], b""),
    (404, "GET /api/v1/upstreams/%ff", [AUTH], b""),
    (404, "GET /api/v1/upstreams/a%2Fb", [AUTH], b""),
    (400, "GET /api/v1/upstreams?limit=0", [AUTH], b""),
    (400, "GET /api/v1/upstreams?limit=1&limit=2", [AUTH], b""),
    (400, "GET /api/v1/upstreams?cursor=AAAA", [AUTH], b""),
    (400, "GET /api/v1/status?a", [AUTH], b""),
    (400, LEVEL, [AUTH, JSON, "Idempotency-Key: "], GOOD),
    (400, LEVEL, [AUTH, JSON, "Idempotency-Key: a b"], GOOD),
    (400, LEVEL, [AUTH, JSON, "Idempotency-Key: a", "Idempotency-Key: b"], GOOD),
]
HOSTS = [
    (421, "evil.test"),
    (421, f"evil.test:{PORT}"),
    (421, f"localhost.evil.test:{PORT}"),
    (400, "a b"),
    (200, f"localhost:{PORT}"),
    (200, f"[::1]:{PORT}"),
]


def main():
    wrong = 0
    for expected, line, fields, body in CASES:
        status, document = ask(line, fields, body, length=len(body))
        if status != expected:
            wrong += 1
            print(f"{line} {fields} {body[:60]}: {status} and not {expected}: {document}")
    for expected, host in HOSTS:
        status, document = ask("GET /api/v1/status", [], host=host)
        if status != expected:
            wrong += 1
            print(f"Host {host}: {status} and not {expected}: {document}")
    # A body that is announced as huge is refused before it comes.
    began = time.monotonic()
    status, _ = ask(LEVEL, [AUTH, JSON], b"{", length=10**12)
    if status != 413 or time.monotonic() - began > 5:
        wrong += 1
        print(f"announced: {status}")
    # One that comes too slowly is given up after ten seconds, and others are served meanwhile.
    stream = socket.create_connection((HOST, PORT), timeout=20)
    head = f"{LEVEL} HTTP/1.1\r\nHost: {OWN}\r\nConnection: close\r\n{AUTH}\r\n{JSON}\r\nContent-Length: 20\r\n\r\n"
    stream.sendall(head.encode() + b'{"level"')
    began = time.monotonic()
    if ask("GET /api/v1/status", [])[0] != 200:
        wrong += 1
        print("a slow body holds up others")
    status, _ = answer(stream)
    if status != 408 or not 8 < time.monotonic() - began < 15:
        wrong += 1
        print(f"slow: {status} after {time.monotonic() - began:.1f} s")
    print(f"{len(CASES) + len(HOSTS) + 3} cases, {wrong} wrong")
    return 1 if wrong else 0


sys.exit(main())
