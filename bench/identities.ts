// Identities laid straight into a database, to be read: each with one operation, signed by nobody, because who serves an entry
// does not check it again. A million takes minutes where an import would take hours.

import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import secp256k1 from 'secp256k1'
import { encodeEntry } from '../src/core/entry.ts'
import { grow } from '../src/core/growth.ts'
import { didOf } from '../src/core/plc/did.ts'
import { formatDidKey } from '../src/core/plc/did-key.ts'
import { operationValue, parseOperation } from '../src/core/plc/operation.ts'
import { startEmbedded } from '../src/storage/embedded.ts'
import { openPostgres } from '../src/storage/postgres.ts'
import type { EntryRow } from '../src/storage/store.ts'
import { note } from './harness.ts'
import { createLog, type Place } from './server.ts'

const ROUND = 5_000
const ACCOUNT_KEYS = 5_000
const HOSTS = 50

/** Makes a log with `count` identities in it, the same for the same count, unless the place has it already, and gives their DIDs. */
export async function layIdentities(place: Place, count: number): Promise<readonly string[]> {
  const laid = join(place.home.folder, 'identities')
  if (existsSync(laid)) {
    const dids = readFileSync(laid, 'utf8').split('\n')
    if (dids.length !== count) throw new Error(`--data: ${laid} has ${dids.length} identities, not ${count}`)
    return dids
  }
  await createLog(place)
  await using database = await startEmbedded({ dataDir: place.data, log: () => undefined })
  await using store = await openPostgres({ connection: database.connection, onIncident: (error) => note(error.message) })
  const dids: string[] = []
  while (dids.length < count) {
    const rows = Array.from({ length: Math.min(ROUND, count - dids.length) }, (_, i) => identity(dids.length + i))
    await store.underHead(async (locked) => {
      const { edge, root, tiles } = grow(locked.head.edge, rows.map((row) => row.entry))
      await locked.append({ from: locked.head, entries: rows, nullified: [], tiles, to: { size: edge.size, root, edge, clock: { lastNative: rows.at(-1)?.createdAt ?? null } } })
    })
    for (const { did } of rows) dids.push(did)
    if (dids.length % 100_000 === 0) note(`${dids.length} identities are laid`)
  }
  writeFileSync(laid, dids.join('\n'))
  return dids
}

/** The time of an identity's entry, milliseconds since 1970. */
export function laidAt(index: number): number {
  return Date.UTC(2026, 0, 1) + index
}

function identity(index: number): EntryRow {
  const [own, host] = [key(`account ${index % ACCOUNT_KEYS}`), key(`host ${index % HOSTS}`)]
  const name = `user${index.toString(36)}.example`
  const value = operationValue({
    rotationKeys: [own, host],
    verificationMethods: new Map([['atproto', own]]),
    alsoKnownAs: [`at://${name}`],
    services: new Map([['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: `https://host-${index % HOSTS}.example` }]]),
    prev: null,
  })
  const operation = parseOperation(new Map([...value, ['sig', 'A'.repeat(86)]]))
  const did = didOf(operation.bytes)
  const createdAt = laidAt(index)
  return { index, did, cid: operation.cid, createdAt, signer: 0, nullified: false, rejected: null, entry: encodeEntry({ did, createdAt, operation, source: null }) }
}

const keys = new Map<string, string>()

function key(name: string): string {
  const known = keys.get(name)
  if (known !== undefined) return known
  const made = formatDidKey({ curve: 'k256', bytes: secp256k1.publicKeyCreate(createHash('sha256').update(name).digest(), true) })
  keys.set(name, made)
  return made
}
