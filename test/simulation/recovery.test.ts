// The promise of 72 hours: whatever a thief with the weakest key does, and however fast, the owner takes the identity back.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DirectoryError } from '../../src/core/errors.ts'
import { RECOVERY_WINDOW_MS } from '../../src/core/plc/chain.ts'
import { make, OWNER_KEY, recall, type Made } from './catalog.ts'
import { newLog, openWriter, START_MS, type Remains, type Writer } from '../support/writer.ts'

const HOUR_MS = 3_600_000
const WEAKEST = 5
/** The thief tries again so soon. */
const EVERY_MS = 20 * 60_000
/** And so often each time. */
const BURST = 3

/** When, after the first theft, the owner notices. */
const MOMENTS_MS = [0, 1, EVERY_MS / 2, HOUR_MS, 10 * HOUR_MS, 24 * HOUR_MS, 25 * HOUR_MS, 50 * HOUR_MS, RECOVERY_WINDOW_MS - 1, RECOVERY_WINDOW_MS]

interface Victim {
  readonly did: string
  readonly genesis: Made
  /** What the thief holds to be the newest. */
  newest: Made
  firstTheftAt: number
  thefts: number
  refused: number
}

describe('an owner whose weakest key was stolen', () => {
  let remains: Remains & Disposable
  let writer: Writer
  beforeEach(async () => {
    remains = await newLog()
    writer = await openWriter(remains, recall)
  })
  afterEach(async () => {
    await writer.check()
    await writer[Symbol.asyncDispose]()
    remains[Symbol.dispose]()
  })

  const submit = (did: string, { operation }: Made): Promise<number | string> =>
    writer.submit(did, operation).then(
      ({ index }) => index,
      (error: unknown) => (error instanceof DirectoryError ? error.code : String(error)),
    )

  async function victim(n: number): Promise<Victim> {
    const rotation = [OWNER_KEY, 3, WEAKEST]
    const genesis = make({ prev: null, by: OWNER_KEY, rotation, handle: `owner ${n}` })
    const { begins: did } = genesis.claim
    expect(typeof (await submit(did, genesis))).toBe('number')
    return { did, genesis, newest: genesis, firstTheftAt: 0, thefts: 0, refused: 0 }
  }

  // As many updates as are taken, up to a burst; the last of a window may be a tombstone, after which there is nothing to sign.
  async function steal(v: Victim, rotation: readonly number[] | null = [OWNER_KEY, 3, WEAKEST]): Promise<void> {
    for (let n = 0; n < BURST; n++) {
      const theft = make({ prev: v.newest.operation.cid, by: WEAKEST, rotation, handle: `theft ${v.thefts}` })
      const answer = await submit(v.did, theft)
      if (typeof answer === 'number') {
        const [row] = await remains.store.entries(answer, answer + 1)
        if (v.thefts === 0) v.firstTheftAt = row?.createdAt ?? NaN
        v.newest = theft
        v.thefts++
      } else {
        expect(['RATE_LIMITED', 'MISORDERED', 'INVALID_SIGNATURE']).toContain(answer)
        v.refused++
        return
      }
    }
  }

  async function recover(v: Victim, rotation: readonly number[]): Promise<Made> {
    const recovery = make({ prev: v.genesis.operation.cid, by: OWNER_KEY, rotation, handle: 'mine again' })
    expect(await submit(v.did, recovery), `after ${v.thefts} thefts`).toBeTypeOf('number')
    expect((await remains.store.newest(v.did))?.cid).toBe(recovery.operation.cid)
    return recovery
  }

  for (const keeps of [false, true]) {
    it(`takes it back at any moment of the 72 hours, and can go on ${keeps ? 'though the thief keeps his key' : 'without the thief'}`, { timeout: 120_000 }, async () => {
      const rotation = keeps ? [OWNER_KEY, 3, WEAKEST] : [OWNER_KEY, 3]
      const waiting: Victim[] = []
      for (const n of MOMENTS_MS.keys()) waiting.push(await victim(n))
      const [first] = waiting
      const robbed: Victim[] = []
      for (const v of waiting) await steal(v)
      for (const [n, v] of waiting.entries()) {
        const moment = v.firstTheftAt + (MOMENTS_MS[n] ?? 0)
        for (let at = remains.clock.ms + EVERY_MS; at < moment; at += EVERY_MS) {
          remains.clock.ms = at
          for (const other of waiting.slice(n)) await steal(other)
          for (const other of robbed) await steal(other)
        }
        // A recovery is later than all that it undoes: at the very first moment the clock has to reach its stamp.
        remains.clock.ms = Math.max(remains.clock.ms, moment - 1)
        await steal(v)
        remains.clock.ms = Math.min(Math.max(remains.clock.ms, moment), v.firstTheftAt + RECOVERY_WINDOW_MS)
        const recovery = await recover(v, rotation)
        v.newest = recovery
        const update = make({ prev: recovery.operation.cid, by: OWNER_KEY, rotation, handle: 'and goes on' })
        expect(await submit(v.did, update), `an update after ${v.thefts} thefts`).toBeTypeOf('number')
        v.newest = update
        if (keeps) robbed.push(v)
        else expect(await submit(v.did, make({ prev: update.operation.cid, by: WEAKEST, rotation, handle: 'thief' }))).toBe('INVALID_SIGNATURE')
      }
      const last = waiting.at(-1)
      expect(remains.clock.ms).toBe((last?.firstTheftAt ?? 0) + RECOVERY_WINDOW_MS)
      expect(last?.thefts).toBeGreaterThan(80)
      expect(last?.refused).toBeGreaterThan(150)
      expect(first?.firstTheftAt).toBeLessThan(START_MS + HOUR_MS)
      await writer.publish()
    })
  }

  it('takes it back from a tombstone too, until the last millisecond and not after it', async () => {
    const [early, late] = [await victim(100), await victim(101)]
    for (const v of [early, late]) {
      await steal(v)
      await steal(v, null)
    }
    remains.clock.ms = early.firstTheftAt + RECOVERY_WINDOW_MS
    await recover(early, [OWNER_KEY])
    remains.clock.ms = late.firstTheftAt + RECOVERY_WINDOW_MS + 1
    const tooLate = make({ prev: late.genesis.operation.cid, by: OWNER_KEY, rotation: [OWNER_KEY], handle: 'mine again' })
    expect(await submit(late.did, tooLate)).toBe('LATE_RECOVERY')
  })
})
