// Bytes of the database for each operation of a ledger, after its import: relation by relation, heap and indexes.
// Without what an empty database has, and without the write-ahead log.
//
// node bench/size.ts [--operations 50000]

import { Client } from 'pg'
import { clientConfig } from '../src/storage/database.ts'
import { startEmbedded } from '../src/storage/embedded.ts'
import { printTable, readOptions, type Row } from './harness.ts'
import { createLog, importLedger, newPlace, type Place } from './server.ts'

const TOTAL = 'whole'
const SIZES = `
  select relname || case relkind when 'i' then ' (index)' else '' end as name, pg_table_size(oid)::text as bytes
  from pg_class where relkind in ('r', 'i') and relnamespace = 'public'::regnamespace
  union all
  select '${TOTAL}', pg_database_size(current_database())::text`

const options = readOptions(50_000)
await using place = newPlace()
await createLog(place)
const empty = await sizes(place)
await using filledPlace = newPlace()
const records = await importLedger(filledPlace, options.operations)
const filled = await sizes(filledPlace)
const names = [...filled.keys()].filter((name) => name !== TOTAL).sort((a, b) => (filled.get(b) ?? 0) - (filled.get(a) ?? 0))
const row = (name: string, bytes: number): Row => ({ name, figures: { 'bytes an operation': bytes / records.length, kB: bytes / 1000 } })
const entryBytes = records.reduce((sum, { operation }) => sum + operation.bytes.length, 0)
printTable(`Database of ${records.length} operations`, { runs: 1 }, [
  row('operations themselves, as DAG-CBOR', entryBytes),
  ...names.flatMap((name) => ((filled.get(name) ?? 0) >= records.length ? [row(name, filled.get(name) ?? 0)] : [])),
  row('the database, less an empty one', (filled.get(TOTAL) ?? 0) - (empty.get(TOTAL) ?? 0)),
])

async function sizes({ data }: Place): Promise<ReadonlyMap<string, number>> {
  await using embedded = await startEmbedded({ dataDir: data, log: () => undefined })
  const client = new Client(clientConfig(embedded.connection))
  await client.connect()
  try {
    const { rows } = await client.query<{ name: string; bytes: string }>(SIZES)
    return new Map(rows.map(({ name, bytes }) => [name, Number(bytes)]))
  } finally {
    await client.end()
  }
}
