# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow, and clients that send all before they read. Usage: slow_peer.py ADDRESS WHAT HOW ...

HOW is `plain`, `tls` or `h2`. WHAT is one of
  read SECONDS BYTES        reads BYTES every tenth of a second for so long, then the rest as fast as it can
  drip_read BYTES           reads BYTES a second until it is cut off
  drip_upload BYTES         sends BYTES of a body every tenth of a second, until something comes
  uploads PATH COUNT SIZE FRAMING   sends COUNT bodies whole (FRAMING is `length`, `chunked` or `expect`) before it reads
Prints one line of JSON."""

import collections
import json
import socket
import ssl
import sys
import threading
import time

from h2_wire import DATA, END_STREAM, WINDOW_UPDATE, Wire, frame, number, settings

ADDRESS, WHAT, HOW = sys.argv[1:4]
REST = sys.argv[4:]
HOST, _, PORT = ADDRESS.rpartition(":")


def connect(received=None):
    stream = socket.socket()
    if received:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
    stream.settimeout(30)
    stream.connect((HOST, int(PORT)))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ssl._create_unverified_context().wrap_socket(stream) if HOW == "tls" else stream


def get():
    stream = connect(4_096)
    stream.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    return stream


def read(seconds, count):
    end, total = time.monotonic() + seconds, 0
    if HOW == "h2":
        wire = Wire(ADDRESS, settings(window=count), polite=False, received=4_096)
        wire.send(frame(WINDOW_UPDATE, 0, 0, number(1 << 30)), wire.request(1))
        while time.monotonic() < end and not wire.of(1).over:
            wire.pump(0.1)
            wire.send(frame(WINDOW_UPDATE, 0, 1, number(count)))
        wire.send(frame(WINDOW_UPDATE, 0, 1, number(1 << 28)))
        stream = wire.wait(1, 20)
        return {"bytes": len(stream.body), "reset": stream.reset, "closed": wire.closed}
    stream = get()
    try:
        while time.monotonic() < end:
            total += len(stream.recv(count))
            time.sleep(0.1)
        while piece := stream.recv(1 << 20):
            total += len(piece)
    except OSError as error:
        return {"bytes": total, "closed": str(error)}
    return {"bytes": total, "closed": None}


def drip_read(count):
    start = time.monotonic()
    if HOW == "h2":
        wire = Wire(ADDRESS, settings(window=count), polite=False)
        wire.send(frame(WINDOW_UPDATE, 0, 0, number(1 << 30)), wire.request(1))
        while not wire.of(1).over and not wire.closed and time.monotonic() < start + 30:
            wire.pump(1, lambda: wire.of(1).over)
            wire.send(frame(WINDOW_UPDATE, 0, 1, number(count)))
        return {"cut": wire.of(1).reset is not None, "took": time.monotonic() - start}
    stream = get()
    cut = False
    try:
        while time.monotonic() < start + 30 and not cut:
            time.sleep(1)
            cut = not stream.recv(count)
    except OSError:
        cut = True
    return {"cut": cut, "took": time.monotonic() - start}


def drip_upload(count):
    start = time.monotonic()
    if HOW == "h2":
        wire = Wire(ADDRESS)
        wire.send(wire.request(1, method="POST", end=False))
        while not wire.of(1).status and not wire.closed and time.monotonic() < start + 30:
            wire.pump(0.1, lambda: wire.of(1).status)
            wire.send(frame(DATA, 0, 1, b"x" * count))
        return {"status": wire.of(1).status, "took": time.monotonic() - start}
    stream = connect()
    stream.sendall(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000\r\n\r\n")
    stream.settimeout(0.1)
    answer = b""
    while time.monotonic() < start + 30 and not answer:
        try:
            stream.sendall(b"x" * count)
            answer = stream.recv(4_096)
        except TimeoutError:
            pass
    return {"status": int(answer[9:12] or 0), "took": time.monotonic() - start}


def upload(path, size, framing):
    """The status of one upload, and the interim ones."""
    if HOW == "h2":
        wire = Wire(ADDRESS)
        more = [("content-length", str(size))] if framing == "length" else []
        wire.send(wire.request(1, path, "POST", False, more))
        sent = 0
        while sent < size and not wire.of(1).over:
            # As much as the windows of a server allow at first; the rest when there is an answer or more room.
            piece = min(16_384, size - sent)
            if not wire.send(frame(DATA, END_STREAM if sent + piece == size else 0, 1, b"x" * piece)):
                break
            sent += piece
            if sent >= 65_535 - 16_384:
                break
        return wire.wait(1, 10).status
    stream = connect()
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\n"
    if framing == "chunked":
        head += "Transfer-Encoding: chunked\r\n\r\n"
    else:
        head += f"Content-Length: {size}\r\n" + ("Expect: 100-continue\r\n" if framing == "expect" else "") + "\r\n"
    try:
        stream.sendall(head.encode())
        if framing != "expect":
            piece, sent = b"x" * 65_536, 0
            while sent < size:
                now = piece[:size - sent]
                stream.sendall(b"%x\r\n%s\r\n" % (len(now), now) if framing == "chunked" else now)
                sent += len(now)
            if framing == "chunked":
                stream.sendall(b"0\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = stream.recv(4_096)
            if not more:
                return "end"
            answer += more
        return int(answer[9:12])
    except OSError as error:
        return f"lost: {error}"
    finally:
        stream.close()


def uploads(path, count, size, framing):
    seen, left, lock = collections.Counter(), [count], threading.Lock()

    def work():
        while True:
            with lock:
                if left[0] == 0:
                    return
                left[0] -= 1
                mine = size * (1 + left[0] % 4) // 4
            status = upload(path, mine, framing)
            with lock:
                seen[str(status)] += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return dict(seen)


if WHAT == "read":
    outcome = read(float(REST[0]), int(REST[1]))
elif WHAT == "drip_read":
    outcome = drip_read(int(REST[0]))
elif WHAT == "drip_upload":
    outcome = drip_upload(int(REST[0]))
else:
    outcome = uploads(REST[0], int(REST[1]), int(REST[2]), REST[3])
print(json.dumps(outcome))
