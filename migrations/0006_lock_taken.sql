-- The run that took each lock last. A run is overtaken once another run has taken one of its locks after it. A row
-- outlives its run, so that pruning does not make an overtaken run look current.

CREATE TABLE lock_taken (
    name     TEXT    NOT NULL PRIMARY KEY,
    run      TEXT    NOT NULL,         -- id of the run
    workflow TEXT    NOT NULL,
    at       INTEGER NOT NULL          -- milliseconds since 1970
) STRICT, WITHOUT ROWID;

-- The runs of earlier schemas, by the time at which they were created or acquired last.
INSERT INTO lock_taken (name, run, workflow, at)
    SELECT name, id, workflow, max(at) FROM (
        SELECT wanted.value AS name, run.id, run.workflow, coalesce((
            SELECT max(entry.at) FROM entry
            WHERE entry.key BETWEEN run.key << 32 AND (run.key + 1 << 32) - 1
              AND entry.body LIKE '{"run_acquired":%'), run.created_at) AS at
        FROM run JOIN plan ON plan.digest = run.plan AND json_valid(plan.body)
        CROSS JOIN json_each(plan.body, '$.locks') AS wanted)
    WHERE true GROUP BY name;

-- A run that is resumed while it still holds its locks took them last already.
CREATE TRIGGER lock_insert AFTER INSERT ON lock BEGIN
    INSERT INTO lock_taken (name, run, workflow, at)
        SELECT NEW.name, run.id, run.workflow, CAST(unixepoch('subsec') * 1000 AS INTEGER)
        FROM run WHERE run.key = NEW.run
        ON CONFLICT (name) DO UPDATE SET run = excluded.run, workflow = excluded.workflow, at = excluded.at;
END;

-- Written before `locking` by a run that is resumed: {takers: [{lock, run}]}. It ends with 'locked', and writes nothing,
-- when another run than that one has taken the lock last.
CREATE VIEW taking AS SELECT NULL AS json;

CREATE TRIGGER taking_insert INSTEAD OF INSERT ON taking BEGIN
    SELECT RAISE(ABORT, 'locked') FROM json_each(NEW.json, '$.takers') AS seen
        CROSS JOIN lock_taken ON lock_taken.name = seen.value ->> 'lock'
        WHERE lock_taken.run <> seen.value ->> 'run';
END;
