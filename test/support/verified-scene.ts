// Servers of one log, of which most are not what they should be, for verifying clients in Node and in browsers.

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { grow } from '../../src/core/growth.ts'
import { encodeMapLeaf, mapOrigin } from '../../src/core/map/map-leaf.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { formatStateProof, parseStateProof } from '../../src/core/state-proof.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { cosign, RULES_NAME } from '../../src/core/tlog/cosignature.ts'
import { formatNote, formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote, type SigningKey } from '../../src/core/tlog/note.ts'
import { readConsistency } from '../../src/log/consistency.ts'
import { deriveVersion } from '../../src/map/derive.ts'
import { HeldMap } from '../../src/map/held-map.ts'
import { systemClock } from '../../src/system.ts'
import { ask, COUNTER_KEY, COUNTER_ORIGIN, COUNTER_START_MS, openCounter, type TestCounter } from './counter.ts'
import { person } from './people.ts'
import type { VerifiedScene } from './verified-cases.ts'

/** The witness of the scene's policy. */
export const SCENE_WITNESS: SigningKey = makeSigningKey('witness.test', KEY_TYPES.cosignature, new Uint8Array(32).fill(3))

/** A mirror that derives the map, in the scene's policy for it. */
export const SCENE_MIRROR: SigningKey = makeSigningKey(`mirror.test${RULES_NAME}`, KEY_TYPES.cosignature, new Uint8Array(32).fill(5))

/** The key of the map's log. */
export const SCENE_MAP_KEY: SigningKey = makeSigningKey(mapOrigin(COUNTER_ORIGIN), KEY_TYPES.ed25519, new Uint8Array(32).fill(6))

/** Another key of the log's name. */
export const OTHER_KEY: SigningKey = makeSigningKey(COUNTER_ORIGIN, KEY_TYPES.ed25519, new Uint8Array(32).fill(4))

const MINUTE_MS = 60_000

/** Signs and publishes a checkpoint over all entries of a counter, seen by the mirror and the witness at a time. */
async function publishWitnessed(counter: TestCounter, atMs: number, key: SigningKey = COUNTER_KEY): Promise<void> {
  const head = await counter.store.head()
  if (head === null) throw new Error('there is no log')
  await counter.store.publish({ size: head.size, root: head.root, note: witnessedNote(head, key, atMs), publishedAt: atMs })
  counter.tip.advancePublished(head.size)
}

function witnessedNote({ size, root }: { readonly size: number; readonly root: Uint8Array }, key: SigningKey, atMs: number): string {
  const checkpoint = { origin: key.name, size, root }
  const { text, signatures } = parseNote(signCheckpoint(checkpoint, [key]))
  return formatNote({ text, signatures: [...signatures, ...[SCENE_MIRROR, SCENE_WITNESS].map((cosigner) => cosign(checkpoint, cosigner, Math.floor(atMs / 1000)))] })
}

type Mapped = TestCounter & { readonly map: SceneMap }

/** The map of a counter, which has a version wherever one is made. */
interface SceneMap {
  readonly held: HeldMap
  /** Makes the version of all that is published, and a checkpoint that is seen at a time. */
  make(atMs: number): Promise<void>
  /** Has the newest version seen again. */
  see(atMs: number): Promise<void>
}

async function openMap({ store }: TestCounter): Promise<SceneMap> {
  await store.map.create({ origin: SCENE_MAP_KEY.name, guardId: 'guard of the map', vkeys: [formatVerifierKey(SCENE_MAP_KEY)] })
  const held = new HeldMap(store, systemClock)
  let version = await held.load()
  return {
    held,
    async make(atMs) {
      const [head, publication] = [await store.map.head(), await store.publication()]
      if (head === null || publication === null) throw new Error('there is no log')
      const { change, upper } = await deriveVersion(store, held.tree, version, publication.size, new AbortController().signal)
      const leaf = { mapRoot: change.to.root, size: publication.size, root: publication.root }
      const { edge, root, tiles } = grow(head.edge, [encodeMapLeaf(leaf)])
      await store.map.append({ from: head, to: { size: edge.size, root, edge }, leaf: encodeMapLeaf(leaf), tiles })
      await store.map.publish({ size: edge.size, root, note: witnessedNote({ size: edge.size, root }, SCENE_MAP_KEY, atMs), publishedAt: atMs }, change)
      held.tree.apply(upper)
      held.show({ leaves: edge.size, leaf })
      version = change.to
    },
    async see(atMs) {
      const head = await store.map.head()
      if (head === null) throw new Error('there is no map')
      await store.map.publish({ size: head.size, root: head.root, note: witnessedNote(head, SCENE_MAP_KEY, atMs), publishedAt: atMs })
    },
  }
}

/** A server between a client and a counter. `spoil` gets each answer of status 200 and gives the body that is sent on; null is 404. */
export async function between(target: { readonly url: string }, spoil: (path: string, body: Buffer) => Buffer | string | null): Promise<AsyncDisposable & { readonly url: string }> {
  return await serving(
    createServer((request, response) => {
      void ask(target.url, request.url ?? '/').then(({ status, headers, body }) => {
        const { 'content-length': _, ...rest } = headers
        const sent = status === 200 ? spoil(request.url ?? '/', body) : body
        response.writeHead(sent === null ? 404 : status, rest).end(sent ?? '{"message":"gone"}')
      })
    }),
  )
}

/** The servers. */
export interface SceneServers extends AsyncDisposable {
  readonly scene: VerifiedScene
}

/** Opens them; their witness has seen them shortly before `nowMs`. Alice's history, in a log with others': a genesis, an update that she undid, and the update that did it; then her newest. */
export async function openScene(nowMs: number = COUNTER_START_MS + 90 * MINUTE_MS): Promise<SceneServers> {
  await using stack = new AsyncDisposableStack()
  const alice = person('alice')
  const stolen = alice.update(alice.genesis, { key: 2, handle: 'stolen' })
  const undone = alice.update(alice.genesis, { key: 1, handle: 'undone' })
  const newest = alice.update(undone, { handle: 'newest' })
  const [ended, other] = [person('ended'), person('other')]
  const end = ended.tombstone(ended.genesis)
  const early: [string, Operation][] = [[alice.did, alice.genesis], [ended.did, ended.genesis], [alice.did, stolen], [alice.did, undone]]
  const late: [string, Operation][] = [[other.did, other.genesis], [ended.did, end], [alice.did, newest]]

  const [before, lately] = [nowMs - 60 * MINUTE_MS, nowMs - 20_000]

  // Its map has a version after each of these numbers of operations.
  const openMapped = async (operations: readonly (readonly [string, Operation])[], versionsAfter: readonly number[] = []): Promise<Mapped> => {
    const found: { map: SceneMap | null } = { map: null }
    const standing = { size: null, leaves: 0, fault: null }
    const counter = stack.use(await openCounter({ ports: { map: { prove: async (did) => (await found.map?.held.prove(did)) ?? null, standing: () => standing } } }))
    const map = (found.map = await openMap(counter))
    const version = async (after: number): Promise<void> => {
      if (!versionsAfter.includes(after)) return
      await publishWitnessed(counter, before)
      await map.make(before)
    }
    await version(0)
    for (const [at, [did, operation]] of operations.entries()) {
      counter.clock.ms += MINUTE_MS
      await counter.submit(did, operation)
      if (operation === alice.genesis) await counter.fill(300)
      await version(at + 1)
    }
    return { ...counter, map }
  }
  const open = (...operations: (readonly [string, Operation])[]): Promise<TestCounter> => openMapped(operations)

  const versions = [0, early.length, early.length + late.length]
  const all = [...early, ...late]
  const [honest, mirror, third] = [await openMapped(all, versions), await openMapped(all, versions), await openMapped(all, versions)]
  const otherMap = await openMapped(all, [0, all.length])
  const stalled = await openMapped(all, versions.slice(0, 2))
  for (const counter of [honest, mirror, third, otherMap, stalled]) {
    await publishWitnessed(counter, lately)
    await counter.map.see(lately)
  }
  const stale = await openMapped(early, versions.slice(0, 2))
  await publishWitnessed(stale, before)
  const young = await openMapped([], [0])
  // The other face is as large as the honest one, and larger, and its witness is asked too late to notice.
  const face = await open(...early, [other.did, other.genesis], [ended.did, end], [alice.did, alice.update(undone, { handle: 'other-face' })])
  await publishWitnessed(face, lately)
  const larger = await open(...early, [ended.did, end], [other.did, other.genesis], [alice.did, newest], [other.did, other.update(other.genesis)])
  await publishWitnessed(larger, lately)
  const otherLog = await open(...early, [other.did, other.genesis], [alice.did, alice.update(undone, { handle: 'other-log' })])
  await publishWitnessed(otherLog, lately, OTHER_KEY)

  const omit = (path: string, body: Buffer): string | Buffer | null => {
    if (path.includes(newest.cid)) return null
    return path.endsWith('/log/audit') ? JSON.stringify((JSON.parse(body.toString()) as unknown[]).filter((_, at) => !path.includes(encodeURIComponent(alice.did)) || at < 3)) : body
  }
  const omitting = stack.use(await between(honest, omit))
  const accomplice = stack.use(await between(mirror, omit))
  const forging = stack.use(await between(honest, (path, body) => (path.endsWith('/log/audit') ? body.toString().replaceAll('newest', 'forged') : body)))
  const unwitnessed = stack.use(await between(honest, (path, body) => (path === '/checkpoint' ? `${body.toString().trimEnd().split('\n').slice(0, -1).join('\n')}\n` : body)))
  // Those that hide with the help of the map.
  const proofOf = async ({ map }: Mapped): Promise<string> => (await map.held.prove(alice.did)) ?? ''
  const [yesterdays, absent] = [await proofOf(stale), await proofOf(young)]
  const [{ size }, fresh] = [parseStateProof(yesterdays), await honest.store.publication()]
  const mixed = formatStateProof({ ...parseStateProof(yesterdays), consistency: await readConsistency(honest.store, size, fresh?.size ?? 0), logCheckpoint: fresh?.note ?? '' })
  const isProof = (path: string): boolean => path.includes(encodeURIComponent(alice.did)) && path.endsWith('/state-proof')
  const hiding = stack.use(await between(honest, (path, body) => (isProof(path) ? yesterdays : omit(path, body))))
  const hidingWell = stack.use(await between(honest, (path, body) => (isProof(path) ? mixed : omit(path, body))))
  const stalling = stack.use(await between(stalled, omit))
  const denying = stack.use(await between(honest, (path, body) => (isProof(path) ? absent : path.includes(encodeURIComponent(alice.did)) ? null : body)))
  const refusing = stack.use(await between(honest, (path, body) => (path.includes(encodeURIComponent(alice.did)) ? null : body)))
  const halfDenying = stack.use(await between(honest, (path, body) => (path.includes(encodeURIComponent(alice.did)) && !isProof(path) ? null : body)))
  const underived = stack.use(await between(honest, (path, body) => (isProof(path) ? body.toString().replaceAll(/^\u2014 mirror.test.*\n/gm, '') : body)))
  const silent = stack.use(await serving(createServer(() => undefined)))

  const opened = stack.move()
  return {
    scene: {
      servers: {
        honest: honest.url, mirror: mirror.url, third: third.url, stale: stale.url, face: face.url, larger: larger.url, otherLog: otherLog.url,
        omitting: omitting.url, accomplice: accomplice.url, forging: forging.url, unwitnessed: unwitnessed.url, silent: silent.url,
        otherMap: otherMap.url, hiding: hiding.url, hidingWell: hidingWell.url, stalling: stalling.url, denying: denying.url, refusing: refusing.url, halfDenying: halfDenying.url, underived: underived.url,
      },
      alice: alice.did, ended: ended.did, nobody: person('nobody').did,
      vkey: formatVerifierKey(COUNTER_KEY),
      mapVkey: formatVerifierKey(SCENE_MAP_KEY),
      policy: `log ${formatVerifierKey(COUNTER_KEY)}\nwitness w ${formatVerifierKey(SCENE_WITNESS)}\nquorum w\n`,
      mapPolicy:
        `log ${formatVerifierKey(COUNTER_KEY)}\nlog ${formatVerifierKey(SCENE_MAP_KEY)}\n` +
        `witness w ${formatVerifierKey(SCENE_WITNESS)}\nwitness m ${formatVerifierKey(SCENE_MIRROR)}\ngroup both all w m\nquorum both\n`,
      nowMs,
      documents: {
        newest: (await honest.ask(`/${alice.did}`)).text,
        early: (await stale.ask(`/${alice.did}`)).text,
      },
      operations: [[alice.genesis, 0], [stolen, 302], [undone, 303], [newest, 306]].map(([operation, index]) => ({ cid: (operation as Operation).cid, index: index as number })),
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

async function serving(server: Server): Promise<AsyncDisposable & { readonly url: string }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
