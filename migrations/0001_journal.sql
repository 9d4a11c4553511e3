-- The journal: what was to be done (plan), who may do it (run), what happened (entry), and the latest attempt and
-- checkpoint of each step (attempt), which are kept apart so that retries do not grow the history.

CREATE TABLE plan (
    digest TEXT NOT NULL PRIMARY KEY,   -- SHA-256 of body
    body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    key         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE, -- ULID
    workflow    TEXT    NOT NULL,
    plan        TEXT    NOT NULL REFERENCES plan (digest),
    status      TEXT    NOT NULL,        -- running, succeeded, failed, in_doubt
    seq         INTEGER NOT NULL,        -- number of the latest entry
    epoch       INTEGER NOT NULL,        -- fences whoever held the run before
    owner       TEXT,                    -- JSON; NULL when nobody holds the run
    lease_until INTEGER NOT NULL,        -- milliseconds since 1970
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX run_by_status ON run (status);

-- One integer for (run, seq): rows of a rowid table that are appended fill their pages, those of an index leave half empty.
CREATE TABLE entry (
    key  INTEGER PRIMARY KEY,           -- run.key * 2^32 + seq
    at   INTEGER NOT NULL,
    body TEXT    NOT NULL
) STRICT;

CREATE TABLE attempt (
    run  INTEGER NOT NULL REFERENCES run (key),
    step TEXT    NOT NULL,
    kind TEXT    NOT NULL,               -- attempt or checkpoint
    at   INTEGER NOT NULL,
    body TEXT    NOT NULL,
    PRIMARY KEY (run, step, kind)
) STRICT, WITHOUT ROWID;
