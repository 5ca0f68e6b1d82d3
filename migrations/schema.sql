-- Made by "npm run schema" from the migrations: do not edit.

CREATE TABLE divergences (
  did text COLLATE "C" NOT NULL,
  since bigint NOT NULL,
  checked_at bigint NOT NULL,
  ended_at bigint,
  kinds text[] NOT NULL,
  theirs text,
  CONSTRAINT divergences_pkey PRIMARY KEY (did),
  CONSTRAINT divergences_did_check CHECK ((did <> ''::text)),
  CONSTRAINT divergences_kinds_check CHECK ((cardinality(kinds) > 0))
);

CREATE INDEX divergences_open ON divergences USING btree (did) WHERE (ended_at IS NULL);

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

CREATE TABLE map_buckets (
  bucket integer NOT NULL,
  hash bytea NOT NULL,
  entries bytea STORAGE EXTERNAL NOT NULL,
  CONSTRAINT map_buckets_pkey PRIMARY KEY (bucket),
  CONSTRAINT map_buckets_bucket_check CHECK (((bucket >= 0) AND (bucket <= 1048575))),
  CONSTRAINT map_buckets_entries_check CHECK (((octet_length(entries) > 0) AND ((octet_length(entries) % 64) = 0))),
  CONSTRAINT map_buckets_hash_check CHECK ((octet_length(hash) = 32))
) WITH (fillfactor=80);

CREATE TABLE map_leaves (
  index bigint NOT NULL,
  leaf bytea NOT NULL,
  CONSTRAINT map_leaves_pkey PRIMARY KEY (index) WITH (fillfactor=100),
  CONSTRAINT map_leaves_index_check CHECK ((index >= 0)),
  CONSTRAINT map_leaves_leaf_check CHECK (((octet_length(leaf) >= 1) AND (octet_length(leaf) <= 107)))
);

CREATE TABLE map_log (
  single boolean DEFAULT true NOT NULL,
  origin text NOT NULL,
  guard_id text NOT NULL,
  vkeys text[] NOT NULL,
  key_statement text,
  size bigint NOT NULL,
  root bytea NOT NULL,
  edge bytea NOT NULL,
  published_size bigint,
  published_root bytea,
  note text,
  published_at bigint,
  derived_size bigint NOT NULL,
  derived_root bytea NOT NULL,
  CONSTRAINT map_log_pkey PRIMARY KEY (single),
  CONSTRAINT map_log_check CHECK (((published_size >= 0) AND (published_size <= size))),
  CONSTRAINT map_log_check1 CHECK ((((published_size IS NULL) = (note IS NULL)) AND ((published_root IS NULL) = (note IS NULL)) AND ((published_at IS NULL) = (note IS NULL)))),
  CONSTRAINT map_log_derived_root_check CHECK ((octet_length(derived_root) = 32)),
  CONSTRAINT map_log_derived_size_check CHECK ((derived_size >= 0)),
  CONSTRAINT map_log_edge_check CHECK (((octet_length(edge) % 32) = 0)),
  CONSTRAINT map_log_root_check CHECK ((octet_length(root) = 32)),
  CONSTRAINT map_log_single_check CHECK (single),
  CONSTRAINT map_log_size_check CHECK ((size >= 0))
);

CREATE TABLE map_tiles (
  level smallint NOT NULL,
  index bigint NOT NULL,
  hashes bytea NOT NULL,
  CONSTRAINT map_tiles_pkey PRIMARY KEY (level, index),
  CONSTRAINT map_tiles_hashes_check CHECK (((octet_length(hashes) >= 32) AND (octet_length(hashes) <= 8192))),
  CONSTRAINT map_tiles_hashes_check1 CHECK (((octet_length(hashes) % 32) = 0)),
  CONSTRAINT map_tiles_index_check CHECK ((index >= 0)),
  CONSTRAINT map_tiles_level_check CHECK ((level >= 0))
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

CREATE TABLE set_aside (
  number bigint NOT NULL,
  key text NOT NULL,
  did text NOT NULL,
  cid text NOT NULL,
  code text NOT NULL,
  words text NOT NULL,
  upstream bigint,
  index bigint,
  seen_at bigint NOT NULL,
  length bigint NOT NULL,
  line bytea NOT NULL,
  CONSTRAINT set_aside_key_key UNIQUE (key),
  CONSTRAINT set_aside_pkey PRIMARY KEY (number),
  CONSTRAINT set_aside_check CHECK ((length >= octet_length(line))),
  CONSTRAINT set_aside_code_check CHECK ((code <> ''::text)),
  CONSTRAINT set_aside_index_check CHECK ((index >= 0)),
  CONSTRAINT set_aside_number_check CHECK ((number > 0))
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

CREATE TABLE upstream (
  single boolean DEFAULT true NOT NULL,
  source text NOT NULL,
  numbered boolean NOT NULL,
  cursor bigint NOT NULL,
  highest bigint NOT NULL,
  dropped bigint NOT NULL,
  CONSTRAINT upstream_pkey PRIMARY KEY (single),
  CONSTRAINT upstream_cursor_check CHECK ((cursor >= 0)),
  CONSTRAINT upstream_dropped_check CHECK ((dropped >= 0)),
  CONSTRAINT upstream_highest_check CHECK ((highest >= 0)),
  CONSTRAINT upstream_single_check CHECK (single),
  CONSTRAINT upstream_source_check CHECK ((source <> ''::text))
);

CREATE TABLE upstream_runs (
  index bigint NOT NULL,
  number bigint NOT NULL,
  count bigint NOT NULL,
  late boolean NOT NULL,
  CONSTRAINT upstream_runs_pkey PRIMARY KEY (index, number),
  CONSTRAINT upstream_runs_count_check CHECK ((count > 0)),
  CONSTRAINT upstream_runs_index_check CHECK ((index >= 0)),
  CONSTRAINT upstream_runs_number_check CHECK ((number > 0))
);

CREATE INDEX upstream_runs_end ON upstream_runs USING btree (((index + count)));

CREATE INDEX upstream_runs_number ON upstream_runs USING btree (late, ((number + count)));
