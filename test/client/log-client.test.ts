import { describe, expect, it } from 'vitest'
import { storeReader } from '../../src/cli/store-reader.ts'
import { followCheckpoint, proveConsistency, proveInclusion, readCheckpoint, readEntry } from '../../src/client/log-client.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { signCheckpoint, type Checkpoint } from '../../src/core/tlog/checkpoint.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { appendLeaves, identityLeaves, LOG_KEY, publishAll, storedLog } from '../support/stored-log.ts'

const leaves = identityLeaves(300)
const store = await storedLog(leaves)
const reader = storeReader(store)

/** The checkpoint of the log while it was smaller. */
async function earlier(size: number): Promise<Checkpoint> {
  return (await readCheckpoint(storeReader(await storedLog(leaves.slice(0, size))), [LOG_KEY])).checkpoint
}

describe('a log client', () => {
  it('reads every entry with its proof', async () => {
    const { checkpoint } = await readCheckpoint(reader, [LOG_KEY])
    for (const index of [0, 1, 127, 255, 256, 257, 299]) {
      const { entry } = await readEntry(reader, checkpoint, index)
      expect(Buffer.from(encodeEntry(entry))).toEqual(Buffer.from(leaves[index] ?? []))
    }
    for (const index of [-1, 300, 0.5]) await expect(readEntry(reader, checkpoint, index)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' })
  })

  it('proves a leaf at its own index only', async () => {
    const { checkpoint } = await readCheckpoint(reader, [LOG_KEY])
    const leaf = leafHash(leaves[42] ?? new Uint8Array())
    expect(await proveInclusion(reader, checkpoint, 42, leaf)).toHaveLength(9)
    await expect(proveInclusion(reader, checkpoint, 43, leaf)).rejects.toMatchObject({ code: 'INVALID_PROOF' })
  })

  it('refuses a bundle whose entry is not the one in the tree', async () => {
    const { checkpoint } = await readCheckpoint(reader, [LOG_KEY])
    const swapped = { ...reader, bundle: (index: number, width: number) => storeReader(swappedStore).bundle(index, width) }
    const swappedStore = await storedLog(leaves.with(3, leaves[4] ?? new Uint8Array()))
    await expect(readEntry(swapped, checkpoint, 3)).rejects.toMatchObject({ code: 'INVALID_PROOF' })
  })

  it('follows a log from any size to its newest checkpoint', async () => {
    for (const size of [0, 1, 2, 255, 256, 257, 299, 300]) {
      const { checkpoint } = await followCheckpoint(reader, [LOG_KEY], await earlier(size))
      expect(checkpoint.size).toBe(300)
    }
  })

  it('refuses a log that was rewritten, shrank or has another name', async () => {
    const rewritten = storeReader(await storedLog(leaves.with(3, identityLeaves(301)[300] ?? new Uint8Array())))
    await expect(followCheckpoint(rewritten, [LOG_KEY], await earlier(100))).rejects.toMatchObject({ code: 'INVALID_PROOF' })
    await expect(followCheckpoint(storeReader(await storedLog(leaves.slice(0, 99))), [LOG_KEY], await earlier(100))).rejects.toMatchObject({ code: 'OUT_OF_RANGE' })
    await expect(followCheckpoint(reader, [LOG_KEY], { ...(await earlier(100)), origin: 'other.test/log' })).rejects.toMatchObject({ code: 'WRONG_ORIGIN' })
  })

  it('refuses a checkpoint that the key did not sign', async () => {
    const forged = { ...reader, checkpoint: async () => (await reader.checkpoint()).replace('\n300\n', '\n299\n') }
    await expect(readCheckpoint(forged, [LOG_KEY])).rejects.toMatchObject({ code: 'INVALID_NOTE_SIGNATURE' })
    await expect(readCheckpoint(reader, [])).rejects.toMatchObject({ code: 'WRONG_ORIGIN' })
  })

  it('proves consistency while the log grows under it', async () => {
    const growing = await storedLog(leaves.slice(0, 200))
    const known = (await readCheckpoint(storeReader(growing), [LOG_KEY])).checkpoint
    await appendLeaves(growing, leaves.slice(200, 250))
    await publishAll(growing)
    const newer = (await readCheckpoint(storeReader(growing), [LOG_KEY])).checkpoint
    await appendLeaves(growing, leaves.slice(250))
    expect((await proveConsistency(storeReader(growing), known, newer)).length).toBeGreaterThan(0)
    expect(signCheckpoint(newer, [LOG_KEY])).toBe(await storeReader(growing).checkpoint())
  })
})
