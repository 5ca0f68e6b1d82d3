// Writes migrations/schema.sql, what the migrations lead to, so that the effect of one is seen in a diff: npm run schema.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { clientConfig, type Connection } from '../src/storage/database.ts'
import { startEmbedded } from '../src/storage/embedded.ts'
import { migrateToLatest } from '../src/storage/migrate.ts'

export const SCHEMA_FILE = new URL('../migrations/schema.sql', import.meta.url)

/** SQL that makes the tables of a database, read from its catalogue; the migrator's own tables are left out. */
export async function dumpSchema(connection: Connection): Promise<string> {
  const client = new Client(clientConfig(connection))
  await client.connect()
  try {
    const { rows } = await client.query<{ text: string }>(DUMP)
    return ['-- Made by "npm run schema" from the migrations: do not edit.', ...rows.map((row) => row.text)].join('\n\n') + '\n'
  } finally {
    await client.end()
  }
}

const DUMP = `
  with our_tables as (
    select oid, relname, reloptions from pg_class
    where relkind = 'r' and relnamespace = 'public'::regnamespace and relname not like 'kysely\\_%'
  ), columns as (
    select attrelid, attnum as position, format('  %I %s', attname, format_type(atttypid, atttypmod))
      || case when attcollation <> typcollation then ' COLLATE ' || quote_ident(collname) else '' end
      || case when attstorage = typstorage then ''
          else ' STORAGE ' || case attstorage when 'p' then 'PLAIN' when 'e' then 'EXTERNAL' when 'm' then 'MAIN' else 'EXTENDED' end end
      || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '')
      || case when attnotnull then ' NOT NULL' else '' end as line
    from pg_attribute
      join our_tables on our_tables.oid = attrelid
      join pg_type on pg_type.oid = atttypid
      left join pg_collation on pg_collation.oid = attcollation
      left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where attnum > 0 and not attisdropped
  ), constraints as (
    select conrelid, row_number() over (partition by conrelid order by contype = 'c', conname collate "C") as position,
      format('  CONSTRAINT %I %s', conname, pg_get_constraintdef(pg_constraint.oid))
        || coalesce(' WITH (' || array_to_string(pg_class.reloptions, ', ') || ')', '') as line
    from pg_constraint
      join our_tables on our_tables.oid = conrelid
      left join pg_class on pg_class.oid = conindid
    where contype <> 'n'
  ), statements as (
    select relname as name, 0 as kind, format(E'CREATE TABLE %I (\\n%s\\n)%s;', relname,
      concat_ws(E',\\n',
        (select string_agg(line, E',\\n' order by position) from columns where attrelid = our_tables.oid),
        (select string_agg(line, E',\\n' order by position) from constraints where conrelid = our_tables.oid)),
      ' WITH (' || array_to_string(reloptions, ', ') || ')') as text
    from our_tables
    union all
    select our_tables.relname || '.' || pg_class.relname, 1, replace(pg_get_indexdef(indexrelid), 'public.', '') || ';'
    from pg_index
      join our_tables on our_tables.oid = indrelid
      join pg_class on pg_class.oid = indexrelid
    where not exists (select from pg_constraint where conindid = indexrelid)
  )
  select text from statements order by name collate "C", kind`

if (import.meta.main) {
  const dataDir = await mkdtemp(join(tmpdir(), 'schema-'))
  try {
    await using embedded = await startEmbedded({ dataDir, log: () => {} })
    await migrateToLatest(embedded)
    await writeFile(SCHEMA_FILE, await dumpSchema(embedded.connection))
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}
