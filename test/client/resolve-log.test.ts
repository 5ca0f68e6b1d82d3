import { describe, expect, it } from 'vitest'
import { storeReader } from '../../src/cli/store-reader.ts'
import { memoryCheckpoints, type CheckpointStore } from '../../src/client/checkpoint-store.ts'
import { resolveLog, type ResolveLog } from '../../src/client/resolve-log.ts'
import { newServer, openServer, type ResolveServer, type Session } from '../../src/client/resolve-server.ts'
import { NotServedError } from '../../src/client/tile-reader.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, type SigningKey } from '../../src/core/tlog/note.ts'
import { naiveRoot } from '../support/naive-tree.ts'
import { identityLeaves, LOG_KEY, storedLog } from '../support/stored-log.ts'

const NEW_KEY = makeSigningKey(LOG_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(10))
const PQ_KEY = makeSigningKey(LOG_KEY.name, KEY_TYPES.mlDsa44, new Uint8Array(32).fill(11))

/** Leaves that part from the log's own after the first `common`. */
function leavesOf(count: number, common = count): Uint8Array[] {
  return [...identityLeaves(common), ...identityLeaves(count + 1).slice(common + 1)]
}

/** A server of these leaves whose checkpoint these keys sign. */
async function server(leaves: readonly Uint8Array[], keys: readonly SigningKey[] = [LOG_KEY]): Promise<ResolveServer> {
  const checkpoint = signCheckpoint({ origin: LOG_KEY.name, size: leaves.length, root: naiveRoot(leaves.map(leafHash)) }, keys)
  return { ...openServer(newServer('http://127.0.0.1:1'), {}), tiles: { ...storeReader(await storedLog(leaves)), checkpoint: () => Promise.resolve(checkpoint) } }
}

/** Shows the checkpoints of servers one after the other, and says what came of each: its size, or a code. */
async function see(log: ResolveLog, servers: readonly ResolveServer[], size = 0): Promise<(number | string)[]> {
  const session: Session = { clock: { now: () => 0, elapsed: () => 0 }, deadline: 0, servers, request: {}, signal: undefined }
  const seen: (number | string)[] = []
  for (const one of servers) {
    seen.push(await log.see(one, size, session).then(
      ({ checkpoint }) => checkpoint.size,
      (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)),
    ))
  }
  return seen
}

function logOf(keys: readonly SigningKey[], store: CheckpointStore = memoryCheckpoints()): ResolveLog {
  return resolveLog({ keys, policy: null, maxAgeMs: 0 }, store)
}

describe('the log of a resolver', () => {
  it('moves forwards along any sizes, and takes a smaller tree that is shown to be of the same log where it may be that small', async () => {
    const log = logOf([LOG_KEY])
    expect(await see(log, [await server(leavesOf(1)), await server(leavesOf(255)), await server(leavesOf(300)), await server(leavesOf(255))])).toEqual([1, 255, 300, 255])
    expect(await log.size()).toBe(300)
    expect(await see(log, [await server(leavesOf(300)), await server(leavesOf(299))], 300)).toEqual([300, 'STALE'])
  })

  it('convicts a log of a fork in either order, and for all who share the store', async () => {
    for (const pair of [[leavesOf(40), leavesOf(300, 30)], [leavesOf(300), leavesOf(40, 30)], [leavesOf(40), leavesOf(40, 30)]]) {
      const store = memoryCheckpoints()
      const servers = await Promise.all(pair.map((leaves) => server(leaves)))
      expect((await see(logOf([LOG_KEY], store), servers))[1]).toBe('CONTRADICTED')
      await expect(logOf([LOG_KEY], store).size()).rejects.toMatchObject({ code: 'CONTRADICTED' })
    }
  })

  it('convicts nobody without the tiles that show it', async () => {
    const [honest, forked] = [await server(leavesOf(40)), await server(leavesOf(300, 30))]
    const hiding = { ...forked, tiles: { ...forked.tiles, tile: () => Promise.reject(new NotServedError('gone')) } }
    expect(await see(logOf([LOG_KEY]), [honest, hiding])).toEqual([40, 'REFUSED'])
    const lying = { ...forked, tiles: { ...(await server(leavesOf(300))).tiles, checkpoint: () => forked.tiles.checkpoint() } }
    expect(await see(logOf([LOG_KEY]), [honest, lying])).toEqual([40, 'INCONSISTENT'])
    // Who is behind a tree that nobody here can show is behind, and no more.
    const store = memoryCheckpoints()
    await see(logOf([LOG_KEY], store), [forked])
    expect(await see(logOf([LOG_KEY], store), [honest])).toEqual(['STALE'])
  })

  it('goes over to a new key while both sign, and takes a log of that key alone for another', async () => {
    const store = memoryCheckpoints()
    expect(await see(logOf([LOG_KEY], store), [await server(leavesOf(20))])).toEqual([20])
    expect(await see(logOf([LOG_KEY, NEW_KEY], store), [await server(leavesOf(30), [LOG_KEY, NEW_KEY])])).toEqual([30])
    expect(await see(logOf([NEW_KEY], store), [await server(leavesOf(40), [NEW_KEY])])).toEqual([40])
    expect(await logOf([NEW_KEY], store).size()).toBe(40)
    const other = memoryCheckpoints()
    expect(await see(logOf([LOG_KEY, NEW_KEY], other), [await server(leavesOf(20)), await server(leavesOf(30, 10), [NEW_KEY])])).toEqual([20, 'OTHER_LOG'])
    expect(await see(logOf([LOG_KEY], other), [await server(leavesOf(30), [NEW_KEY])])).toEqual(['OTHER_LOG'])
  })

  it('believes an ML-DSA key beside an Ed25519 key only together with it', async () => {
    const both = await server(leavesOf(20), [LOG_KEY, PQ_KEY])
    expect(await see(logOf([PQ_KEY]), [both])).toEqual([20])
    expect(await see(logOf([LOG_KEY, PQ_KEY]), [both, await server(leavesOf(30), [PQ_KEY])])).toEqual([20, 'OTHER_LOG'])
  })

  it('says what is broken: a checkpoint, a signature, what the store kept', async () => {
    const good = await server(leavesOf(20))
    const showing = (note: string): ResolveServer => ({ ...good, tiles: { ...good.tiles, checkpoint: () => Promise.resolve(note) } })
    const note = await good.tiles.checkpoint()
    expect(await see(logOf([LOG_KEY]), [showing('rubbish'), showing(note.replace('\n20\n', '\n21\n')), showing(note.replaceAll(LOG_KEY.name, 'other.test/log'))])).toEqual([
      'INVALID_CHECKPOINT', 'INVALID_CHECKPOINT', 'OTHER_LOG',
    ])
    const store = memoryCheckpoints()
    await store.keep(formatVerifierKey(LOG_KEY), 5, 'rubbish')
    expect(await see(logOf([LOG_KEY], store), [good])).toEqual(['BROKEN_STORE'])
  })

  it('convicts a log of two faces that are seen first at the same time', async () => {
    const servers = [await server(leavesOf(40)), await server(leavesOf(40, 30))]
    const log = logOf([LOG_KEY])
    const session: Session = { clock: { now: () => 0, elapsed: () => 0 }, deadline: 0, servers, request: {}, signal: undefined }
    const seen = await Promise.allSettled(servers.map((one) => log.see(one, 0, session)))
    expect(new Set(seen.map((result) => (result.status === 'rejected' ? (result.reason as { code?: string }).code : 'seen')))).toEqual(new Set(['CONTRADICTED', 'seen']))
    expect(await see(log, servers)).toEqual(['CONTRADICTED', 'CONTRADICTED'])
  })

  it('holds many checkpoints that come at the same time against each other', async () => {
    const store = memoryCheckpoints()
    const log = logOf([LOG_KEY], store)
    const servers = await Promise.all([40, 300, 255, 1, 128].map((size) => server(leavesOf(size))))
    const session: Session = { clock: { now: () => 0, elapsed: () => 0 }, deadline: 1e9, servers, request: {}, signal: undefined }
    const seen = await Promise.allSettled(servers.map((one) => log.see(one, 0, { ...session, deadline: 0 })))
    expect(await log.size()).toBe(300)
    expect(seen.filter(({ status }) => status === 'rejected').every((result) => result.status === 'rejected' && (result.reason as { code?: string }).code === 'STALE')).toBe(true)
    const forked = await server(leavesOf(299, 100))
    await expect(Promise.all([...servers, forked].map((one) => log.see(one, 0, { ...session, deadline: 0, servers: [...servers, forked] }).catch((error: { code?: string }) => (error.code === 'STALE' ? null : Promise.reject(error as Error)))))).rejects.toMatchObject({ code: 'CONTRADICTED' })
  })
})
