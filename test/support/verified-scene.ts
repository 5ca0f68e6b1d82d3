// Servers of one log, of which most are not what they should be, for verifying clients in Node and in browsers.

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Operation } from '../../src/core/plc/operation.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { formatNote, formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote, type SigningKey } from '../../src/core/tlog/note.ts'
import { ask, COUNTER_KEY, COUNTER_ORIGIN, COUNTER_START_MS, openCounter, type TestCounter } from './counter.ts'
import { person } from './people.ts'
import type { VerifiedScene } from './verified-cases.ts'

/** The witness of the scene's policy. */
export const SCENE_WITNESS: SigningKey = makeSigningKey('witness.test', KEY_TYPES.cosignature, new Uint8Array(32).fill(3))

/** Another key of the log's name. */
export const OTHER_KEY: SigningKey = makeSigningKey(COUNTER_ORIGIN, KEY_TYPES.ed25519, new Uint8Array(32).fill(4))

const MINUTE_MS = 60_000

/** Signs and publishes a checkpoint over all entries of a counter, seen by the witness at a time. */
export async function publishWitnessed(counter: TestCounter, atMs: number, key: SigningKey = COUNTER_KEY): Promise<void> {
  const head = await counter.store.head()
  if (head === null) throw new Error('there is no log')
  const checkpoint = { origin: COUNTER_ORIGIN, size: head.size, root: head.root }
  const { text, signatures } = parseNote(signCheckpoint(checkpoint, [key]))
  const note = formatNote({ text, signatures: [...signatures, cosign(checkpoint, SCENE_WITNESS, Math.floor(atMs / 1000))] })
  await counter.store.publish({ size: head.size, root: head.root, note, publishedAt: atMs })
  counter.tip.advancePublished(head.size)
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

  const open = async (...operations: (readonly [string, Operation])[]): Promise<TestCounter> => {
    const counter = stack.use(await openCounter())
    for (const [did, operation] of operations) {
      counter.clock.ms += MINUTE_MS
      await counter.submit(did, operation)
      if (operation === alice.genesis) await counter.fill(300)
    }
    return counter
  }

  const [honest, mirror, third] = [await open(...early, ...late), await open(...early, ...late), await open(...early, ...late)]
  for (const counter of [honest, mirror, third]) await publishWitnessed(counter, nowMs - 20_000)
  const stale = await open(...early)
  await publishWitnessed(stale, nowMs - 60 * MINUTE_MS)
  // The other face is as large as the honest one, and larger, and its witness is asked too late to notice.
  const face = await open(...early, [other.did, other.genesis], [ended.did, end], [alice.did, alice.update(undone, { handle: 'other-face' })])
  await publishWitnessed(face, nowMs - 20_000)
  const larger = await open(...early, [ended.did, end], [other.did, other.genesis], [alice.did, newest], [other.did, other.update(other.genesis)])
  await publishWitnessed(larger, nowMs - 20_000)
  const otherLog = await open(...early, [other.did, other.genesis], [alice.did, alice.update(undone, { handle: 'other-log' })])
  await publishWitnessed(otherLog, nowMs - 20_000, OTHER_KEY)

  const omit = (path: string, body: Buffer): string | Buffer | null => {
    if (path.includes(newest.cid)) return null
    return path.endsWith('/log/audit') ? JSON.stringify((JSON.parse(body.toString()) as unknown[]).filter((_, at) => !path.includes(encodeURIComponent(alice.did)) || at < 3)) : body
  }
  const omitting = stack.use(await between(honest, omit))
  const accomplice = stack.use(await between(mirror, omit))
  const forging = stack.use(await between(honest, (path, body) => (path.endsWith('/log/audit') ? body.toString().replaceAll('newest', 'forged') : body)))
  const unwitnessed = stack.use(await between(honest, (path, body) => (path === '/checkpoint' ? `${body.toString().trimEnd().split('\n').slice(0, -1).join('\n')}\n` : body)))
  const silent = stack.use(await serving(createServer(() => undefined)))

  const opened = stack.move()
  return {
    scene: {
      servers: {
        honest: honest.url, mirror: mirror.url, third: third.url, stale: stale.url, face: face.url, larger: larger.url, otherLog: otherLog.url,
        omitting: omitting.url, accomplice: accomplice.url, forging: forging.url, unwitnessed: unwitnessed.url, silent: silent.url,
      },
      alice: alice.did, ended: ended.did, nobody: person('nobody').did,
      vkey: formatVerifierKey(COUNTER_KEY),
      policy: `log ${formatVerifierKey(COUNTER_KEY)}\nwitness w ${formatVerifierKey(SCENE_WITNESS)}\nquorum w\n`,
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
