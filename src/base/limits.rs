// SPDX-License-Identifier: Apache-2.0
//! Every fixed cap in one place, each with what happens when it is reached. Caps that a user may set have a key in
//! the configuration; these are their defaults, and the caps on the caps.

/// Largest body that may be read to find a route (`limits.routing_body` of a listener).
pub(crate) const ROUTING_BODY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Largest request or response head, and the first size of an exchange's buffer: above it 431 (or 502 upstream).
/// Must stay below 64 KiB, because spans are 16-bit.
pub(crate) const HEAD_BYTES_MAX: usize = 48 * 1024;
/// Default for `head_bytes_max`; above it 431.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;
/// Default for `request_line_bytes_max`; above it 414.
pub(crate) const REQUEST_LINE_BYTES: usize = 8 * 1024;
/// Most fields in one head; above it 431 (or 502 upstream). Also the width of sets of fields.
pub(crate) const FIELDS_MAX: usize = 256;
/// Buffer sizes a transfer grows through while full reads keep coming.
pub(crate) const BUF_CLASSES: [usize; 4] = [4 * 1024, 16 * 1024, 64 * 1024, 256 * 1024];
/// Size of the buffer that a client's first head is read into. Most heads are smaller; a client whose head or first
/// bytes of a body fill it gets the next class from then on.
pub(crate) const FIRST_BUF: usize = 1024;
/// Free buffers of that size that a shard keeps.
pub(crate) const FIRST_BUF_KEEP: usize = 256;
/// Room kept in front of what is read, so that a rewritten head can be put before body bytes without moving them.
pub(crate) const HEADROOM: usize = 2 * 1024;
/// Free buffers of each class that a shard keeps; what comes back above that is freed.
pub(crate) const POOL_KEEP: [usize; 4] = [64, 64, 32, 16];
/// Connections that a shard accepts before it turns to others; what is left waits in the kernel's queue.
pub(crate) const ACCEPT_BATCH: usize = 16;
/// Path parameters in one route; `check` refuses more.
pub(crate) const PARAMS_MAX: usize = 16;

/// Bytes that a stage writes before they must be sent; then it is called again. With a head in front of them they fit
/// into a buffer of the second class.
pub(crate) const STAGE_OUT_BYTES: usize = 12 * 1024;
/// Encoders of content codings that a shard lends to responses at once; a response above that leaves uncoded. One is
/// about 400 KiB.
pub(crate) const ENCODERS_MAX: usize = 512;
/// Encoders that a shard keeps for later responses; what comes back above that is freed.
pub(crate) const ENCODERS_KEEP: usize = 16;

// HTTP/1.1 messages (`wire::h1`).

/// Longest method; above it 400, because no registered method comes near it and a cap on the request line would blame
/// the target.
pub(crate) const METHOD_BYTES_MAX: usize = 32;
/// Longest host and port in a `Host` field or an absolute-form target; above it 400. A DNS name has at most 253.
pub(crate) const AUTHORITY_BYTES_MAX: usize = 261;
/// Bytes of chunk extensions in one chunk; above it 400.
pub(crate) const CHUNK_EXTENSION_BYTES_MAX: usize = 256;
/// Bytes of chunk extensions in one body, however many chunks it has; above it 400. Without it a peer could make us
/// read kilobytes of extensions for every byte of payload.
pub(crate) const CHUNK_EXTENSIONS_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a trailer section; above it 400.
pub(crate) const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Elements of `X-Forwarded-For` or `Forwarded` that are looked at, counted from the nearest; older ones are not asked.
pub(crate) const FORWARDED_HOPS_MAX: usize = 32;
/// Bytes that one read of a PROXY header asks for; the rest comes with the next. A header of version 2 is as long as
/// its length field can say, 64 KiB, and memory grows with what has come of it.
pub(crate) const PROXY_READ_BYTES: usize = 4 * 1024;
/// Longest request id that is taken over from a client; a longer one is replaced.
pub(crate) const REQUEST_ID_BYTES_MAX: usize = 128;
/// Milliseconds between two notices to the operator that one endpoint fails; the failures in between are counted.
pub(crate) const FAILURE_NOTICE_MS: u64 = 60_000;
/// Endpoints whose failures the control plane keeps apart; those above it are logged at most once for each shard and
/// interval.
pub(crate) const FAILING_ENDPOINTS_MAX: usize = 1_024;
/// Notices about clients (failed handshakes, malformed requests) that a shard sends in a second, of each kind; those
/// above it are counted in the next one.
pub(crate) const CLIENT_NOTICES_A_SECOND: u32 = 5;
/// Requests and connections that a shard shows in a second while it is traced; those above it are counted in the next
/// one.
pub(crate) const TRACES_A_SECOND: u32 = 50;
/// Traces that run at once; one more is refused.
pub(crate) const TRACES_MAX: usize = 16;
/// Longest that one trace runs; more is refused.
pub(crate) const TRACE_SECONDS_MAX: u64 = 3_600;
/// What a trace shows that whoever asked has not read; more is left out and counted.
pub(crate) const TRACES_UNREAD_MAX: usize = 1_024;
/// Bytes of a target or header value that a trace shows.
pub(crate) const TRACED_BYTES_MAX: usize = 256;
/// Bytes of a malformed request that its log line shows.
pub(crate) const OFFENDING_BYTES_MAX: usize = 64;
/// Endpoints in one upstream; discovery that finds more uses the first, and says how many it left out.
pub(crate) const ENDPOINTS_MAX: usize = 4_096;
/// Endpoints in what one shard reports of its upstreams; more are left out, and a metric says how many.
pub(crate) const ENDPOINT_STATES_MAX: usize = 1 << 16;
/// Points on one hash ring; above it every endpoint gets proportionally fewer, at least one.
pub(crate) const RING_POINTS_MAX: usize = 1 << 18;
/// Points that a ring lookup passes over before it settles for the least loaded endpoint.
pub(crate) const RING_WALK_MAX: usize = 2_048;
/// Endpoints that one request remembers having tried; with more, the oldest is forgotten and may be tried again.
pub(crate) const TRIED_MAX: usize = 16;
/// Longest path pattern of a route; `check` refuses longer ones. Bounds the depth of the routing tree.
pub(crate) const PATTERN_BYTES_MAX: usize = 4 * 1024;
/// Largest compiled regular expression of a route; `check` refuses larger ones.
pub(crate) const REGEX_PROGRAM_BYTES_MAX: usize = 1024 * 1024;
/// Longest combined value of a header with several lines that a rule looks at; a longer one does not match.
pub(crate) const HEADER_COMBINED_BYTES_MAX: usize = 4 * 1024;
/// Longest query name or value with escapes that a rule decodes; a longer one does not match.
pub(crate) const QUERY_DECODED_BYTES_MAX: usize = 1024;
/// Policies that one route names, those of `[defaults]` among them, and policies that one listener names; a
/// configuration with more is refused.
pub(crate) const POLICIES_MAX: usize = 64;
/// Reports of one table; `check` stops adding after that.
pub(crate) const ROUTE_REPORTS_MAX: usize = 1_000;
/// Rules for the same host and path that are compared with each other for conflicts; what stands behind is not.
pub(crate) const ROUTE_COMPARED_MAX: usize = 256;
/// Near misses that `explain` lists.
pub(crate) const EXPLAINED_MAX: usize = 8;
/// Messages that wait for one other shard because its ring is full, above which limits send it no more slots that may
/// stay where they are; so a full table refuses newcomers. Questions and answers about keys in the tables come on top.
pub(crate) const LIMIT_KEPT_MAX: usize = 4_096;

/// Windows of one rate limit; `check` refuses more. A request takes from each of them.
pub(crate) const LIMIT_WINDOWS_MAX: usize = 8;
/// The most that a policy may let a request wait for another shard's word about a limit; `check` refuses more.
pub(crate) const LIMIT_WAIT_MS_MAX: u64 = 60_000;
/// Requests of one shard that wait for other shards or for the control plane; above it a wait ends at once, as if its
/// time were over.
pub(crate) const WAITERS_MAX: usize = 65_536;

// Authenticating servers (`policy::external_auth`).

/// Bytes of a refusal's body that are passed on; a longer one is a failure of the server.
pub(crate) const AUTH_BODY_BYTES_MAX: usize = 64 * 1024;
/// Verdicts that a shard remembers for one policy; above it those that were not used for longest are forgotten.
pub(crate) const AUTH_VERDICTS_MAX: usize = 16_384;
/// Bytes of the fields of one remembered verdict; one with more is not remembered.
pub(crate) const AUTH_VERDICT_BYTES_MAX: usize = 4 * 1024;
/// The most of a body that a policy may ask for: it lives in memory while the request is served. `check` refuses more.
pub(crate) const POLICY_BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;

// Signatures (`wire::signature`, `policy::http_signature`).

/// Components that a signature may cover; above it 401.
pub(crate) const SIGNED_COMPONENTS_MAX: usize = 64;
/// Questions about nonces of one policy and shard that are open; above it 503.
pub(crate) const NONCE_QUESTIONS_MAX: usize = 4_096;
/// Nonces that the control plane keeps for all policies; where all of them are still in their windows, 503.
pub(crate) const NONCES_MAX: usize = 1 << 20;

// Passwords (`policy::password`).

/// Verdicts about passwords that a shard remembers for one policy, of each kind; above it those that were not used for
/// longest are forgotten and asked for again.
pub(crate) const VERDICTS_MAX: usize = 16_384;
/// Passwords of one policy and shard that are being checked; above it 503.
pub(crate) const PASSWORD_QUESTIONS_MAX: usize = 256;
/// Passwords and tokens that wait in the control plane for a thread, from all shards; above it 503.
pub(crate) const COMPUTATIONS_WAITING_MAX: usize = 1_024;
/// Addresses whose names are asked of DNS at a time, for all shards; above it the answer is that nobody knows.
pub(crate) const ADDRESSES_MAX: usize = 64;
/// Addresses of one policy and shard whose names are being asked for; above it nobody knows them.
pub(crate) const ADDRESS_QUESTIONS_MAX: usize = 256;
/// Addresses that belong to a good bot, and as many that do not, which one policy remembers on a shard; above it all of
/// the kind are forgotten.
pub(crate) const ADDRESSES_KEPT: usize = 4_096;
/// Threads that check passwords at once, where the machine has twice as many cores; else one for two cores, at least
/// one. The rest of the machine serves.
pub(crate) const COMPUTE_MAX: usize = 8;
/// Longest password that is looked at; a longer one is wrong.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1_024;
/// Highest cost of bcrypt, about two seconds; `check` refuses more, as it does of those below.
pub(crate) const BCRYPT_COST_MAX: u32 = 15;
/// Most memory of argon2, in KiB; as many threads as check passwords take it.
pub(crate) const ARGON2_KIB_MAX: u32 = 256 * 1024;
/// Most passes of argon2.
pub(crate) const ARGON2_PASSES_MAX: u32 = 16;
/// Most lanes of argon2.
pub(crate) const ARGON2_LANES_MAX: u32 = 16;
/// Most rounds of SHA-crypt, about a second.
pub(crate) const SHA_CRYPT_ROUNDS_MAX: u32 = 1_000_000;

// Connections of clients.

/// Clients of one shard above `connections_max` that are sent a 503 at the same time; above it they are closed at once.
/// Each holds a descriptor until it has closed its side, for a fifth of a second at most.
pub(crate) const REFUSALS_MAX: usize = 16;

// HTTP/2 (`wire::h2`).

/// Bytes that one field block may decode to (names, values, and 32 for each field), kept or not; above it the
/// connection ends with ENHANCE_YOUR_CALM. A byte of a block can name kilobytes of the table, so without it a block of
/// 64 KiB would decode to a quarter of a gigabyte.
pub(crate) const HPACK_LIST_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one field block as it comes in frames; above it the connection ends with ENHANCE_YOUR_CALM, since a block
/// that is not read to its end leaves the table out of step. Larger than any list that we take.
pub(crate) const H2_BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Bytes of request bodies over HTTP/2 that came and that no upstream has taken, in the whole process; each shard has
/// its share. Above it the stream that brings more is reset with ENHANCE_YOUR_CALM.
pub(crate) const H2_UNREAD_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Informational heads on one stream; above it the stream is reset.
pub(crate) const H2_INTERIMS_MAX: u8 = 32;
// gRPC (`wire::grpc`).

/// Default cap of one gRPC message; above it RESOURCE_EXHAUSTED. What other implementations take by default.
pub(crate) const GRPC_MESSAGE_BYTES: u32 = 4 * 1024 * 1024;
/// Bytes of text that we put into a `grpc-message`; the rest is cut, because clients cap their whole trailers at 8 KiB.
pub(crate) const GRPC_TEXT_BYTES_MAX: usize = 1024;
/// Bytes of the JSON body of a transcoded request, and default of its cap; above it 413.
pub(crate) const TRANSCODE_BYTES: usize = 1024 * 1024;
/// The most that a cap on the JSON body of a transcoded request may allow: it lives in memory.
pub(crate) const TRANSCODE_BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Levels of nesting in a transcoded message; above it 400 or 500. Bounds the stack; must stay below the 100 levels
/// that the decoder of messages itself allows.
pub(crate) const TRANSCODE_DEPTH_MAX: usize = 64;
/// Default for the number of values in a transcoded message; above it 413 or 500. A value of two bytes on the wire
/// takes some hundred in memory.
pub(crate) const TRANSCODE_VALUES: usize = 100_000;
/// `google.protobuf.Any` inside one another in a transcoded message; above it 500. Each level is copied once more.
pub(crate) const TRANSCODE_ANY_DEPTH_MAX: usize = 8;
/// Bytes that a gRPC error's details may have to be turned into JSON; longer ones are left out.
pub(crate) const GRPC_DETAILS_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a `google.api.http` path template; a longer one is refused when it is loaded.
pub(crate) const PATH_TEMPLATE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of all files that reflection may give; more is refused.
pub(crate) const REFLECTION_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Files and services that reflection may give; more is refused.
pub(crate) const REFLECTION_FILES_MAX: usize = 4_096;
/// Parameters of a query that are taken to fields; above it 413.
pub(crate) const QUERY_PARAMETERS_MAX: usize = 256;
/// Bytes of JSON that one message may become; above it 500. A message of default values is larger in JSON than on the
/// wire without bound.
pub(crate) const TRANSCODED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of messages that a streaming client's JSON becomes before they leave; the rest of what was read waits.
pub(crate) const TRANSCODED_BATCH_BYTES: usize = 64 * 1024;

/// Writes that wait for the store, or whose outcome waits to be handled, at most; above it a write is refused with 503.
pub(crate) const STORE_JOBS_MAX: usize = 1_024;
/// Requests with an idempotency key that the store remembers; above it the oldest is forgotten.
pub(crate) const IDEMPOTENCY_ROWS_MAX: u64 = 10_000;
/// The largest content of a response that the store keeps for a request that is sent again, in bytes.
pub(crate) const IDEMPOTENCY_BYTES_MAX: usize = 64 * 1024;
/// Changes of the directory that a shard looks through before the snapshot, at least; with many keys it is a 32nd of
/// them. Above it a new snapshot is made.
pub(crate) const DIRECTORY_CHANGES_MAX: usize = 4_096;

// Bodies that are scanned (`wire::inspect`).

/// The most levels of nesting that a policy may allow in a scanned body; `check` refuses more. Each takes 16 bytes.
pub(crate) const SCANNED_DEPTH_MAX: u32 = 1_024;
/// The most members or attributes that a policy may allow; `check` refuses more. Names of attributes are compared with
/// each other.
pub(crate) const SCANNED_MEMBERS_MAX: u32 = 4_096;
/// The most of a body that a policy may have held in memory before any of it goes on; `check` refuses more.
pub(crate) const SCANNED_HELD_BYTES_MAX: u64 = 1 << 20;
/// The most clients that a honeypot may remember on each shard; `check` refuses more. Each takes 16 bytes.
pub(crate) const TRAPPED_MAX: u32 = 1 << 22;

// Tokens and the keys that verify them (`wire::jose`, `policy::jwt`, `policy::introspection`).

/// Longest token that is looked at; a longer one is not valid.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Levels of nesting in the JSON of tokens, of key sets and of what an authorisation server says; deeper ones are not
/// valid. Bounds the stack.
pub(crate) const JOSE_DEPTH_MAX: usize = 16;
/// Keys of one issuer; a larger set is refused as a whole, and the keys before it stay in use.
pub(crate) const JWKS_KEYS_MAX: usize = 512;
/// Bytes of a key set or of an issuer's metadata; more is refused.
pub(crate) const JWKS_BYTES_MAX: usize = 1024 * 1024;
/// Keys that one token is tried with, where it does not name its key; it is not valid with any behind them.
pub(crate) const KEYS_TRIED_MAX: usize = 4;
/// Bytes of tokens whose claims one policy keeps on one shard, counted by the tokens' own length; above it those that
/// were used least recently are forgotten. Claims take a few times as much memory as their token.
pub(crate) const TOKENS_KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of what an authorisation server says of a token; more is refused.
pub(crate) const INTROSPECTION_BYTES_MAX: usize = 64 * 1024;
/// Questions that wait for one source; above it the answer is at once that the source is not available.
pub(crate) const QUESTIONS_MAX: usize = 1_024;
/// Questions that one authorisation server is sent at once; more of them wait for their turn.
pub(crate) const INTROSPECTIONS_MAX: usize = 32;

// Sign-in of browsers (`policy::login`, `policy::oidc`).

/// Cookies that one session is cut into; with more it is refused. Together they stay below the default of
/// `head_bytes_max`.
pub(crate) const SESSION_COOKIES_MAX: usize = 3;
/// Logins that one browser may have under way; where it has more, they end when it begins another.
pub(crate) const TICKETS_MAX: usize = 5;
/// Logins that one browser may end in a row, within a minute, without coming back with its session; then it is told so
/// and not sent to the issuer again.
pub(crate) const LOGINS_IN_A_ROW_MAX: u64 = 5;
/// Bytes of the path and query that a browser comes back to after a login; a longer one is `/`.
pub(crate) const RETURN_TARGET_BYTES_MAX: usize = 2_048;
/// Steps of logins of one policy and shard that are under way; above it 503.
pub(crate) const LOGIN_STEPS_MAX: usize = 1_024;
/// Steps of logins that one issuer is asked for at once; more of them wait for their turn.
pub(crate) const LOGINS_MAX: usize = 64;
/// Logins and logout tokens of one issuer that are remembered as used; where all of them are still in their time, 503.
pub(crate) const LOGINS_USED_MAX: usize = 65_536;
/// Sessions of one issuer that were sealed again in the last minute and are remembered, for requests that still come
/// with what they had before; above it a session goes on as it is until there is room.
pub(crate) const SESSIONS_RENEWED_MAX: usize = 16_384;
/// Sessions, subjects and sessions of issuers that are known as revoked. Above it the older half becomes a line in
/// time: whoever signed in before has to do so again.
pub(crate) const REVOCATIONS_MAX: usize = 65_536;
/// Bytes of the form that asks for a token; more gets 413.
pub(crate) const TOKEN_FORM_BYTES_MAX: u64 = 16 * 1024;
/// Tokens of one policy and shard that are being signed; above it 503.
pub(crate) const TOKENS_SIGNED_MAX: usize = 1_024;
/// Bytes of the form that brings a logout token; more gets 413.
pub(crate) const LOGOUT_FORM_BYTES_MAX: u64 = 32 * 1024;
/// Fields of a form or a query of OAuth 2.0; one with more is refused.
pub(crate) const FORM_FIELDS_MAX: usize = 32;
// Expressions (`cel`).
/// Longest expression; above it the configuration is refused.
pub(crate) const EXPRESSION_BYTES_MAX: usize = 8 * 1024;
/// Levels of an expression; above it the configuration is refused. What walks the tree is as deep on the stack.
pub(crate) const EXPRESSION_DEPTH_MAX: usize = 48;
/// Parts of an expression; above it the configuration is refused.
pub(crate) const EXPRESSION_NODES_MAX: usize = 2_000;
/// Steps that one run of an expression may take; above it the run fails. A step is about ten nanoseconds.
pub(crate) const EXPRESSION_STEPS_MAX: u32 = 20_000;
/// Bytes of one file of an `[ip_set.NAME]`; a larger one is refused.
pub(crate) const IP_SET_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a database of countries; a larger one is refused.
pub(crate) const COUNTRIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes that one run of an expression may compute; above it the run fails.
pub(crate) const EXPRESSION_MEMORY_MAX: usize = 64 * 1024;

// Usage (`edge/shard/usage`, `control/usage`).

/// Series of usage that a shard counts apart from each other. Above it those that counted nothing since the last batch
/// are forgotten, which loses nothing; if all of them did, further callers are counted as one, for each route and class
/// of status. Each takes about 400 bytes.
pub(crate) const USAGE_SERIES_MAX: usize = 16_384;
/// Rows of usage that are exported at a time; more of them are further exports.
pub(crate) const USAGE_EXPORT_ROWS_MAX: usize = 5_000;
