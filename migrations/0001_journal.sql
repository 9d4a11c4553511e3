-- The journal: what was to be done (plan), who may do it (run), what happened (entry), and the latest attempt and
-- checkpoint of each step (attempt), which are kept apart so that retries do not grow the history.

CREATE TABLE plan (
    digest TEXT NOT NULL PRIMARY KEY,   -- SHA-256 of the plan's canonical JSON
    body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    key         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE, -- ULID
    workflow    TEXT    NOT NULL,
    plan        TEXT    NOT NULL REFERENCES plan (digest),
    status      TEXT    NOT NULL,        -- running, succeeded, failed, in_doubt
    epoch       INTEGER NOT NULL,        -- fences whoever held the run before
    owner       TEXT,                    -- JSON; NULL when nobody holds the run
    lease_until INTEGER NOT NULL,        -- milliseconds since 1970
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL         -- when the status last changed
) STRICT;

-- One integer for (run, seq): rows of a rowid table that are appended fill their pages, those of an index leave half empty.
-- A run's sequence number is that of its latest entry, and is kept nowhere else: a commit then writes one page less.
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

-- Writing is one statement, `INSERT INTO batch VALUES (json)`, and so one transaction and one hop to the database's
-- thread, whatever it holds: {at, plans: [{digest, body}], creates: [{id, workflow, plan, owner, lease_until}],
-- appends: [{run, epoch, seq, status, history: [[seq, at, body]], latest: [[step, kind, at, body]]}]}.
-- It ends with 'fenced', and writes nothing, when a run is not held under the epoch or is not at the sequence number
-- that an append expects.
CREATE VIEW batch AS SELECT NULL AS json;

CREATE TRIGGER batch_insert INSTEAD OF INSERT ON batch BEGIN
    INSERT INTO plan (digest, body)
        SELECT value ->> 'digest', value ->> 'body' FROM json_each(NEW.json, '$.plans') WHERE true
        ON CONFLICT DO NOTHING;

    INSERT INTO run (id, workflow, plan, status, epoch, owner, lease_until, created_at, updated_at)
        SELECT value ->> 'id', value ->> 'workflow', value ->> 'plan', 'running', 1, value ->> 'owner',
               value ->> 'lease_until', NEW.json ->> 'at', NEW.json ->> 'at'
        FROM json_each(NEW.json, '$.creates');

    SELECT RAISE(ABORT, 'fenced') FROM json_each(NEW.json, '$.appends') AS a
        WHERE NOT EXISTS (
            SELECT 1 FROM run
            WHERE run.id = a.value ->> 'run' AND run.epoch = a.value ->> 'epoch'
              AND a.value ->> 'seq' = coalesce((
                  SELECT max(entry.key) FROM entry
                  WHERE entry.key BETWEEN run.key << 32 AND (run.key + 1 << 32) - 1) & 0xffffffff, 0));

    INSERT INTO entry (key, at, body)
        SELECT run.key << 32 | e.value ->> 0, e.value ->> 1, e.value ->> 2
        FROM json_each(NEW.json, '$.appends') AS a
        CROSS JOIN run ON run.id = a.value ->> 'run'
        CROSS JOIN json_each(a.value, '$.history') AS e;

    INSERT INTO attempt (run, step, kind, at, body)
        SELECT run.key, e.value ->> 0, e.value ->> 1, e.value ->> 2, e.value ->> 3
        FROM json_each(NEW.json, '$.appends') AS a
        CROSS JOIN run ON run.id = a.value ->> 'run'
        CROSS JOIN json_each(a.value, '$.latest') AS e WHERE true
        ON CONFLICT (run, step, kind) DO UPDATE SET at = excluded.at, body = excluded.body;

    UPDATE run SET status = a.value ->> 'status', updated_at = NEW.json ->> 'at'
        FROM json_each(NEW.json, '$.appends') AS a
        WHERE run.id = a.value ->> 'run' AND run.status <> a.value ->> 'status';
END;
