-- What the log says of its keys, a signed note (spec/log.md#key-statements); null in a log that is older than such statements.
ALTER TABLE log_head ADD COLUMN key_statement text;
