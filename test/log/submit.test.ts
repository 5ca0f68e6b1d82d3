import { beforeEach, describe, expect, it } from 'vitest'
import { DirectoryError } from '../../src/core/errors.ts'
import { WRITER_LIMITS } from '../../src/log/limits.ts'
import { SubmissionPool } from '../../src/log/pool.ts'
import type { Clock } from '../../src/log/ports.ts'
import { submitTo } from '../../src/log/submit.ts'
import { Tip } from '../../src/storage/tip.ts'
import { person } from '../support/people.ts'

const { did, genesis } = person('waiting')
const LONGEST_MS = WRITER_LIMITS.submissionTimeoutMs

/** A clock on which sleepers wake only when it is moved. */
function manualClock() {
  const sleepers = new Set<{ at: number; wake: () => void }>()
  let now = 0
  const clock: Clock = {
    now: () => now,
    timeOfDay: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        const sleeper = { at: now + ms, wake: resolve }
        sleepers.add(sleeper)
        signal?.addEventListener('abort', () => {
          sleepers.delete(sleeper)
          resolve()
        })
      }),
  }
  async function move(ms: number): Promise<void> {
    now += ms
    for (const sleeper of sleepers) {
      if (sleeper.at > now) continue
      sleepers.delete(sleeper)
      sleeper.wake()
    }
    await new Promise(setImmediate)
  }
  return { clock, move, sleepers }
}

describe('a submission', () => {
  let pool: SubmissionPool
  let time: ReturnType<typeof manualClock>
  let submit: ReturnType<typeof submitTo>
  let outcomes: string[]
  beforeEach(() => {
    pool = new SubmissionPool({ maxSubmissions: 2 })
    time = manualClock()
    submit = submitTo(pool, new Tip(), time.clock)
    outcomes = []
  })

  const send = (name: string): Promise<void> =>
    submit(did, genesis).then(
      ({ outcome }) => void outcomes.push(`${name} ${outcome}`),
      (error: unknown) => void outcomes.push(`${name} ${error instanceof DirectoryError ? error.code : String(error)}`),
    )

  it('is answered with its outcome, and then no timer is left', async () => {
    const sent = [send('a'), send('b')]
    const [a, b] = await pool.take(2)
    a?.accept({ index: 7 })
    b?.refuse(new DirectoryError('MISORDERED'))
    await Promise.all(sent)
    expect(outcomes).toEqual(['a accepted', 'b MISORDERED'])
    expect(time.sleepers.size).toBe(0)
  })

  it('is told to ask again where the pool is full or closed', async () => {
    const sent = [send('a'), send('b'), send('c')]
    await sent[2]
    expect(outcomes).toEqual(['c unavailable'])
    pool.close()
    await send('d')
    expect(outcomes).toEqual(['c unavailable', 'd unavailable'])
    for (const submission of await pool.take(2)) submission.accept({ index: 0 })
    await Promise.all(sent)
    expect(time.sleepers.size).toBe(0)
  })

  it('waits as long as it may, each from when it came, and one timer is enough', async () => {
    void send('a')
    await time.move(LONGEST_MS - 10)
    void send('b')
    expect(time.sleepers.size).toBe(1)
    await time.move(9)
    expect(outcomes).toEqual([])
    await time.move(1)
    expect(outcomes).toEqual(['a unavailable'])
    await time.move(LONGEST_MS - 11)
    expect(outcomes).toEqual(['a unavailable'])
    await time.move(1)
    expect(outcomes).toEqual(['a unavailable', 'b unavailable'])
    expect(time.sleepers.size).toBe(0)
  })

  it('that comes after others have waited too long is given its own time', async () => {
    void send('a')
    await time.move(LONGEST_MS)
    void send('b')
    await time.move(LONGEST_MS)
    expect(outcomes).toEqual(['a unavailable', 'b unavailable'])
  })

  it('that is answered late has been told to ask again, and disturbs nobody', async () => {
    void send('a')
    await time.move(LONGEST_MS)
    const b = send('b')
    const [first, second] = await pool.take(2)
    first?.accept({ index: 0 })
    await new Promise(setImmediate)
    second?.accept({ index: 1 })
    await b
    expect(outcomes).toEqual(['a unavailable', 'b accepted'])
    expect(time.sleepers.size).toBe(0)
  })
})
