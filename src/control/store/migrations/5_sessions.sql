-- Sessions of browsers, as far as operators see them. `by_id`, `by_sid` and `by_subject` are what revocations name.
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    policy TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    label TEXT NOT NULL,
    begun INTEGER NOT NULL,
    renewed INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    by_id BLOB NOT NULL,
    by_sid BLOB,
    by_subject BLOB NOT NULL
);
CREATE INDEX sessions_by_sid ON sessions (by_sid);
CREATE INDEX sessions_by_subject ON sessions (by_subject);
CREATE INDEX sessions_by_end ON sessions (ends);
-- Sessions that ended before their time: of these that began until `begun`, in microseconds since 1970.
CREATE TABLE revocations (
    whom BLOB NOT NULL PRIMARY KEY,
    begun INTEGER NOT NULL,
    ends INTEGER NOT NULL
);
CREATE INDEX revocations_by_end ON revocations (ends);
