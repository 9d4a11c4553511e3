-- Identity of the journal: the file says whose it is, and a running process can tell that the file at its path is still
-- the one that it opened. `verification` only grows; it is written to the file itself, and not only to the write-ahead log,
-- with each verification, so that a copy that is put back in its place has a lower one.
CREATE TABLE identity (
    id           TEXT    NOT NULL PRIMARY KEY, -- random
    verification INTEGER NOT NULL              -- number of verifications so far, by any process
) STRICT, WITHOUT ROWID;

INSERT INTO identity VALUES (lower(hex(randomblob(16))), 0);

-- "Strg" in ASCII. Journals of earlier schemas are recognised by their tables.
PRAGMA application_id = 1400140391;
