-- The last batch of usage of each shard of each process that is recorded: none is recorded twice.
CREATE TABLE usage_batches (
    process TEXT NOT NULL,
    shard INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (process, shard)
) WITHOUT ROWID;
-- Usage that is to be exported, by minute. The export with the highest number collects, the one below is on its way.
CREATE TABLE usage_exports (
    export INTEGER NOT NULL,
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
    PRIMARY KEY (export, start, consumer, app, tenant, plan, product, route, version, status)
) WITHOUT ROWID;
-- `export`: the number of the export that collects. `part`: how many parts of the one below have arrived.
CREATE TABLE usage_state (
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (name)
) WITHOUT ROWID;
INSERT INTO usage_state (name, number) VALUES ('export', 1), ('part', 0);
