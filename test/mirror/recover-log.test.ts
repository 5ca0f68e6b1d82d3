// A database behind its guard, filled from a mirror: whole, or not touched at all.

import { describe, expect, it } from 'vitest'
import { recoverLog, type RecoveryPorts } from '../../mirror/recover-log.ts'
import { httpTileReader, type TileReader } from '../../src/client/tile-reader.ts'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import { refuseMirror } from '../../src/log/open-log.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'
import { tilesOf } from '../../mirror/checkpoints.ts'
import { readProof } from '../../src/client/log-client.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { parseNote } from '../../src/core/tlog/note.ts'
import { consistencyPlan } from '../../src/core/tlog/proof.ts'
import { formatAddCheckpoint } from '../../src/core/tlog/witness-request.ts'
import { checkLog } from '../support/check-log.ts'
import { openMirror, until } from '../support/mirror.ts'
import { appendLeaves, emptyLog, identityLeaves, LOG_KEY, publishAll, rememberingVerifier, storedLog } from '../support/stored-log.ts'
import { openFront, serveLog } from '../support/upstream.ts'

const LEAVES = identityLeaves(600)
const verify = rememberingVerifier()
/** As `emptyLog` names it. */
const GUARD = 'a guard'

/** What a guard remembers that has signed the first `size` of these leaves. */
async function guardAt(size: number, leaves = LEAVES): Promise<RecoveryPorts['guard']> {
  const head = await (await storedLog(leaves.slice(0, size))).head()
  return { id: GUARD, size, root: head?.root ?? new Uint8Array() }
}

async function recover(store: Store, url: string, guard: RecoveryPorts['guard'], given: Partial<RecoveryPorts> = {}): ReturnType<typeof recoverLog> {
  return recoverLog({
    store, url, guard, verify, origin: LOG_KEY.name, keys: [LOG_KEY], reader: httpTileReader(url, { attempts: 1 }), now: () => 1, onProgress: () => undefined, signal: new AbortController().signal, ...given,
  })
}

/** All that a store says of its log. */
async function contentsOf(store: Store): Promise<unknown> {
  const head = await store.head()
  return { head, entries: await store.entries(0, head?.size ?? 0), publication: await store.publication() }
}

describe('recovering a log', () => {
  it.each([[null], [0], [1], [255], [256], [300], [599]])('from a store of %s entries, to what the guard has signed, and its checkpoint with it', async (size) => {
    await using served = await serveLog(LEAVES)
    const store = size === null ? memoryStore() : await emptyLog()
    if (size !== null && size > 0) await appendLeaves(store, LEAVES.slice(0, size))
    expect(await recover(store, served.url, await guardAt(600))).toEqual({ from: size ?? 0, to: 600, published: 600 })
    await checkLog(store, [LOG_KEY])
    expect(await store.head()).toEqual({ ...(await served.store.head()), vkeys: [formatVerifierKey(LOG_KEY)] })
    expect((await store.publication())?.note).toBe((await served.store.publication())?.note)
    expect(await recover(store, served.url, await guardAt(600)), 'again: there is nothing to do').toEqual({ from: 600, to: 600, published: 600 })
  })

  it('goes on after it was cut short at any bundle; until it is done nobody opens the log', async () => {
    await using served = await serveLog(LEAVES)
    const store = memoryStore()
    const guard = await guardAt(600)
    for (const last of [0, 1, 2]) {
      const reader = httpTileReader(served.url, { attempts: 1 })
      const cut: TileReader = { ...reader, bundle: (index, width) => (index >= last ? Promise.reject(new Error('the network is gone')) : reader.bundle(index, width)) }
      await expect(recover(store, served.url, guard, { reader: cut })).rejects.toThrow('the network is gone')
      const head = await store.head()
      if (head === null) throw new Error('there is a log by now')
      expect(() => refuseMirror(head)).toThrow(/recovery of the log stored\.test\/log was cut short/)
    }
    expect(await recover(store, served.url, guard)).toMatchObject({ to: 600 })
    await checkLog(store, [LOG_KEY])
    expect((await store.head())?.guardId).toBe(GUARD)
  })

  it('from a mirror that has cosigned what was never published', async () => {
    await using upstream = await serveLog(LEAVES.slice(0, 270))
    await using whole = await serveLog(LEAVES.slice(0, 290))
    await using mirror = await openMirror([upstream], { cosign: { name: 'mirror.test/one' } })
    await mirror.reaches(270)
    await upstream.append(LEAVES.slice(270, 290))
    await until(async () => (await mirror.health()).provisional === 20, () => 'they have come')
    const guard = await guardAt(290)
    const proof = await readProof(tilesOf(whole.store), consistencyPlan(270, 290), 290)
    const body = formatAddCheckpoint({ oldSize: 270, proof, note: parseNote(signCheckpoint({ origin: LOG_KEY.name, size: 290, root: guard.root }, [LOG_KEY])) })
    expect((await fetch(`${mirror.url}/add-checkpoint`, { method: 'POST', body })).status).toBe(200)
    const store = memoryStore()
    expect(await recover(store, mirror.url, guard)).toEqual({ from: 0, to: 290, published: 270 })
  })

  it.each<[string, RegExp, () => Promise<{ store: Store; leaves: readonly Uint8Array[]; guard: RecoveryPorts['guard'] }>]>([
    ['who does not hold all of it', /does not hold all of the 600 entries that were signed, but 500.*Ask another mirror/, async () => ({ store: memoryStore(), leaves: LEAVES.slice(0, 500), guard: await guardAt(600) })],
    ['who leads to another root', /does not lead to the root that was signed at 599 entries/, async () => ({ store: memoryStore(), leaves: [...LEAVES.slice(0, 300), ...LEAVES.slice(301)], guard: await guardAt(599) })],
    ['who shows more than the guard has signed', /shows 600 entries that this log's key has signed, but the guard remembers 500/, async () => ({ store: memoryStore(), leaves: LEAVES, guard: await guardAt(500) })],
    ['where the store holds something else', /the database's 400 entries do not go with the 600 that were signed/, async () => ({ store: await storedLog([...LEAVES.slice(0, 300), ...LEAVES.slice(301, 401)]), leaves: LEAVES, guard: await guardAt(600) })],
    ['where it holds as many others', /the database's 600 entries do not go with the 600/, async () => ({ store: await storedLog([...LEAVES.slice(0, 300), ...LEAVES.slice(301), ...identityLeaves(601).slice(600)]), leaves: LEAVES, guard: await guardAt(600) })],
    ['where the store is of another guard', /names another guard \(a guard\)/, async () => ({ store: await storedLog(LEAVES.slice(0, 300)), leaves: LEAVES, guard: { ...(await guardAt(600)), id: 'another' } })],
  ])('is refused, and nothing is changed: from %s', async (_name, words, make) => {
    const { store, leaves, guard } = await make()
    await using served = await serveLog(leaves)
    const before = await contentsOf(store)
    await expect(recover(store, served.url, guard)).rejects.toThrow(words)
    expect(await contentsOf(store)).toEqual(before)
  })

  it('takes no bundle that does not lead to the root, and goes on when it is served right', async () => {
    await using served = await serveLog(LEAVES)
    await using front = await openFront(served)
    const store = memoryStore()
    front.answer = (path, body) => (path.startsWith('/tile/entries/001') ? Buffer.from(body.map((byte, i) => (i === 300 ? byte ^ 1 : byte))) : body)
    await expect(recover(store, front.url, await guardAt(600))).rejects.toThrow(/does not hold the entries of the tree of 600/)
    front.answer = (_path, body) => body
    expect(await recover(store, front.url, await guardAt(600))).toMatchObject({ to: 600 })
    await checkLog(store, [LOG_KEY])
  })

  it('publishes no smaller checkpoint than there is', async () => {
    await using served = await serveLog(LEAVES.slice(0, 400))
    const store = await emptyLog()
    await appendLeaves(store, LEAVES.slice(0, 500))
    await publishAll(store)
    expect(await recover(store, served.url, await guardAt(500))).toEqual({ from: 500, to: 500, published: 500 })
  })
})
