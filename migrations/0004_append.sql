-- The most frequent commit, a few entries of one run, without JSON that SQLite has to take apart: parsing it took 40 of
-- the 68 microseconds of such a commit. It has the same conditions and effects as `batch`, which commits all others.
-- Entries are numbered from `after` + 1. Those whose body is NULL are not there.
CREATE VIEW append AS SELECT
    NULL AS run, NULL AS epoch, NULL AS after,
    NULL AS at_1, NULL AS body_1, NULL AS at_2, NULL AS body_2,
    NULL AS at_3, NULL AS body_3, NULL AS at_4, NULL AS body_4;

CREATE TRIGGER append_insert INSTEAD OF INSERT ON append BEGIN
    SELECT RAISE(ABORT, 'fenced') WHERE NOT EXISTS (
        SELECT 1 FROM run
        WHERE run.id = NEW.run AND run.epoch = NEW.epoch
          AND NEW.after = coalesce((
              SELECT max(entry.key) FROM entry
              WHERE entry.key BETWEEN run.key << 32 AND (run.key + 1 << 32) - 1) & 0xffffffff, 0));

    INSERT INTO entry (key, at, body)
        SELECT (run.key << 32) + NEW.after + new_entry.number, new_entry.at, new_entry.body
        FROM run CROSS JOIN (
            SELECT 1 AS number, NEW.at_1 AS at, NEW.body_1 AS body
            UNION ALL SELECT 2, NEW.at_2, NEW.body_2
            UNION ALL SELECT 3, NEW.at_3, NEW.body_3
            UNION ALL SELECT 4, NEW.at_4, NEW.body_4) AS new_entry
        WHERE run.id = NEW.run AND new_entry.body IS NOT NULL;

    UPDATE run SET status = 'running', updated_at = NEW.at_1 WHERE id = NEW.run AND status <> 'running';
END;
