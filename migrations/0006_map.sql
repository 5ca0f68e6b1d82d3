-- The map of newest states and the log of its roots (spec/map.md#storage).

-- The map's log as `log_head` and `publication` are for the log, and which version of the map the buckets hold, in one row: the checkpoint of
-- a version and the rows of it become visible together.
CREATE TABLE map_log (
  single boolean PRIMARY KEY DEFAULT true,
  origin text NOT NULL,
  -- the only guard whose holder may sign
  guard_id text NOT NULL,
  vkeys text[] NOT NULL,
  key_statement text,
  -- leaves, their root, and the roots of the perfect subtrees, largest first
  size bigint NOT NULL,
  root bytea NOT NULL,
  edge bytea NOT NULL,
  -- the newest published checkpoint; null before the first
  published_size bigint,
  published_root bytea,
  note text,
  -- milliseconds since 1970
  published_at bigint,
  -- entries of the log that the buckets are derived from, and the root of the map
  derived_size bigint NOT NULL,
  derived_root bytea NOT NULL,
  CHECK (single),
  CHECK (size >= 0),
  CHECK (octet_length(root) = 32),
  CHECK (octet_length(edge) % 32 = 0),
  CHECK (published_size BETWEEN 0 AND size),
  CHECK ((published_size IS NULL) = (note IS NULL) AND (published_root IS NULL) = (note IS NULL) AND (published_at IS NULL) = (note IS NULL)),
  CHECK (derived_size >= 0),
  CHECK (octet_length(derived_root) = 32)
);

-- The leaves of the map's log.
CREATE TABLE map_leaves (
  index bigint PRIMARY KEY WITH (fillfactor = 100),
  leaf bytea NOT NULL,
  CHECK (index >= 0),
  CHECK (octet_length(leaf) BETWEEN 1 AND 107)
);

-- Hashes of its tiles, up to 256 in a row: it grows by one leaf in seconds.
CREATE TABLE map_tiles (
  level smallint NOT NULL,
  index bigint NOT NULL,
  hashes bytea NOT NULL,
  PRIMARY KEY (level, index),
  CHECK (level >= 0),
  CHECK (index >= 0),
  CHECK (octet_length(hashes) BETWEEN 32 AND 8192),
  CHECK (octet_length(hashes) % 32 = 0)
);

-- Keys that begin with the same 20 bits: hash of their subtree, and of each its key and value, 32 bytes each, in order. Rewritten in place.
CREATE TABLE map_buckets (
  bucket integer PRIMARY KEY,
  hash bytea NOT NULL,
  entries bytea NOT NULL,
  CHECK (bucket BETWEEN 0 AND 1048575),
  CHECK (octet_length(hash) = 32),
  CHECK (octet_length(entries) > 0 AND octet_length(entries) % 64 = 0)
) WITH (fillfactor = 80);

-- Hashes do not compress.
ALTER TABLE map_buckets ALTER COLUMN entries SET STORAGE EXTERNAL;
