-- Checkpoints that were published once and have cosignatures which came apart from the quorum's; few, newest first to stay (spec/log.md#witnesses).
CREATE TABLE kept_checkpoints (
  size bigint PRIMARY KEY,
  note text NOT NULL,
  CHECK (size >= 0),
  CHECK (note <> '')
);
