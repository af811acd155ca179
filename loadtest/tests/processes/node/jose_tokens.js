// SPDX-License-Identifier: Apache-2.0
// Keys and tokens made by `jose`: prints one JSON object with a JWK set and a token for each algorithm.
const jose = require("jose");

async function main() {
  const claims = { iss: "https://jose.test", aud: ["shop"], sub: "anna", scope: "read write" };
  const keys = [];
  const tokens = {};
  const names = "HS256 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519".split(" ");
  for (const alg of names) {
    const isSecret = alg.startsWith("HS");
    const made = isSecret ? await jose.generateSecret(alg, { extractable: true }) : null;
    const pair = isSecret ? { publicKey: made, privateKey: made } : await jose.generateKeyPair(alg, { extractable: true });
    keys.push({ ...(await jose.exportJWK(pair.publicKey)), kid: alg, alg });
    const token = new jose.SignJWT(claims).setProtectedHeader({ alg, kid: alg, typ: "at+jwt" });
    tokens[alg] = await token.setIssuedAt().setExpirationTime("5m").sign(pair.privateKey);
  }
  console.log(JSON.stringify({ jwks: { keys }, tokens }));
}

main();
