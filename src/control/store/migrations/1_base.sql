-- SPDX-License-Identifier: Apache-2.0
-- Who may call, admin tokens, the audit, and tables for usage and quotas.
CREATE TABLE objects (
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
-- Who names whom, so that nothing is removed that something names.
CREATE TABLE links (
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    target_kind INTEGER NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (kind, name, target_kind, target)
) WITHOUT ROWID;
CREATE INDEX links_by_target ON links (target_kind, target);
CREATE TABLE credentials (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    consumer TEXT NOT NULL,
    app TEXT,
    -- What it is found by; of a key its SHA-256.
    lookup BLOB NOT NULL,
    secret BLOB,
    last4 TEXT,
    description TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    -- The credential that it was rotated to.
    successor TEXT
);
CREATE UNIQUE INDEX credentials_by_lookup ON credentials (kind, lookup) WHERE revoked IS NULL;
CREATE INDEX credentials_by_consumer ON credentials (consumer);
CREATE TABLE tokens (
    name TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL,
    last4 TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER
) WITHOUT ROWID;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    before TEXT,
    after TEXT
);
CREATE TABLE idempotency (
    who TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    response TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (who, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_time ON idempotency (at);
-- Roll-ups: `period` is the length in seconds (60, 3600, 86400), `start` its first second since 1970.
CREATE TABLE usage (
    period INTEGER NOT NULL,
    start INTEGER NOT NULL,
    consumer TEXT NOT NULL,
    app TEXT NOT NULL,
    tenant TEXT NOT NULL,
    plan TEXT NOT NULL,
    product TEXT NOT NULL,
    route TEXT NOT NULL,
    version TEXT NOT NULL,
    status INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    bytes_sent INTEGER NOT NULL,
    latency_us INTEGER NOT NULL,
    upstream_us INTEGER NOT NULL,
    limited INTEGER NOT NULL,
    PRIMARY KEY (period, start, consumer, app, tenant, plan, product, route, version, status)
) WITHOUT ROWID;
-- What was leased of a quota for the window that begins at `start`: spent, as far as anybody may know after a crash.
CREATE TABLE quotas (
    quota TEXT NOT NULL,
    key BLOB NOT NULL,
    start INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (quota, key, start)
) WITHOUT ROWID;
