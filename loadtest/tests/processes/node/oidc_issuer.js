// SPDX-License-Identifier: Apache-2.0
// An issuer made of `oidc-provider`, for one client. Arguments: its port and the origin of the client. It signs people
// in by the forms that the package brings for development, renews tokens, and tells the client who signs out.
const { createServer } = require("node:http");
const { default: Provider } = require("oidc-provider");

const [port, client] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "gateway",
      client_secret: "a secret & more",
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: [`${client}/oidc/callback`],
      post_logout_redirect_uris: [`${client}/bye`],
      backchannel_logout_uri: `${client}/oidc/notice`,
      backchannel_logout_session_required: true,
      id_token_signed_response_alg: "RS256",
    },
  ],
  claims: { openid: ["sub", "sid"], email: ["email"], groups: ["groups"] },
  scopes: ["openid", "offline_access", "email", "groups"],
  findAccount: (context, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, email: `${id}@example.test`, groups: ["staff", id] }),
  }),
  features: { backchannelLogout: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  issueRefreshToken: async (context, client, code) => code.scopes.has("openid"),
  rotateRefreshToken: true,
  ttl: { AccessToken: 4, IdToken: 60, RefreshToken: 600, Session: 600, Interaction: 600, Grant: 600 },
  cookies: { keys: ["of this process"] },
  pkce: { required: () => true },
});

let refreshed = 0;
provider.on("grant.success", (context) => {
  refreshed += context.oidc.params.grant_type === "refresh_token" ? 1 : 0;
});
const serve = provider.callback();
createServer((request, response) => {
  if (request.url === "/refreshed") return response.end(String(refreshed));
  serve(request, response);
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
