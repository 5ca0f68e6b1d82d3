-- The entries that break the rules can be listed without a walk through all others (spec/http.md#log).
CREATE INDEX entries_rejected ON entries (index) WHERE rejected IS NOT NULL;
