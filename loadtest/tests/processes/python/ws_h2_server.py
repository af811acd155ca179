# SPDX-License-Identifier: Apache-2.0
"""A WebSocket server over HTTP/2 (RFC 8441). Sends back what it receives; prints its port, then one line for each
WebSocket that ends: `closed CODE`. A message `send N` is answered with one of N bytes, `raw HEX` with these
bytes as they are; the path /head gets the request's
fields as the first message.

Usage: ws_h2_server.py [deaf] [tls CERTIFICATE KEY]. `deaf` takes no extended CONNECT, `tls` speaks HTTP/1.1 too, where the
client wants it: to such it answers 101 and echoes likewise."""

import json
import socket
import ssl
import sys
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ws_pipe import accept


class Echo:
    """One WebSocket. What is to be sent gathers in `out`; `last` says that nothing follows."""

    def __init__(self, head):
        self.frames, self.out, self.parts, self.last, self.code = Connection(ConnectionType.SERVER), b"", [], False, 1006
        if head.get(":path", "").startswith("/head"):
            self.say(TextMessage(data=json.dumps(head)))

    def say(self, event):
        try:
            self.out += self.frames.send(event)
        except LocalProtocolError:
            pass

    def receive(self, data):
        if self.last:
            return
        try:
            self.frames.receive_data(data)
            for event in self.frames.events():
                self.act(event)
        except RemoteProtocolError as error:
            self.code = int(error.event_hint.code)
            self.say(error.event_hint)
            self.last = True

    def act(self, event):
        if isinstance(event, Ping):
            self.say(event.response())
        elif isinstance(event, CloseConnection):
            self.code = int(event.code)
            self.say(event.response())
            self.last = True
        elif isinstance(event, Message):
            self.parts.append(event.data)
            if event.message_finished:
                whole = (b"" if isinstance(event, BytesMessage) else "").join(self.parts)
                self.parts = []
                if isinstance(whole, str) and whole.startswith("raw "):
                    self.out += bytes.fromhex(whole[4:])
                    return
                if isinstance(whole, str) and whole.startswith("send "):
                    whole = b"x" * int(whole.split()[1])
                kind = TextMessage if isinstance(whole, str) else BytesMessage
                self.say(kind(data=whole))


def gone(echo):
    print(f"closed {echo.code}", flush=True)


class Session:
    """One connection of HTTP/2."""

    def __init__(self, connection, deaf):
        self.socket, self.echoes, self.deaf = connection, {}, deaf
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        if not deaf:
            code = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
            self.h2.local_settings = h2.settings.Settings(client=False, initial_values={code: 1})
        self.h2.initiate_connection()

    def run(self):
        self.flush()
        while data := self.receive():
            try:
                for event in self.h2.receive_data(data):
                    self.act(event)
            except h2.exceptions.ProtocolError as error:
                print(f"broken {error}", flush=True)
                break
            self.feed()
            self.flush()
        for echo in self.echoes.values():
            gone(echo)
        self.socket.close()

    def receive(self):
        try:
            return self.socket.recv(65536)
        except OSError:
            return b""

    def flush(self):
        try:
            self.socket.sendall(self.h2.data_to_send())
        except OSError:
            pass

    def act(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.request(event)
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id in self.echoes:
                self.echoes[event.stream_id].receive(event.data)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.echoes:
            self.echoes[event.stream_id].last = True
        elif isinstance(event, h2.events.StreamReset) and event.stream_id in self.echoes:
            gone(self.echoes.pop(event.stream_id))

    def request(self, event):
        head = dict(event.headers)
        if head[":method"] != "CONNECT" or self.deaf:
            self.h2.send_headers(event.stream_id, [(":status", "200"), ("x-method", head[":method"])], end_stream=True)
        elif head[":path"].startswith("/no"):
            self.h2.send_headers(event.stream_id, [(":status", "403")], end_stream=True)
        else:
            self.h2.send_headers(event.stream_id, [(":status", "200"), ("x-spoken", "h2")])
            self.echoes[event.stream_id] = Echo(head)

    def feed(self):
        for stream, echo in list(self.echoes.items()):
            while echo.out:
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
                if room <= 0:
                    break
                self.h2.send_data(stream, echo.out[:room])
                echo.out = echo.out[room:]
            if echo.last and not echo.out:
                self.h2.end_stream(stream)
                gone(self.echoes.pop(stream))


def http1(connection):
    """One WebSocket of HTTP/1.1."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return
        head += piece
    fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if line)
    key = [line.split(": ", 1)[1] for line in head.decode().split("\r\n") if line.lower().startswith("sec-websocket-key")]
    lines = ["HTTP/1.1 101 x", "Connection: Upgrade", "Upgrade: websocket", "X-Spoken: h1"]
    connection.sendall("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept(key[0])}", "", ""]).encode())
    echo = Echo({**fields, ":path": head.split()[1].decode()})
    while not (echo.last and not echo.out):
        connection.sendall(echo.out)
        echo.out = b""
        data = connection.recv(65536)
        if not data:
            break
        echo.receive(data)
    connection.sendall(echo.out)
    gone(echo)
    connection.close()


def serve(connection, context, deaf):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
            if connection.selected_alpn_protocol() != "h2":
                return http1(connection)
        Session(connection, deaf).run()
    except OSError as error:
        print(f"broken {error}", flush=True)


def main(arguments):
    deaf = "deaf" in arguments
    context = None
    if "tls" in arguments:
        at = arguments.index("tls")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments[at + 1], arguments[at + 2])
        context.set_alpn_protocols(["h2", "http/1.1"])
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, context, deaf), daemon=True).start()


main(sys.argv[1:])
