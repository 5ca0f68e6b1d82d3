-- What a notary knows of the directory that it follows, beside the log that it makes of it (spec/mirror.md#notary).

CREATE TABLE upstream (
  single boolean PRIMARY KEY DEFAULT true,
  -- its name, as in every entry
  source text NOT NULL,
  -- whether its operations are numbered; else they are read by their times
  numbered boolean NOT NULL,
  -- all that it shows up to here was read: one of its numbers, or milliseconds since 1970
  cursor bigint NOT NULL,
  -- the largest of its numbers that was seen
  highest bigint NOT NULL,
  -- lines that were to be set aside when no more were kept
  dropped bigint NOT NULL,
  CHECK (single),
  CHECK (source <> ''),
  CHECK (cursor >= 0),
  CHECK (highest >= 0),
  CHECK (dropped >= 0)
);

-- The upstream's numbers of our entries. Both count on together nearly always, so that a row is a run: entry index + k
-- has the number number + k, for k below count.
CREATE TABLE upstream_runs (
  index bigint NOT NULL,
  number bigint NOT NULL,
  count bigint NOT NULL,
  -- whether an earlier run has larger numbers, or a later index
  late boolean NOT NULL,
  PRIMARY KEY (index, number),
  CHECK (index >= 0),
  CHECK (number > 0),
  CHECK (count > 0)
);

CREATE INDEX upstream_runs_end ON upstream_runs ((index + count));

CREATE INDEX upstream_runs_number ON upstream_runs (late, (number + count));

-- What the upstream showed and what is no entry, or was described wrongly: few, kept as it came.
CREATE TABLE set_aside (
  -- from 1, in the order in which they were seen
  number bigint PRIMARY KEY,
  -- what it is about, so that what is shown again stands here once
  key text NOT NULL UNIQUE,
  did text NOT NULL,
  cid text NOT NULL,
  -- code and words of the verdict
  code text NOT NULL,
  words text NOT NULL,
  -- the upstream's number of it, where it gave one
  upstream bigint,
  -- of the entry that it was made all the same
  index bigint,
  -- milliseconds since 1970
  seen_at bigint NOT NULL,
  -- of the whole line, in bytes
  length bigint NOT NULL,
  -- the line, or its beginning
  line bytea NOT NULL,
  CHECK (number > 0),
  CHECK (code <> ''),
  CHECK (index >= 0),
  CHECK (length >= octet_length(line))
);

-- Identities of which the upstream shows another history than the one that was notarised.
CREATE TABLE divergences (
  did text COLLATE "C" PRIMARY KEY,
  -- milliseconds since 1970, all three; ended_at is null while it lasts
  since bigint NOT NULL,
  checked_at bigint NOT NULL,
  ended_at bigint,
  -- how they differ
  kinds text[] NOT NULL,
  -- the upstream's audit log as it was shown when it differed last; null where that is too long
  theirs text,
  CHECK (did <> ''),
  CHECK (cardinality(kinds) > 0)
);

CREATE INDEX divergences_open ON divergences (did) WHERE ended_at IS NULL;
