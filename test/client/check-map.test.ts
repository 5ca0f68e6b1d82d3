// The map of a log that is served, against the log: by a whole audit, and by one that goes on from another.

import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { formatAuditState, inspectLog, parseAuditState, type AuditState, type InspectOptions, type Inspection } from '../../src/client/inspect.ts'
import { historyOf } from '../../src/client/judge.ts'
import { readKeyStatement } from '../../src/client/keys.ts'
import { httpTileReader } from '../../src/client/tile-reader.ts'
import { stateOfRows } from '../../src/core/did-state.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { formatEvidence, verifyEvidence } from '../../src/core/evidence.ts'
import { grow } from '../../src/core/growth.ts'
import { didKey, stateValue } from '../../src/core/map/did-state.ts'
import { encodeMapLeaf, type MapLeaf } from '../../src/core/map/map-leaf.ts'
import { openCheckpoint, signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { signKeyStatement, openKeyStatement } from '../../src/core/tlog/key-statement.ts'
import { formatNote, formatVerifierKey, KEY_TYPES, makeSigningKey, type VerifierKey } from '../../src/core/tlog/note.ts'
import { parsePolicy } from '../../src/core/tlog/policy.ts'
import type { Store } from '../../src/storage/store.ts'
import { naiveMapRoot } from '../support/naive-map.ts'
import { naiveRoot } from '../support/naive-tree.ts'
import { MAP_KEY } from '../support/map-writer.ts'
import { person } from '../support/people.ts'
import { FIRST_MS, identityLeaves, LOG_KEY, rememberingVerifier } from '../support/stored-log.ts'
import { openFront, serveLog, type Front, type ServedLog } from '../support/upstream.ts'

const WITNESS_KEY = makeSigningKey('witness.test', KEY_TYPES.cosignature, new Uint8Array(32).fill(3))
const verifyAnswers = rememberingVerifier()
const [dora, eve] = [person('c dora'), person('c eve')]
const at = (of: typeof dora, operation: typeof dora.genesis, second: number): Uint8Array => encodeEntry({ did: of.did, createdAt: FIRST_MS + second * 1_000, operation, source: null })
/** Updates, a recovery, an end, and an entry that is refused. */
const LEAVES = [
  ...identityLeaves(300),
  at(dora, dora.genesis, 400), at(eve, eve.genesis, 401), at(dora, dora.update(dora.genesis, { key: 2, handle: 'thief' }), 402),
  at(dora, dora.update(dora.genesis, { key: 0, handle: 'back' }), 403), at(eve, dora.update(dora.genesis, { handle: 'x' }), 404), at(eve, eve.tombstone(eve.genesis), 405),
]

const open: AsyncDisposable[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]()
})

/** A log of these leaves, whose map has versions of these sizes. */
async function serve(leaves: readonly Uint8Array[], sizes: readonly number[], spoil: (leaf: MapLeaf) => Uint8Array = encodeMapLeaf): Promise<{ log: ServedLog; front: Front }> {
  const log = await serveLog(leaves)
  open.push(log)
  const front = await openFront(log)
  open.push(front)
  await log.store.map.create({ origin: MAP_KEY.name, guardId: 'a guard', vkeys: [formatVerifierKey(MAP_KEY)] })
  await addVersions(log.store, sizes, spoil)
  return { log, front }
}

async function addVersions(store: Store, sizes: readonly number[], spoil: (leaf: MapLeaf) => Uint8Array = encodeMapLeaf, key = MAP_KEY): Promise<string> {
  const rows = await store.entries(0, Number.MAX_SAFE_INTEGER)
  for (const size of sizes) {
    const accepted = rows.slice(0, size).filter((row) => row.rejected === null)
    const mapRoot = naiveMapRoot([...Map.groupBy(accepted, (row) => row.did)].map(([did, own]) => ({ key: didKey(did), value: stateValue(stateOfRows(own)) })))
    const leaf = spoil({ mapRoot, size, root: naiveRoot(rows.slice(0, size).map((row) => leafHash(row.entry))) })
    const head = await store.map.head()
    if (head === null) throw new Error('there is a map')
    const { edge, root, tiles } = grow(head.edge, [leaf])
    await store.map.append({ from: head, to: { size: edge.size, root, edge }, leaf, tiles })
  }
  const head = await store.map.head()
  const note = signCheckpoint({ origin: MAP_KEY.name, size: head?.size ?? 0, root: head?.root ?? new Uint8Array() }, [key])
  await store.map.publish({ size: head?.size ?? 0, root: head?.root ?? new Uint8Array(), note, publishedAt: 0 })
  return note
}

function audit({ url }: { readonly url: string }, given: Partial<InspectOptions> = {}): Promise<Inspection> {
  const map = { reader: httpTileReader(`${url}/map`), keys: [MAP_KEY] }
  return inspectLog(httpTileReader(url), { keys: [LOG_KEY], map, policy: null, notBefore: 0, since: null, verifyAnswers, history: historyOf(url, {}), ...given })
}

/** What it would find on disk. */
function kept({ next }: Inspection): AuditState {
  if (next === null) throw new Error('nothing is kept')
  return parseAuditState(formatAuditState(next))
}

function words({ problems }: Inspection): string[] {
  return problems.map(({ where, words }) => `${where}: ${words}`)
}

function flip(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte))
}

describe('an audit of a map', () => {
  it('derives every version, whatever happened in the log, and the next one reads the new ones alone', async () => {
    const { log, front } = await serve(LEAVES.slice(0, 303), [0, 1, 2, 255, 256, 257, 300, 303])
    const first = await audit(front)
    expect(first).toMatchObject({ problems: [], contradictions: [], map: { report: { from: 0, versions: 8, derived: true, wrong: null } } })
    await log.append(LEAVES.slice(303))
    await log.publish()
    await addVersions(log.store, [304, 306])
    const paths: string[] = []
    front.answer = (path, body) => {
      paths.push(path)
      return body
    }
    const next = await audit(front, { since: kept(first) })
    expect(next).toMatchObject({ problems: [], from: 303, map: { report: { from: 8, versions: 2, derived: false } } })
    expect(paths.filter((path) => path.startsWith('/tile/entries/000'))).toEqual([])
    expect(await audit(front, { since: kept(next) })).toMatchObject({ problems: [], map: { report: { from: 10, versions: 0 } } })
    expect(await audit(front, { since: kept(next), whole: true })).toMatchObject({ problems: [], from: 0, map: { report: { from: 0, versions: 10, derived: true } } })
  })

  it('takes a version of less than the log had when it was audited', async () => {
    const { log, front } = await serve(LEAVES, [300])
    const first = await audit(front)
    await addVersions(log.store, [302, 305])
    expect(await audit(front, { since: kept(first) })).toMatchObject({ problems: [], from: 306, map: { report: { from: 1, versions: 2 } } })
  })

  it('goes on from a state of before there was a map, and of a log that has none', async () => {
    const { front } = await serve(LEAVES, [1, 300])
    const { map: _map, ...before } = kept(await audit(front))
    expect(await audit(front, { since: { ...before, map: null } })).toMatchObject({ problems: [], map: { report: { from: 0, versions: 2, derived: false } } })
    expect(await audit(front, { map: null })).toMatchObject({ problems: [], map: null })
  })

  it.each<[string, RegExp, (leaf: MapLeaf) => Uint8Array, 'root' | 'tree' | 'order' | 'leaf', boolean]>([
    ['another root than the entries lead to', /^map leaf 1: the map of 301 entries has another root than the log leads to$/, (leaf) => encodeMapLeaf({ ...leaf, mapRoot: flip(leaf.mapRoot) }), 'root', false],
    ['a tree that the log has not', /^map leaf 1: the log's tree of 301 entries has another root$/, (leaf) => encodeMapLeaf({ ...leaf, root: flip(leaf.root) }), 'tree', true],
    ['no larger tree than the one before', /^map leaf 1: it is of no larger tree than the one before it$/, (leaf) => encodeMapLeaf({ ...leaf, size: 300 }), 'order', true],
    ['nothing at all', /^map leaf 1: it is none$/, () => Uint8Array.of(1, 2), 'leaf', true],
  ])('tells a version that is of %s, with evidence', async (_name, said, spoil, fault, seenWithoutReplay) => {
    const { log, front } = await serve(LEAVES, [300])
    const since = kept(await audit(front))
    await addVersions(log.store, [301], spoil)
    await addVersions(log.store, [306])
    for (const found of [await audit(front), await audit(front, { since, whole: true }), ...(seenWithoutReplay ? [await audit(front, { since })] : [])]) {
      expect(words(found)).toEqual([expect.stringMatching(said)])
      expect(found.next).toBeNull()
      const [evidence] = found.contradictions
      if (fault === 'order' && found.map?.report.derived === false) continue // the one before it was read by the last audit
      if (evidence === undefined) throw new Error('no evidence')
      expect(evidence).toMatchObject({ kind: 'wrong-map', fault })
      expect(verifyEvidence(Buffer.from(formatEvidence(evidence)), [LOG_KEY, MAP_KEY]).evidence.kind).toBe('wrong-map')
    }
    if (!seenWithoutReplay) expect(words(await audit(front, { since }))).toEqual([])
  })

  it('tells a tile that is missing, a bundle that is spoiled, a checkpoint of another key, a map that is old, and one that is gone', async () => {
    const { log, front } = await serve(LEAVES, [300, 301])
    const old = (await log.store.map.publication())?.note ?? ''
    await addVersions(log.store, [306])
    const since = kept(await audit(front))
    const found = async (answer: Front['answer'], given: Partial<InspectOptions> = {}): Promise<string> => {
      front.answer = answer
      const inspection = await audit(front, given)
      expect([inspection.next, inspection.contradictions]).toEqual([null, []])
      return words(inspection).join()
    }
    const forged = signCheckpoint({ origin: MAP_KEY.name, size: 3, root: new Uint8Array(32) }, [makeSigningKey(MAP_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(6))])
    expect(await found((path, body) => (path.startsWith('/map/tile/0/') ? null : body))).toMatch(/^map: .*is not served; versions from 0 on could not be checked/)
    expect(await found((path, body) => (path.startsWith('/map/tile/entries') ? Buffer.from(flip(body)) : body))).toMatch(/^map: .*does not hold the entries of the tree of 3; versions from 0 on/)
    expect(await found((path, body) => (path === '/map/checkpoint' ? Buffer.from(forged) : body))).toContain('map/checkpoint: No signature by a known key')
    for (const whole of [false, true]) {
      expect(await found((path, body) => (path === '/map/checkpoint' ? Buffer.from(old) : body), { since, whole })).toContain('map/checkpoint: it is of 2 versions, and one of 3 was audited before')
      expect(await found((path, body) => (path.startsWith('/map') ? null : body), { since, whole })).toBe('map/checkpoint: it is missing, and the map was audited before')
    }
  })

  it('tells a map log that contradicts what was audited before, or what a witness holds, with evidence', async () => {
    const { log, front } = await serve(LEAVES, [299, 300])
    const since = kept(await audit(front))
    const [own, base] = [await log.store.map.publication(), await log.store.publication()]
    const cosigned = (note: string, key: typeof LOG_KEY): string => {
      const { note: parsed, checkpoint } = openCheckpoint(note, [key])
      return formatNote({ text: parsed.text, signatures: [...parsed.signatures, cosign(checkpoint, WITNESS_KEY, 1_800_000_000)] })
    }
    for (const sizes of [[298, 300], [298, 300, 306]]) {
      const other = await serve(LEAVES, sizes)
      for (const whole of [false, true]) {
        const { contradictions, next } = await audit(other.front, { since, whole })
        expect([contradictions.map(({ kind }) => kind), next]).toEqual([[sizes.length === 2 ? 'two-roots' : 'fork'], null])
      }
      const held = new Map([[LOG_KEY.name, cosigned(base?.note ?? '', LOG_KEY)], [MAP_KEY.name, cosigned(own?.note ?? '', MAP_KEY)]])
      const policy = parsePolicy(`witness one ${formatVerifierKey(WITNESS_KEY)} ${await witness(held)}\nquorum none`)
      const found = await audit(other.front, { policy })
      expect(found).toMatchObject({ witnesses: [{ standing: 'agrees' }], map: { witnesses: [{ standing: 'contradicts', size: 2 }] } })
      expect(found.contradictions).toHaveLength(1)
      expect(await audit(front, { policy })).toMatchObject({ problems: [], map: { quorum: null, witnesses: [{ standing: 'agrees' }] } })
    }
  })
})

it('an audit goes over to a key that the log has announced, and to no other', async () => {
  const { log, front } = await serve(LEAVES.slice(0, 20), [20])
  const since = kept(await audit(front))
  const next = makeSigningKey(LOG_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(77))
  await log.append(LEAVES.slice(20, 30))
  await log.publish([next])
  expect(words(await audit(front, { since })).join()).toContain('checkpoint: No signature by a known key')
  const says = (keys: readonly (typeof next)[]): NonNullable<InspectOptions['readStatement']> => async (known) => openKeyStatement(signKeyStatement({ origin: LOG_KEY.name, signing: [next], retired: [LOG_KEY] }, keys), known)
  expect(words(await audit(front, { since, readStatement: says([next]) })).join()).toContain('checkpoint: No signature by a known key')
  const found = await audit(front, { since, readStatement: says([next, LOG_KEY]) })
  expect(found).toMatchObject({ problems: [], from: 20 })
  expect(found.learned.map(formatVerifierKey)).toEqual([formatVerifierKey(next)])
  const { keys } = kept(found)
  expect(await audit(front, { since: kept(found), keys })).toMatchObject({ problems: [], from: 30, learned: [] })
})

it('an audit goes over to a key that the log of the map has announced, and to no other', async () => {
  const { log, front } = await serve(LEAVES.slice(0, 20), [20])
  const since = kept(await audit(front))
  const next = makeSigningKey(MAP_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(78))
  await log.append(LEAVES.slice(20, 30))
  await log.publish()
  await addVersions(log.store, [30], encodeMapLeaf, next)
  const announced = async (keys: readonly (typeof next)[], given: Partial<InspectOptions>): Promise<Inspection> => {
    await log.store.map.setSigner('a guard', { guardId: 'a guard', vkeys: [formatVerifierKey(next)], statement: signKeyStatement({ origin: MAP_KEY.name, signing: [next], retired: [MAP_KEY] }, keys) })
    const map = { reader: httpTileReader(`${front.url}/map`), keys: given.since?.map?.keys ?? [MAP_KEY], readStatement: (known: readonly VerifierKey[]) => readKeyStatement(front.url, known, {}, 'map/keys') }
    return audit(front, { ...given, map })
  }
  for (const given of [{ since }, {}]) {
    expect(words(await announced([next], given)).join()).toContain('map/checkpoint: No signature by a known key')
    const found = await announced([next, MAP_KEY], given)
    expect([words(found), found.learned.map(formatVerifierKey)]).toEqual([[], [formatVerifierKey(next)]])
    expect(await announced([next], { since: kept(found) })).toMatchObject({ problems: [], learned: [], map: { report: { from: 2 } } })
  }
})

/** Where a witness shows what it holds of each log. */
async function witness(held: ReadonlyMap<string, string>): Promise<string> {
  const notes = new Map([...held].map(([origin, note]) => [`/${createHash('sha256').update(origin).digest('hex')}/checkpoint`, note]))
  const server = createServer((request, response) => {
    const note = notes.get(request.url ?? '')
    response.writeHead(note === undefined ? 404 : 200).end(note ?? '')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push({ [Symbol.asyncDispose]: () => new Promise<void>((resolve) => (server.closeAllConnections(), server.close(() => resolve()))) })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
