// SPDX-License-Identifier: Apache-2.0
// Verifies an access token with `jose`: `verify_token.js ISSUER AUDIENCE TOKEN`. Prints its claims as JSON.
const jose = require("jose");

async function main() {
  const [issuer, audience, token] = process.argv.slice(2);
  const found = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
  const keys = jose.createRemoteJWKSet(new URL(found.jwks_uri));
  const { payload } = await jose.jwtVerify(token, keys, { issuer, audience, typ: "at+jwt" });
  console.log(JSON.stringify(payload));
}

main();
