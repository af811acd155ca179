# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that answers everything with 200. Prints its port, then runs until it is ended."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in one write: a test may kill the server at any moment, and no answer is then half there.
    wbufsize = -1

    def do_GET(self):
        body = b"here"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
