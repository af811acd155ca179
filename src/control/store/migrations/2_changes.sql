-- SPDX-License-Identifier: Apache-2.0
-- What was changed last, for other gateways on the same store: a row for each object and credential, which moves to the
-- next number when the same is changed again. Of an object `name` says which, of a credential `lookup`.
CREATE TABLE changes (
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    lookup BLOB NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (kind, name, lookup)
) WITHOUT ROWID;
CREATE INDEX changes_by_number ON changes (number);
-- `changes`: the number of the last change. `forgotten`: changes up to this number may be gone.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('changes', 0), ('forgotten', 0);
-- The response to a request that may be sent again, where one was kept.
ALTER TABLE idempotency ADD COLUMN status INTEGER;
ALTER TABLE idempotency ADD COLUMN media_type TEXT;
ALTER TABLE idempotency ADD COLUMN fields TEXT;
ALTER TABLE idempotency ADD COLUMN body BLOB;
-- The id of the request that wrote, as its response had it.
ALTER TABLE audit ADD COLUMN request TEXT;
