-- The log: its entries, the tiles of its tree, its head and its newest published checkpoint.

-- One row a leaf. Fixed widths come first, so that no byte is lost to alignment; the entry is high-entropy text
-- that does not compress. There is no table of newest states: a DID's newest entry is one step into an index.
CREATE TABLE entries (
  index bigint PRIMARY KEY WITH (fillfactor = 100),
  -- milliseconds since 1970
  created_at bigint NOT NULL,
  -- index of the key that signed; null for an entry that breaks the rules
  signer smallint,
  nullified boolean NOT NULL,
  -- the 24 characters after did:plc:; null, like the CID, where the leaf's bytes are no entry
  did text COLLATE "C",
  -- the SHA-256 in the operation's CID
  cid bytea,
  -- code of the verdict for an entry that breaks the rules
  rejected text COLLATE "C",
  -- the leaf's bytes
  entry bytea NOT NULL,
  CHECK (index >= 0),
  CHECK (signer >= 0),
  CHECK ((signer IS NULL) = (rejected IS NOT NULL)),
  CHECK (octet_length(did) = 24),
  CHECK (octet_length(cid) = 32),
  CHECK ((did IS NULL) = (cid IS NULL)),
  CHECK (did IS NOT NULL OR rejected IS NOT NULL),
  CHECK (NOT nullified OR rejected IS NULL),
  CHECK (octet_length(entry) <= 65535)
);

-- Apart from the table, because PostgreSQL 15 does not take it there.
ALTER TABLE entries ALTER COLUMN entry SET STORAGE EXTERNAL;

CREATE INDEX entries_did ON entries (did, index);

-- Nearly in order of insertion, so its pages stay full; ties are resolved by the reader.
CREATE INDEX entries_created_at ON entries (created_at) WITH (fillfactor = 100);

-- Hashes of tiles, 256 to a tile, in parts of 32: a partial tile is a prefix of its rows. A part grows in place, one
-- round after another; it is small enough that its older versions are cleared from the page on the way, where a row
-- of a whole tile would be written out of line, 8 kB for every hash of 32 bytes.
CREATE TABLE tiles (
  level smallint NOT NULL,
  part smallint NOT NULL,
  index bigint NOT NULL,
  hashes bytea NOT NULL,
  PRIMARY KEY (level, index, part),
  CHECK (level >= 0),
  CHECK (index >= 0),
  CHECK (part BETWEEN 0 AND 7),
  CHECK (octet_length(hashes) BETWEEN 32 AND 1024),
  CHECK (octet_length(hashes) % 32 = 0)
);

-- The newest durable head. Whoever appends holds this row for update.
CREATE TABLE log_head (
  single boolean PRIMARY KEY DEFAULT true,
  origin text NOT NULL,
  -- the only guard whose holder may sign
  guard_id text NOT NULL,
  -- the log's verifier keys, as the signer last stored them
  vkeys text[] NOT NULL,
  size bigint NOT NULL,
  root bytea NOT NULL,
  -- roots of the perfect subtrees, largest first
  edge bytea NOT NULL,
  -- created_at of the newest native entry
  last_native bigint,
  CHECK (single),
  CHECK (size >= 0),
  CHECK (octet_length(root) = 32),
  CHECK (octet_length(edge) % 32 = 0)
);

-- The newest published checkpoint.
CREATE TABLE publication (
  single boolean PRIMARY KEY DEFAULT true,
  size bigint NOT NULL,
  root bytea NOT NULL,
  note text NOT NULL,
  -- milliseconds since 1970
  published_at bigint NOT NULL,
  CHECK (single),
  CHECK (size >= 0),
  CHECK (octet_length(root) = 32),
  CHECK (note <> '')
);
