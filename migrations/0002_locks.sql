-- Locks: mutual exclusion between runs over a named thing. A run takes all of its locks in the transaction in which it is
-- created or taken over, and gives them back in the one in which it ends or is given up.

CREATE TABLE lock (
    name TEXT    NOT NULL PRIMARY KEY,
    run  INTEGER NOT NULL REFERENCES run (key) -- who holds it
) STRICT, WITHOUT ROWID;

CREATE INDEX lock_of_run ON lock (run);

-- Written in the same transaction as a batch that changes who holds what, and behind it:
-- {locks: [{run, name}], evictions: [{run, epoch, lease_until}], appends: [{run, status}]}.
-- Whoever holds a lock and is dead is fenced when it loses it: it may be alive after all, and must not go on without.
-- An eviction of a run that is no longer as it was seen evicts nobody.
-- It ends with 'locked', and writes nothing, when a lock is then still held by another run.
CREATE VIEW locking AS SELECT NULL AS json;

CREATE TRIGGER locking_insert INSTEAD OF INSERT ON locking BEGIN
    DELETE FROM lock WHERE run IN (
        SELECT run.key FROM json_each(NEW.json, '$.evictions') AS e
        CROSS JOIN run ON run.id = e.value ->> 'run'
        WHERE run.epoch = e.value ->> 'epoch' AND run.lease_until = e.value ->> 'lease_until');

    UPDATE run SET epoch = run.epoch + 1, owner = NULL, lease_until = 0
        FROM json_each(NEW.json, '$.evictions') AS e
        WHERE run.id = e.value ->> 'run' AND run.epoch = e.value ->> 'epoch'
          AND run.lease_until = e.value ->> 'lease_until';

    INSERT INTO lock (name, run)
        SELECT w.value ->> 'name', run.key
        FROM json_each(NEW.json, '$.locks') AS w
        CROSS JOIN run ON run.id = w.value ->> 'run' WHERE true
        ON CONFLICT (name) DO NOTHING;

    SELECT RAISE(ABORT, 'locked') FROM json_each(NEW.json, '$.locks') AS w
        WHERE NOT EXISTS (
            SELECT 1 FROM lock JOIN run ON run.key = lock.run
            WHERE lock.name = w.value ->> 'name' AND run.id = w.value ->> 'run');

    DELETE FROM lock WHERE run IN (
        SELECT run.key FROM json_each(NEW.json, '$.appends') AS a
        CROSS JOIN run ON run.id = a.value ->> 'run'
        WHERE a.value ->> 'status' <> 'running');
END;
