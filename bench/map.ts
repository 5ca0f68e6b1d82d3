// The map: deriving it from nothing, one version after another, making a state proof and checking one, at several sizes. The store is in memory and
// its entries are made up, so that what is measured is the work and nothing else.
//
// node bench/map.ts [--operations 1000000]

import { createHash } from 'node:crypto'
import { encodeEntry } from '../src/core/entry.ts'
import { encodeMapLeaf, mapOrigin } from '../src/core/map/map-leaf.ts'
import { EMPTY_MAP_ROOT } from '../src/core/map/trie.ts'
import { grow } from '../src/core/growth.ts'
import { didOf } from '../src/core/plc/did.ts'
import { operationValue, parseOperation } from '../src/core/plc/operation.ts'
import { signerFromSecret, signOperation } from '../src/core/plc/signature.ts'
import type { EntryRow } from '../src/core/replay.ts'
import { verifyStateProof } from '../src/core/state-proof.ts'
import { signCheckpoint } from '../src/core/tlog/checkpoint.ts'
import { EMPTY_EDGE, type Edge } from '../src/core/tlog/edge.ts'
import { KEY_TYPES, makeSigningKey } from '../src/core/tlog/note.ts'
import { deriveVersion } from '../src/map/derive.ts'
import { HeldMap } from '../src/map/held-map.ts'
import { MAP_LIMITS } from '../src/map/limits.ts'
import { memoryStore } from '../src/storage/memory.ts'
import type { MapVersion, Store } from '../src/storage/store.ts'
import { systemClock } from '../src/system.ts'
import { note, printTable, quantile, readOptions, type Row } from './harness.ts'

const UPDATES = 1_000
const PROOFS = 2_000
const CHECKS = 50
const signal = new AbortController().signal
const { operations } = readOptions(1_000_000)
const logKey = makeSigningKey('bench.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
const mapKey = makeSigningKey(mapOrigin(logKey.name), KEY_TYPES.ed25519, new Uint8Array(32).fill(2))
const owner = signerFromSecret('k256', new Uint8Array(32).fill(3))
const inner = memoryStore()
await inner.create({ origin: logKey.name, guardId: 'none', vkeys: [] })
await inner.map.create({ origin: mapKey.name, guardId: 'none', vkeys: [] })
/** The entries that are read next, from the first on; every identity has one until it is changed. */
let window: { readonly start: number; readonly rows: readonly EntryRow[] } = { start: 0, rows: [] }
const histories = new Map<string, readonly EntryRow[]>()
const store: Store = {
  ...inner,
  entries: async (start, end) => window.rows.slice(start - window.start, end - window.start),
  history: async (dids) => dids.flatMap((did) => histories.get(did) ?? []),
  tiles: async () => [],
}
const held = new HeldMap(store, systemClock)
let version: MapVersion = { size: 0, root: EMPTY_MAP_ROOT }
let [edge, index, cpuOfAll]: [Edge, number, number] = [EMPTY_EDGE, 0, 0]
const rows: Row[] = []
for (let size = 10_000; size <= operations; size *= 10) {
  while (index < size) await step(Array.from({ length: Math.min(MAP_LIMITS.stepEntries, size - index) }, (_, i) => genesisRow(index + i)))
  const heap = memory()
  const sample = Array.from({ length: UPDATES }, (_, i) => genesisRow(Math.floor((i * size) / UPDATES)))
  for (const row of sample) histories.set(row.did, [row])
  const updates = sample.map((row, i) => updateRow(row, index + i))
  for (const row of updates) histories.set(row.did, [...(histories.get(row.did) ?? []), row])
  const before = cpuOfAll
  await step(updates)
  const updateUs = (cpuOfAll - before) / UPDATES
  cpuOfAll = before
  await publish()
  rows.push({ name: `${size} identities`, figures: { 'derived/s': (size / cpuOfAll) * 1e6, 'us an update': updateUs, ...(await proofs(sample)), 'MB held': heap } })
  histories.clear()
}
printTable('The map, a second of processor time', { runs: 1 }, rows)

// Derives one version more, and counts what processor time that took.
async function step(added: readonly EntryRow[]): Promise<void> {
  window = { start: index, rows: added }
  const since = process.cpuUsage()
  const { change, upper } = await deriveVersion(store, held.tree, version, index + added.length, signal)
  held.tree.apply(upper)
  const { user, system } = process.cpuUsage(since)
  cpuOfAll += user + system
  await store.map.change(change)
  version = change.to
  index += added.length
  note(`${index} entries`)
}

async function publish(): Promise<void> {
  const leaf = { mapRoot: version.root, size: version.size, root: new Uint8Array(32) }
  const head = await store.map.head()
  if (head === null) throw new Error('there is a map')
  const grown = grow(edge, [encodeMapLeaf(leaf)])
  await store.map.append({ from: head, to: { size: grown.edge.size, root: grown.root, edge: grown.edge }, leaf: encodeMapLeaf(leaf), tiles: grown.tiles })
  edge = grown.edge
  await store.map.publish({ size: edge.size, root: grown.root, note: signCheckpoint({ origin: mapKey.name, size: edge.size, root: grown.root }, [mapKey]), publishedAt: 0 })
  await inner.publish({ size: version.size, root: leaf.root, note: signCheckpoint({ origin: logKey.name, size: version.size, root: leaf.root }, [logKey]), publishedAt: 0 })
  held.show({ leaves: edge.size, leaf })
}

async function proofs(sample: readonly EntryRow[]): Promise<Row['figures']> {
  const texts: string[] = []
  const since = process.cpuUsage()
  for (let i = 0; i < PROOFS; i++) texts.push((await held.prove(sample[i % sample.length]?.did ?? '')) ?? '')
  const { user, system } = process.cpuUsage(since)
  const absent = (await held.prove('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')) ?? ''
  const times = texts.filter((_, i) => i < sample.length && i % (sample.length / CHECKS) === 0).map((text) => {
    const began = performance.now()
    verifyStateProof(text, /^did (\S+)$/m.exec(text)?.[1] ?? '', { logKeys: [logKey], mapKeys: [mapKey], policy: null })
    return performance.now() - began
  })
  return { 'proofs/s': (PROOFS / (user + system)) * 1e6, 'ms a check': quantile(times.sort((a, b) => a - b), 0.5), 'bytes of an absence': absent.length, steps: quantile(texts.map((text) => text.match(/^step /gm)?.length ?? 0).sort((a, b) => a - b), 0.5) }
}

function genesisRow(i: number): EntryRow {
  const value = operationValue({ ...data(`user${i}`), prev: null })
  // Deriving believes signatures; checking a proof does not.
  const operation = i % (i < 10_000 ? 200 : 2_000) === 0 ? signOperation(value, owner) : parseOperation(new Map([...value, ['sig', createHash('sha512').update(String(i)).digest('base64url')]]))
  const did = didOf(operation.bytes)
  return { index: i, did, cid: operation.cid, createdAt: 1_700_000_000_000 + i, signer: 0, nullified: false, rejected: null, entry: encodeEntry({ did, createdAt: 1_700_000_000_000 + i, operation, source: null }) }
}

// Signed, so that a proof of it can be checked.
function updateRow({ did, cid }: EntryRow, i: number): EntryRow {
  const operation = signOperation(operationValue({ ...data(`changed${i}`), prev: cid }), owner)
  return { index: i, did, cid: operation.cid, createdAt: 1_800_000_000_000 + i, signer: 0, nullified: false, rejected: null, entry: encodeEntry({ did, createdAt: 1_800_000_000_000 + i, operation, source: null }) }
}

function data(name: string) {
  return { rotationKeys: [owner.did], verificationMethods: new Map([['atproto', owner.did]]), alsoKnownAs: [`at://${name}.example`], services: new Map([['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: 'https://pds.example' }]]) }
}

/** What the hashes above the buckets take, MB. */
function memory(): number {
  return process.memoryUsage().arrayBuffers / 1e6
}
