import { describe, expect, it } from 'vitest'
import { formatNote, KEY_TYPES, makeSigningKey, signText, type SigningKey } from '../../src/core/tlog/note.ts'
import { WRITER_LIMITS } from '../../src/log/limits.ts'
import { PublishedTimes } from '../../src/log/published-times.ts'
import type { Publication } from '../../src/storage/store.ts'
import { handClock } from '../support/fake-witness.ts'
import { FIRST_MS, LOG_KEY } from '../support/stored-log.ts'

const [ALICE, BOB] = [2, 3].map((seed) => makeSigningKey(`witness${seed}.test`, KEY_TYPES.cosignature, new Uint8Array(32).fill(seed)))
const SECOND_KEY = makeSigningKey(LOG_KEY.name, KEY_TYPES.mlDsa44, new Uint8Array(32).fill(4))

// A checkpoint that these have cosigned at these times, milliseconds since 1970.
function published(size: number, ...by: readonly (readonly [key: SigningKey | undefined, at: number])[]): Publication {
  const text = `${LOG_KEY.name}\n${size}\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n`
  const signatures = by.flatMap(([key, at]) => (key === undefined ? [] : [signText(text, key, Math.floor(at / 1000))]))
  return { size, root: new Uint8Array(32), note: formatNote({ text, signatures: [signText(text, LOG_KEY), ...signatures] }), publishedAt: FIRST_MS }
}

// A process whose clock is so far ahead, in milliseconds, and that looks every second. How far the witnesses are ahead of it.
function watcher(aheadMs: number): { readonly look: (publication: Publication) => Promise<readonly number[]>; readonly pass: (ms: number) => Promise<readonly number[]> } {
  const clock = handClock(FIRST_MS + aheadMs)
  const times = new PublishedTimes(clock)
  const apart = (): readonly number[] => times.times().map((time) => time - clock.timeOfDay())
  return {
    async look(publication) {
      times.see(publication)
      await clock.pass(1_000)
      return apart()
    },
    async pass(ms) {
      await clock.pass(ms)
      return apart()
    },
  }
}

describe('the times in published checkpoints', () => {
  it('agree with a clock that is right, however long a cosignature waited for the quorum', async () => {
    const { look } = watcher(0)
    await look(published(1))
    expect(await look(published(2, [ALICE, FIRST_MS + 1_000], [BOB, FIRST_MS + 1_000 - WRITER_LIMITS.witnessDeadlineMs]))).toEqual([0, 0])
  })

  it('tell a clock that is wrong, in either direction, as far as can be told', async () => {
    const ahead = watcher(60_000)
    await ahead.look(published(1))
    expect(await ahead.look(published(2, [ALICE, FIRST_MS + 1_000]))).toEqual([-60_000 + 999 + 1_000 + WRITER_LIMITS.witnessDeadlineMs])
    const behind = watcher(-60_000)
    await behind.look(published(1))
    expect(await behind.look(published(2, [ALICE, FIRST_MS + 1_000]))).toEqual([60_000])
  })

  it('say at the first look only that it is not earlier', async () => {
    expect(await watcher(3_600_000).look(published(5, [ALICE, FIRST_MS]))).toEqual([])
    expect(await watcher(0).look(published(5, [ALICE, FIRST_MS - 3_600_000]))).toEqual([])
    expect(await watcher(-3_600_000).look(published(5, [ALICE, FIRST_MS]))).toEqual([3_600_000])
  })

  it('are those of cosignatures that are new, of witnesses alone, the newest of each, for a while', async () => {
    const { look, pass } = watcher(0)
    await look(published(1))
    await look(published(2, [ALICE, FIRST_MS + 60_000], [SECOND_KEY, FIRST_MS + 70_000]))
    expect(await pass(0)).toEqual([59_000])
    // Alice's line stays, Bob's is added: hers tells nothing new.
    expect(await look(published(2, [ALICE, FIRST_MS + 60_000], [BOB, FIRST_MS + 2_000]))).toEqual([59_000, 0])
    expect(await look(published(3, [ALICE, FIRST_MS + 3_000]))).toEqual([0, 0])
    expect(await pass(WRITER_LIMITS.witnessTimeMs)).toEqual([])
  })

  it('are none in a checkpoint without cosignatures, or in what is no note', async () => {
    const { look } = watcher(0)
    await look(published(1))
    expect(await look(published(2))).toEqual([])
    expect(await look({ ...published(3), note: 'no note' })).toEqual([])
  })
})
