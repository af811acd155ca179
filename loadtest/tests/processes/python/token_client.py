# SPDX-License-Identifier: Apache-2.0
"""A machine that gets tokens from a gateway: `token_client.py ISSUER ID SECRET [NAME=VALUE …]`.

Finds the issuer by its metadata, asks for a token with requests, and verifies it with PyJWT and the issuer's keys. Prints
the header, the claims and the token as JSON, or the status and the error that it got.
"""

import json
import sys

import jwt
import requests

ISSUER, CLIENT, SECRET = sys.argv[1:4]
FORM = [tuple(pair.split("=", 1)) for pair in sys.argv[4:]]

for metadata in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]:
    found = requests.get(ISSUER + metadata, timeout=10).json()
    assert found["issuer"] == ISSUER, found

form = [("grant_type", "client_credentials"), *FORM]
response = requests.post(found["token_endpoint"], data=form, auth=(CLIENT, SECRET), timeout=10)
if response.status_code != 200:
    print(json.dumps({"status": response.status_code, "error": response.json().get("error")}))
    sys.exit()
assert response.headers["cache-control"] == "no-store", response.headers
token = response.json()["access_token"]
key = jwt.PyJWKClient(found["jwks_uri"]).get_signing_key_from_jwt(token)
algorithms = ["RS256", "ES256", "EdDSA"]
required = ["exp", "iat", "jti", "sub", "client_id", "aud", "iss"]
claims = jwt.decode(
    token, key, algorithms=algorithms, issuer=ISSUER, options={"verify_aud": False, "require": required}
)
print(json.dumps({"status": 200, "header": jwt.get_unverified_header(token), "claims": claims, "token": token}))
