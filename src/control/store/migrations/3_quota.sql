-- What was leased of a quota in the window that begins at `start`: used, as far as anybody may know after a crash. It is
-- counted in parts of `quota_units`, which is how much there was when it was written.
DROP TABLE quotas;
CREATE TABLE quotas (
    quota TEXT NOT NULL,
    key INTEGER NOT NULL,
    start INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    quota_units INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    PRIMARY KEY (quota, key, start)
) WITHOUT ROWID;
CREATE INDEX quotas_by_end ON quotas (ends);
