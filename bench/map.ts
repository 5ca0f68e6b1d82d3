// The map: deriving it from nothing, one version after another, making a state proof and checking one, in Node and (where there is one) in Chromium,
// at several sizes, and as it would be at a hundred million identities. The store is in memory, so that what is measured is the work and nothing else.
//
// node bench/map.ts [--operations 1250000]

import { join } from 'node:path'
import { sha256 } from '@noble/hashes/sha2.js'
import { useSha256 } from '../src/core/encoding/sha256.ts'
import { encodeEntry } from '../src/core/entry.ts'
import { grow } from '../src/core/growth.ts'
import { didKey } from '../src/core/map/did-state.ts'
import { encodeMapLeaf, mapOrigin } from '../src/core/map/map-leaf.ts'
import { EMPTY_MAP_ROOT, MAP_HASH_BYTES, packEntries, trieRoot } from '../src/core/map/trie.ts'
import { BLOCK_BITS, BLOCK_BUCKETS, blockRoot, BUCKET_BITS, bucketOf } from '../src/core/map/upper-tree.ts'
import { operationValue, parseOperation } from '../src/core/plc/operation.ts'
import type { EntryRow } from '../src/core/replay.ts'
import { signCheckpoint } from '../src/core/tlog/checkpoint.ts'
import { EMPTY_EDGE } from '../src/core/tlog/edge.ts'
import { useEd25519 } from '../src/core/tlog/ed25519.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey } from '../src/core/tlog/note.ts'
import { deriveInSteps, deriveVersion } from '../src/map/derive.ts'
import { HeldMap } from '../src/map/held-map.ts'
import { nativeSha256 } from '../src/crypto/sha256.ts'
import { useNative } from '../src/crypto/use-native.ts'
import { memoryStore } from '../src/storage/memory.ts'
import type { BucketRow, MapVersion, Store } from '../src/storage/store.ts'
import { systemClock } from '../src/system.ts'
import { missingChromium, openModulePage } from '../test/support/chromium.ts'
import { note, printTable, quantile, readOptions, withSpeed, type Figures, type Row } from './harness.ts'
import { checkProofs, type ProofsToCheck } from './map-client.ts'
import { PackedLedger } from './packed-ledger.ts'

const UPDATES = 1_000
const PROOFS = 4_000
const CHECKS = 50
const ABSENT = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const SIMULATED = 100_000_000
const signal = new AbortController().signal
const { operations } = readOptions(1_250_000)
const logKey = makeSigningKey('bench.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
const mapKey = makeSigningKey(mapOrigin(logKey.name), KEY_TYPES.ed25519, new Uint8Array(32).fill(2))

const missing = missingChromium()
if (missing !== null) note(`Chromium is left out: ${missing}`)
await using page = missing === null ? await openModulePage(join(import.meta.dirname, 'map-client.ts')) : null
const packed = new PackedLedger(operations)
const rows: Row[] = []
note('warming up')
await newMap(await newStore(operations, slabs())).rebuild(Math.min(operations, 125_000))
for (let size = 12_500; size <= operations; size *= 10) {
  note(`${size} entries`)
  rows.push({ name: `${packed.identities(size)} identities`, figures: await withSpeed(() => measure(size)) })
}
note('simulated')
rows.push({ name: `${SIMULATED} identities, simulated`, figures: await withSpeed(() => simulate(Math.min(operations, 12_500))) })
printTable('The map; a second is one of processor time', { runs: 1 }, rows)

// A map of the ledger's first entries, derived in steps as at a rebuild, and then changed as by a directory at work.
async function measure(size: number): Promise<Figures> {
  const store = await newStore(size, slabs())
  const map = newMap(store)
  const cpuUs = await map.rebuild(size)
  return { 'derived/s': (packed.identities(size) / cpuUs) * 1e6, ...(await changesAndProofs(map, size)) }
}

// The same in a map of which only those buckets are made that are asked for.
async function simulate(size: number): Promise<Figures> {
  const made = new Map<number, BucketRow>()
  const make = (bucket: number, dids: readonly string[]): void => {
    const own = dids.map((did) => ({ key: didKey(did, nativeSha256), value: stranger(bucket, 255) }))
    const others = Array.from({ length: Math.round(SIMULATED / 2 ** BUCKET_BITS) - own.length }, (_, i) => ({ key: stranger(bucket, i), value: stranger(bucket, i) }))
    const entries = packEntries([...others, ...own])
    made.set(bucket, { bucket, hash: trieRoot(entries, nativeSha256), entries })
  }
  make(bucketOf(didKey(ABSENT, nativeSha256)), [])
  const dids = [...new Set(packed.rows(0, size).map(({ did }) => did))]
  for (const [bucket, own] of Map.groupBy(dids, (did) => bucketOf(didKey(did, nativeSha256)))) make(bucket, own)
  const blocks = (asked: readonly number[]): Map<number, Uint8Array> =>
    new Map(asked.map((block) => [block, new Uint8Array(Buffer.concat(Array.from({ length: BLOCK_BUCKETS }, (_, i) => made.get(block * BLOCK_BUCKETS + i)?.hash ?? stranger(block, i))))]))
  const store = await newStore(size, {
    buckets: async (asked) => asked.map((bucket) => made.get(bucket)?.entries ?? new Uint8Array()),
    blocks: async (asked) => blocks(asked),
    change: async ({ rows }) => {
      for (const row of rows) made.set(row.bucket, row)
    },
  })
  const map = newMap(store)
  map.held.tree.apply(map.held.tree.plan(new Map(Array.from({ length: 2 ** BLOCK_BITS }, (_, block) => [block, blockRoot(blocks([block]).get(block) ?? new Uint8Array(), nativeSha256) ?? new Uint8Array()]))))
  // Now the values are the right ones, of those that are proved afterwards.
  await map.rebuild(size)
  const [row] = made.values()
  return { ...(await changesAndProofs(map, size)), 'bytes a bucket': row?.entries.length ?? 0 }
}

// A key of this bucket; as a hash, any.
function stranger(bucket: number, n: number): Uint8Array {
  const bytes = nativeSha256(Uint8Array.of(bucket >> 16, bucket >> 8, bucket, n))
  bytes.set([bucket >> 12, bucket >> 4, ((bucket & 15) << 4) | ((bytes[2] ?? 0) & 15)])
  return bytes
}

async function changesAndProofs({ stand, derive, publish, held }: BenchMap, size: number): Promise<Figures> {
  const changed = packed.some(size, UPDATES)
  const cpuUs = await derive(changed.map((did, i) => update(did, size, i)))
  await publish()
  const strangers = new Set(changed)
  const dids = packed.some(size, PROOFS).filter((did) => !strangers.has(did))
  const texts: string[] = []
  // Read now, not when it is measured.
  stand(dids.flatMap((did) => packed.history(did, size).slice(-1)))
  const since = process.cpuUsage()
  for (const did of dids) texts.push((await held.prove(did)) ?? '')
  const { user, system } = process.cpuUsage(since)
  const absent = (await held.prove(ABSENT)) ?? ''
  const every = Math.floor(dids.length / CHECKS)
  const proofs = dids.map((did, i) => ({ did, text: texts[i] ?? '' })).filter((_, i) => i % every === 0)
  const load: ProofsToCheck = { proofs, logKey: formatVerifierKey(logKey), mapKey: formatVerifierKey(mapKey) }
  const inChromium = page === null ? {} : { 'ms a check, Chromium': medianIn((await page.call('checkProofs', JSON.stringify(load))) as readonly number[]) }
  return {
    'us an update': cpuUs / changed.length,
    'proofs/s': (dids.length / (user + system)) * 1e6,
    'ms a check': medianIn(await checkProofs(load)),
    'ms a check, OpenSSL': await natively(async () => medianIn(await checkProofs(load))),
    ...inChromium,
    'bytes a proof': medianIn(texts.map((text) => text.length)),
    'bytes of an absence': absent.length,
    steps: medianIn(texts.map((text) => text.match(/^step /gm)?.length ?? 0)),
  }
}

// As an identity's next operation, signed by nobody: deriving believes signatures.
function update(did: string, size: number, i: number): EntryRow {
  const prev = packed.history(did, size).at(-1)?.cid ?? null
  const value = operationValue({ rotationKeys: [], verificationMethods: new Map(), alsoKnownAs: [`at://changed${i}.example`], services: new Map(), prev })
  const operation = parseOperation(new Map([...value, ['sig', 'A'.repeat(86)]]))
  const createdAt = 1_900_000_000_000 + i
  return { index: size + i, did, cid: operation.cid, createdAt, signer: 0, nullified: false, rejected: null, entry: encodeEntry({ did, createdAt, operation, source: null }) }
}

/** What the entries that are derived next are read from: those stand here, and the histories that they belong to are of the ledger's first `size` entries. */
interface BenchStore {
  readonly store: Store
  /** The same; what it takes itself is counted. */
  readonly counted: Store
  /** The processor time that was counted, microseconds. */
  readonly ownUs: () => number
  readonly stand: (added: readonly EntryRow[]) => void
}

async function newStore(size: number, buckets: Pick<Store['map'], 'buckets' | 'blocks' | 'change'>): Promise<BenchStore> {
  const inner = memoryStore()
  await inner.create({ origin: logKey.name, guardId: 'none', vkeys: [] })
  await inner.map.create({ origin: mapKey.name, guardId: 'none', vkeys: [] })
  let standing: readonly EntryRow[] | null = null
  let ownUs = 0
  const counted = <A extends readonly unknown[], T>(work: (...asked: A) => Promise<T>): ((...asked: A) => Promise<T>) => async (...asked) => {
    const since = process.cpuUsage()
    const answer = await work(...asked)
    const { user, system } = process.cpuUsage(since)
    ownUs += user + system
    return answer
  }
  const store: Store = {
    ...inner,
    map: { ...inner.map, ...buckets },
    entries: async (start, end) => (standing === null ? packed.rows(start, end) : standing.slice(start - (standing[0]?.index ?? 0), end - (standing[0]?.index ?? 0))),
    history: async (dids) => dids.flatMap((did) => histories.get(did) ?? packed.history(did, size)),
    tiles: async () => [],
  }
  // Read before it is asked for, so that reading it is not measured.
  const histories = new Map<string, EntryRow[]>()
  return {
    store,
    counted: {
      ...store,
      map: { ...store.map, buckets: counted(buckets.buckets), blocks: counted(buckets.blocks), change: counted(buckets.change) },
      entries: counted((start, end) => store.entries(start, end)),
      history: counted((dids, from) => store.history(dids, from)),
    },
    ownUs: () => ownUs,
    stand: (added) => {
      standing = added
      histories.clear()
      for (const row of added) {
        const rows = packed.history(row.did, Math.min(size, row.index + 1))
        if (row.index >= size) rows.push(row)
        histories.set(row.did, rows)
      }
    },
  }
}

interface BenchMap {
  readonly held: HeldMap
  readonly stand: BenchStore['stand']
  /** Derives the version of the ledger's first entries from nothing, and gives the processor time that it took, microseconds. */
  rebuild(this: void, size: number): Promise<number>
  /** Derives one version more, and gives the processor time that it took, microseconds. */
  derive(this: void, added: readonly EntryRow[]): Promise<number>
  /** Publishes the version that it has come to. */
  publish(this: void): Promise<void>
}

function newMap({ store, counted, stand, ownUs }: BenchStore): BenchMap {
  const held = new HeldMap(store, systemClock)
  let version: MapVersion = { size: 0, root: EMPTY_MAP_ROOT }
  const measured = async (work: () => Promise<void>): Promise<number> => {
    const [since, before] = [process.cpuUsage(), ownUs()]
    await work()
    const { user, system } = process.cpuUsage(since)
    return user + system - (ownUs() - before)
  }
  return {
    held,
    stand,
    rebuild: (size) =>
      measured(async () => {
        version = await deriveInSteps(counted, held.tree, version, size, signal)
      }),
    derive(added) {
      stand(added)
      return measured(async () => {
        const { change, upper } = await deriveVersion(counted, held.tree, version, version.size + added.length, signal)
        held.tree.apply(upper)
        await counted.map.change(change)
        version = change.to
      })
    },
    async publish() {
      const leaf = { mapRoot: version.root, size: version.size, root: new Uint8Array(32) }
      const head = await store.map.head()
      if (head === null) throw new Error('there is a map')
      const grown = grow(EMPTY_EDGE, [encodeMapLeaf(leaf)])
      await store.map.append({ from: head, to: { size: 1, root: grown.root, edge: grown.edge }, leaf: encodeMapLeaf(leaf), tiles: grown.tiles })
      await store.map.publish({ size: 1, root: grown.root, note: signCheckpoint({ origin: mapKey.name, size: 1, root: grown.root }, [mapKey]), publishedAt: 0 })
      await store.publish({ size: version.size, root: leaf.root, note: signCheckpoint({ origin: logKey.name, size: version.size, root: leaf.root }, [logKey]), publishedAt: 0 })
      held.show({ leaves: 1, leaf })
    },
  }
}

// The buckets of a million identities without an object each, for the garbage collector's sake.
function slabs(): Pick<Store['map'], 'buckets' | 'blocks' | 'change'> {
  const most = 16
  const [hashes, entries, counts] = [new Uint8Array(MAP_HASH_BYTES * 2 ** BUCKET_BITS), new Uint8Array(64 * most * 2 ** BUCKET_BITS), new Uint8Array(2 ** BUCKET_BITS)]
  return {
    buckets: async (asked) => asked.map((bucket) => entries.slice(64 * most * bucket, 64 * (most * bucket + (counts[bucket] ?? 0)))),
    blocks: async (asked) => new Map(asked.map((block) => [block, hashes.slice(512 * block, 512 * (block + 1))])),
    async change({ rows }) {
      for (const { bucket, hash, entries: bytes } of rows) {
        hashes.set(hash, MAP_HASH_BYTES * bucket)
        entries.set(bytes, 64 * most * bucket)
        counts[bucket] = bytes.length / 64
      }
    },
  }
}

// With the machine's own library, and then without it again.
async function natively<T>(work: () => Promise<T>): Promise<T> {
  useNative()
  try {
    return await work()
  } finally {
    useSha256(sha256)
    useEd25519(() => false)
  }
}

function medianIn(numbers: readonly number[]): number {
  return quantile(numbers.toSorted((a, b) => a - b), 0.5)
}
