# SPDX-License-Identifier: Apache-2.0
"""An origin that speaks HTTP/2 alone. Prints its port, then one line of JSON for everything that happens. A line on
standard input is repeated as the event `mark`, behind everything that has happened before.

Usage: h2_origin.py [CERTIFICATE KEY | SETTING=NUMBER]; with a certificate over TLS by ALPN, else by prior knowledge. A
setting is `window` (the initial window of a stream) or `streams` (how many may be open). What it does is said by the path:

    /echo          the request's content and trailers, without a length
    /bytes/N       N bytes with their length
    /status/N      that status without content
    /hints         103 twice, then 200
    /continue      100, and what comes then is sent back
    /refuse        REFUSED_STREAM for the first stream of the process, 200 behind it
    /refuse-all    REFUSED_STREAM, always
    /decline/N     REFUSED_STREAM for the first such stream of the process, when N bytes of content came; /echo behind it
    /early/N       413 when N bytes of content came, and RST_STREAM with NO_ERROR behind it; no window is given back
    /leave         GOAWAY that does not cover the first such stream of the process; a later one is answered
    /retire        the answer, and GOAWAY that covers it
    /reset         the head and 10 000 bytes, then RST_STREAM
    /cut           the head and 10 000 bytes, then the end of the connection
    /never         nothing
    /deaf          nothing, and what is sent to it is never given back to the window
    /slow/N        200 after N milliseconds
    /fields        the fields as JSON
    /wide/N/M      N fields of M bytes
    /urgent/N      as /bytes/N, with `priority: u=0`
    /events        a head, and one event for each request to /emit on the same connection
"""

import hashlib
import json
import queue
import socket
import ssl
import sys
import threading
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated, DataReceived, PingReceived, RequestReceived, StreamEnded, StreamReset, TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

lock = threading.Lock()
once = {"refuse": False, "leave": False, "decline": False}


def say(**values):
    with lock:
        print(json.dumps(values), flush=True)


def mark():
    for line in sys.stdin:
        say(event="mark", line=line.strip())


def first(name):
    with lock:
        was, once[name] = once[name], True
    return not was


def texts(fields):
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields]


class Request:
    def __init__(self, fields):
        self.fields, self.trailers, self.ended = fields, [], False
        named = dict(fields)
        self.path, self.method = named[b":path"].decode("latin-1"), named[b":method"].decode()
        self.length, self.digest, self.kept = 0, hashlib.sha256(), bytearray()
        self.out, self.out_trailers = None, None

    def take(self, piece):
        self.length += len(piece)
        self.digest.update(piece)
        if self.path in ("/echo", "/continue") or self.path.startswith("/decline/"):
            self.kept += piece


class Peer:
    settings = {}

    def __init__(self, line, number):
        self.line, self.number, self.requests, self.later = line, number, {}, queue.Queue()
        config = H2Configuration(client_side=False, header_encoding=None, validate_inbound_headers=True)
        self.h2 = H2Connection(config)
        self.h2.local_settings = Settings(client=False, initial_values=self.settings)
        self.over, self.listeners, self.emitted = False, [], 0

    def run(self):
        self.h2.initiate_connection()
        self.flush()
        self.line.settimeout(0.02)
        while not self.over:
            try:
                piece = self.line.recv(1 << 16)
            except (TimeoutError, ssl.SSLWantReadError):
                piece = None
            except OSError:
                break
            if piece == b"":
                break
            try:
                for event in self.h2.receive_data(piece) if piece else ():
                    self.act(event)
            except ProtocolError as error:
                say(event="protocol", words=str(error))
                break
            self.due()
            self.pour()
            self.flush()
        say(event="closed", connection=self.number)
        self.line.close()

    def flush(self):
        data = self.h2.data_to_send()
        if not data:
            return
        try:
            self.line.settimeout(30)
            self.line.sendall(data)
            self.line.settimeout(0.02)
        except OSError:
            self.over = True

    def leave(self, last):
        """GOAWAY by hand: the library would refuse to go on with the streams that it covers."""
        self.flush()
        self.line.settimeout(30)
        self.line.sendall(GoAwayFrame(0, last_stream_id=last).serialize())
        self.line.settimeout(0.02)

    def act(self, event):
        stream = getattr(event, "stream_id", 0)
        if isinstance(event, RequestReceived):
            self.requests[stream] = Request(event.headers)
            self.headed(stream, self.requests[stream])
        elif isinstance(event, DataReceived):
            request = self.requests.get(stream)
            if request is not None:
                request.take(event.data)
                if request.path == "/deaf":
                    say(event="data", length=request.length)
                    return
                if request.path.startswith("/early/"):
                    self.early(stream, request)
                    return
                self.decline(stream, request)
            self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, TrailersReceived):
            self.requests[stream].trailers = event.headers
        elif isinstance(event, StreamEnded):
            request = self.requests.get(stream)
            if request is not None:
                request.ended = True
                say(
                    event="request", connection=self.number, stream=stream, fields=texts(request.fields),
                    length=request.length, digest=request.digest.hexdigest(), trailers=texts(request.trailers),
                )
                self.answer(stream, request)
        elif isinstance(event, StreamReset):
            self.requests.pop(stream, None)
            say(event="reset", connection=self.number, stream=stream, code=int(event.error_code))
        elif isinstance(event, ConnectionTerminated):
            say(event="goaway", connection=self.number, code=int(event.error_code))
        elif isinstance(event, PingReceived):
            say(event="ping", connection=self.number)
        elif isinstance(event, WindowUpdated):
            pass

    def headed(self, stream, request):
        say(event="head", connection=self.number, stream=stream, path=request.path)
        if request.path == "/continue":
            self.h2.send_headers(stream, [(":status", "100")])
        elif request.path == "/refuse-all" or (request.path == "/refuse" and first("refuse")):
            self.requests.pop(stream)
            self.h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
        elif request.path == "/leave" and first("leave"):
            self.requests.clear()
            self.leave(max(stream - 2, 0))
            self.over = True
        self.decline(stream, request)

    def early(self, stream, request):
        if request.length >= int(request.path[7:]):
            self.requests.pop(stream)
            self.h2.send_headers(stream, [(":status", "413"), ("content-length", "9")])
            self.h2.send_data(stream, b"too large", end_stream=True)
            self.h2.reset_stream(stream, ErrorCodes.NO_ERROR)

    def decline(self, stream, request):
        if request.path.startswith("/decline/") and request.length >= int(request.path[9:]) and first("decline"):
            self.requests.pop(stream)
            self.h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)

    def answer(self, stream, request):
        kind, _, rest = request.path[1:].partition("/")
        if kind in ("never", "deaf"):
            return
        if kind == "events":
            self.h2.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream")])
            self.listeners.append(stream)
            return
        if kind == "emit":
            for listener in self.listeners:
                self.h2.send_data(listener, f"data: {self.emitted}\n\n".encode())
            self.emitted += 1
        if kind == "slow":
            self.later.put((time.monotonic() + int(rest) / 1000, stream))
            return
        if kind == "hints":
            for number in (1, 2):
                self.h2.send_headers(stream, [(":status", "103"), ("link", f"</{number}.css>")])
        if kind in ("reset", "cut"):
            self.h2.send_headers(stream, [(":status", "200")])
            self.h2.send_data(stream, b"x" * 10_000)
            if kind == "reset":
                self.flush()
                time.sleep(0.1)
                self.h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
            self.over = kind == "cut"
            return
        fields, content = [(":status", "200")], b"here"
        if kind == "status":
            fields = [(":status", rest), ("etag", '"x"')]
            self.h2.send_headers(stream, fields, end_stream=True)
            return
        if kind in ("echo", "continue", "decline"):
            content = bytes(request.kept)
            request.out_trailers = request.trailers
        elif kind in ("bytes", "urgent"):
            content = bytes(range(251)) * (int(rest) // 251 + 1)
            content = content[:int(rest)]
            fields += [("content-length", rest)] + [("priority", "u=0")] * (kind == "urgent")
        elif kind == "wide":
            count, size = map(int, rest.split("/"))
            fields += [("set-cookie", f"c{at}=" + "v" * size) for at in range(count)]
        elif kind == "fields":
            content = json.dumps(texts(request.fields)).encode()
        else:
            fields.append(("content-length", str(len(content))))
        bare = request.method == "HEAD"
        self.h2.send_headers(stream, fields, end_stream=bare)
        if kind == "retire":
            self.leave(stream)
        if not bare:
            request.out = memoryview(content)

    def due(self):
        waiting = []
        while not self.later.empty():
            at, stream = self.later.get()
            if time.monotonic() < at:
                waiting.append((at, stream))
            elif stream in self.requests:
                self.h2.send_headers(stream, [(":status", "200"), ("content-length", "4")])
                self.requests[stream].out = memoryview(b"slow")
        for entry in waiting:
            self.later.put(entry)

    def pour(self):
        """Sends as much content as the windows allow."""
        for stream, request in list(self.requests.items()):
            while request.out is not None:
                try:
                    room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
                    piece = bytes(request.out[:room])
                    last = len(piece) == len(request.out)
                    if not piece and not last:
                        break
                    bare = last and not request.out_trailers
                    self.h2.send_data(stream, piece, end_stream=bare)
                    request.out = request.out[len(piece):]
                    if last:
                        request.out = None
                        if request.out_trailers:
                            self.h2.send_headers(stream, request.out_trailers, end_stream=True)
                        self.requests.pop(stream, None)
                except (StreamClosedError, KeyError):
                    self.requests.pop(stream, None)
                    break
                if len(self.h2._data_to_send) > 1 << 18:
                    self.flush()


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    context = None
    if len(sys.argv) == 2:
        name, value = sys.argv[1].split("=")
        codes = {"window": SettingCodes.INITIAL_WINDOW_SIZE, "streams": SettingCodes.MAX_CONCURRENT_STREAMS}
        Peer.settings = {codes[name]: int(value)}
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
        context.set_alpn_protocols(["h2"])
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=mark, daemon=True).start()
    number = 0
    while True:
        line, _ = listener.accept()
        number += 1
        say(event="opened", connection=number)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def serve(line=line, number=number):
            try:
                if context is not None:
                    line = context.wrap_socket(line, server_side=True)
                Peer(line, number).run()
            except OSError as error:
                say(event="failed", words=str(error))

        threading.Thread(target=serve, daemon=True).start()


main()
