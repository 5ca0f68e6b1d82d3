-- Made by "npm run schema" from the migrations: do not edit.

CREATE TABLE entries (
  index bigint NOT NULL,
  created_at bigint NOT NULL,
  signer smallint,
  nullified boolean NOT NULL,
  did text COLLATE "C",
  cid bytea,
  rejected text COLLATE "C",
  entry bytea STORAGE EXTERNAL NOT NULL,
  CONSTRAINT entries_pkey PRIMARY KEY (index) WITH (fillfactor=100),
  CONSTRAINT entries_check CHECK (((signer IS NULL) = (rejected IS NOT NULL))),
  CONSTRAINT entries_check1 CHECK (((did IS NULL) = (cid IS NULL))),
  CONSTRAINT entries_check2 CHECK (((did IS NOT NULL) OR (rejected IS NOT NULL))),
  CONSTRAINT entries_check3 CHECK (((NOT nullified) OR (rejected IS NULL))),
  CONSTRAINT entries_cid_check CHECK ((octet_length(cid) = 32)),
  CONSTRAINT entries_did_check CHECK ((octet_length(did) = 24)),
  CONSTRAINT entries_entry_check CHECK ((octet_length(entry) <= 65535)),
  CONSTRAINT entries_index_check CHECK ((index >= 0)),
  CONSTRAINT entries_signer_check CHECK ((signer >= 0))
);

CREATE INDEX entries_created_at ON entries USING btree (created_at) WITH (fillfactor='100');

CREATE INDEX entries_did ON entries USING btree (did, index);

CREATE INDEX entries_rejected ON entries USING btree (index) WHERE (rejected IS NOT NULL);

CREATE TABLE kept_checkpoints (
  size bigint NOT NULL,
  note text NOT NULL,
  CONSTRAINT kept_checkpoints_pkey PRIMARY KEY (size),
  CONSTRAINT kept_checkpoints_note_check CHECK ((note <> ''::text)),
  CONSTRAINT kept_checkpoints_size_check CHECK ((size >= 0))
);

CREATE TABLE log_head (
  single boolean DEFAULT true NOT NULL,
  origin text NOT NULL,
  guard_id text NOT NULL,
  vkeys text[] NOT NULL,
  size bigint NOT NULL,
  root bytea NOT NULL,
  edge bytea NOT NULL,
  last_native bigint,
  key_statement text,
  CONSTRAINT log_head_pkey PRIMARY KEY (single),
  CONSTRAINT log_head_edge_check CHECK (((octet_length(edge) % 32) = 0)),
  CONSTRAINT log_head_root_check CHECK ((octet_length(root) = 32)),
  CONSTRAINT log_head_single_check CHECK (single),
  CONSTRAINT log_head_size_check CHECK ((size >= 0))
);

CREATE TABLE publication (
  single boolean DEFAULT true NOT NULL,
  size bigint NOT NULL,
  root bytea NOT NULL,
  note text NOT NULL,
  published_at bigint NOT NULL,
  CONSTRAINT publication_pkey PRIMARY KEY (single),
  CONSTRAINT publication_note_check CHECK ((note <> ''::text)),
  CONSTRAINT publication_root_check CHECK ((octet_length(root) = 32)),
  CONSTRAINT publication_single_check CHECK (single),
  CONSTRAINT publication_size_check CHECK ((size >= 0))
);

CREATE TABLE tiles (
  level smallint NOT NULL,
  part smallint NOT NULL,
  index bigint NOT NULL,
  hashes bytea NOT NULL,
  CONSTRAINT tiles_pkey PRIMARY KEY (level, index, part),
  CONSTRAINT tiles_hashes_check CHECK (((octet_length(hashes) >= 32) AND (octet_length(hashes) <= 1024))),
  CONSTRAINT tiles_hashes_check1 CHECK (((octet_length(hashes) % 32) = 0)),
  CONSTRAINT tiles_index_check CHECK ((index >= 0)),
  CONSTRAINT tiles_level_check CHECK ((level >= 0)),
  CONSTRAINT tiles_part_check CHECK (((part >= 0) AND (part <= 7)))
);
