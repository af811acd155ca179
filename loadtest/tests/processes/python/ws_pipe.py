# SPDX-License-Identifier: Apache-2.0
"""Bytes of a WebSocket over HTTP/1.1 and over HTTP/2 (RFC 8441), on blocking sockets, for clients and servers of tests.

Frames are made and read by wsproto, HTTP/2 by h2; nothing of it is the gateway's."""

import base64
import os
import select
import socket
import ssl
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
import h2.settings

PATIENCE = 10


class Refused(Exception):
    """The answer was no switch."""

    def __init__(self, status):
        super().__init__(f"refused with {status}")
        self.status = status


def dial(url, alpn):
    parts = urlsplit(url)
    plain = socket.create_connection((parts.hostname, parts.port), PATIENCE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if parts.scheme != "wss":
        return plain, parts
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(alpn)
    return context.wrap_socket(plain, server_hostname=parts.hostname), parts


class H1Pipe:
    """A connection after its 101."""

    def __init__(self, url, fields=()):
        self.socket, parts = dial(url, ["http/1.1"])
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {parts.path or '/'} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in fields),
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.socket.recv(65536)
            assert piece, "no answer"
            head += piece
        head, self.early = head.split(b"\r\n\r\n", 1)
        self.head = head.decode()
        self.status = int(self.head.split()[1])
        if self.status != 101:
            raise Refused(self.status)
        fields = dict(line.lower().split(": ", 1) for line in self.head.split("\r\n")[1:])
        assert fields["upgrade"] == "websocket" and "upgrade" in fields["connection"], self.head
        proof = [line.split(": ", 1)[1] for line in self.head.split("\r\n") if line.lower().startswith("sec-websocket-accept")]
        assert proof == [accept(key)], self.head

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        if self.early:
            early, self.early = self.early, b""
            return early
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return None

    def finish(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()


def accept(key):
    import hashlib

    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


class H2Connection:
    """A connection of HTTP/2 as a client, with as many WebSockets as wanted."""

    def __init__(self, url):
        self.socket, self.parts = dial(url, ["h2"])
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.pipes, self.ended, self.settled, self.going, self.frames = {}, False, False, False, b""
        self.flush()
        while not self.settled:
            assert self.pump() and not self.ended, "no settings"
        assert self.h2.remote_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def pump(self, wait=PATIENCE):
        """Reads once and acts. False where nothing came."""
        if not (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
            if not select.select([self.socket], [], [], wait)[0]:
                return False
        data = self.socket.recv(65536)
        if not data:
            self.ended = True
            return True
        for event in self.h2.receive_data(self.without_farewell(data)):
            pipe = self.pipes.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.settled = True
            elif pipe is None:
                continue
            elif isinstance(event, h2.events.ResponseReceived):
                pipe.fields = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                pipe.inbox += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                pipe.ended = True
            elif isinstance(event, h2.events.StreamReset):
                pipe.reset = True
        self.flush()
        return True

    def without_farewell(self, data):
        """Whole frames, but for GOAWAY: behind that the library takes nothing, though open streams go on."""
        self.frames += data
        whole = b""
        while len(self.frames) >= 9 and len(self.frames) >= 9 + (size := int.from_bytes(self.frames[:3], "big")):
            if self.frames[3] == 7:
                self.going = True
            else:
                whole += self.frames[: 9 + size]
            self.frames = self.frames[9 + size :]
        return whole

    def open(self, fields=(), protocol="websocket"):
        return H2Pipe(self, fields, protocol)


class H2Pipe:
    """A stream after the 200 to its extended CONNECT."""

    def __init__(self, connection, fields, protocol):
        self.connection, self.inbox, self.ended, self.reset, self.fields = connection, b"", False, False, None
        self.stream = connection.h2.get_next_available_stream_id()
        connection.pipes[self.stream] = self
        parts = connection.parts
        head = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "https" if parts.scheme == "wss" else "http"),
            (":authority", parts.netloc),
            (":path", parts.path or "/"),
            ("sec-websocket-version", "13"),
            *fields,
        ]
        connection.h2.send_headers(self.stream, head)
        connection.flush()
        while self.fields is None and not self.reset and not connection.ended:
            assert connection.pump(), "no answer"
        self.status = int(self.fields[":status"]) if self.fields else 0
        if self.status != 200:
            raise Refused(self.status)
        assert "sec-websocket-accept" not in self.fields and "upgrade" not in self.fields, self.fields

    def send(self, data):
        connection = self.connection
        while data:
            room = min(connection.h2.local_flow_control_window(self.stream), connection.h2.max_outbound_frame_size)
            if room > 0:
                connection.h2.send_data(self.stream, data[:room])
                data = data[room:]
                connection.flush()
                connection.pump(0)
            else:
                assert connection.pump(), "no room to send"
            if self.reset or connection.ended:
                return

    def receive(self):
        while not self.inbox:
            if self.reset:
                return None
            if self.ended or self.connection.ended:
                return b""
            assert self.connection.pump(), "nothing came"
        data, self.inbox = self.inbox, b""
        return data

    def finish(self):
        self.connection.h2.end_stream(self.stream)
        self.connection.flush()

    def close(self):
        self.connection.socket.close()


def open_pipe(version, url, fields=()):
    return H1Pipe(url, fields) if version == "1" else H2Connection(url).open(fields)
