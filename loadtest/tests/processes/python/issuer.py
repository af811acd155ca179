# SPDX-License-Identifier: Apache-2.0
"""An issuer of tokens made by PyJWT, an authorisation server for introspection, and a server that fails in many ways.

Prints its port, then runs until it is ended. `/be/MANNER` says how `/jwks` and `/introspect` behave from then on: good,
slow, down, garbage, many, empty. `/rotate` makes a new key; the one before is not published any more. `/token` gives a
token with the claims, the algorithm and the headers of the query. `/count` gives how often keys and tokens were asked
for.
"""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
SECRET = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"


def make(algorithm):
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


class Issuer:
    manner = "good"
    generation = 0
    keys = {}
    counts = {"jwks": 0, "introspect": 0}

    def key(self, algorithm, generation=None):
        name = f"{algorithm}-{self.generation if generation is None else generation}"
        if name not in self.keys:
            self.keys[name] = make(algorithm)
        return name, self.keys[name]

    def published(self):
        published = []
        for name, key in list(self.keys.items()):
            algorithm, generation = name.rsplit("-", 1)
            if int(generation) != self.generation:
                continue
            known = jwt.get_algorithm_by_name(algorithm)
            published.append(json.loads(known.to_jwk(key.public_key())) | {"kid": name, "alg": algorithm, "use": "sig"})
        return published


issuer = Issuer()
for name in ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"]:
    issuer.key(name)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/jwks":
            issuer.counts["jwks"] += 1
            return self.behave(lambda: {"keys": issuer.published()})
        if url.path == "/.well-known/openid-configuration":
            own = f"http://127.0.0.1:{server.server_port}"
            return self.say({"issuer": own, "jwks_uri": f"{own}/jwks"})
        if url.path.startswith("/be/"):
            issuer.manner = url.path[4:]
        if url.path == "/rotate":
            for algorithm in ["RS256", "ES256"]:
                issuer.key(algorithm, issuer.generation + 1)
            issuer.generation += 1
        if url.path == "/token":
            algorithm = query["alg"]
            kid, key = (None, SECRET) if algorithm.startswith("HS") else issuer.key(algorithm)
            headers = {"kid": kid} if kid else {}
            claims = {"exp": int(time.time()) + 300} | json.loads(query.get("claims", "{}"))
            headers |= json.loads(query.get("headers", "{}"))
            return self.say(jwt.encode(claims, key, algorithm=algorithm, headers=headers))
        self.say(issuer.counts)

    def do_POST(self):
        issuer.counts["introspect"] += 1
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        token = form["token"][0]
        if self.headers.get("Authorization") != "Basic Z2F0ZXdheTpodXNoLWh1c2g=":
            return self.say({"error": "invalid_client"}, 401)
        known = {"active": True, "sub": token, "scope": "read", "client_id": "app"}
        self.behave(lambda: known if token.startswith("good") else {"active": False})

    def behave(self, answer):
        if issuer.manner == "slow":
            time.sleep(1)
        if issuer.manner == "down":
            self.close_connection = True
            return
        if issuer.manner == "garbage":
            return self.say("<html>503</html>")
        if issuer.manner == "empty":
            return self.say({"keys": []})
        if issuer.manner == "many":
            return self.say({"keys": issuer.published() * 2000})
        self.say(answer())

    def say(self, what, status=200):
        body = (what if isinstance(what, str) else json.dumps(what)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
