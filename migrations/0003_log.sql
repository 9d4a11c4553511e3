-- Lines that attempts captured, such as the commands run on a host and what they said. In the order in which they came.

CREATE TABLE log (
    key     INTEGER PRIMARY KEY,
    run     INTEGER NOT NULL REFERENCES run (key),
    step    TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    line    TEXT    NOT NULL
) STRICT;

CREATE INDEX log_of_run ON log (run);
