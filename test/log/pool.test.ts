import { describe, expect, it } from 'vitest'
import { SubmissionPool, UnavailableError, type Submission } from '../../src/log/pool.ts'
import { person } from '../support/people.ts'

const { did, genesis } = person('pool')

function poolWith(count: number, maxSubmissions = 10): { pool: SubmissionPool; answers: Promise<unknown>[] } {
  const pool = new SubmissionPool({ maxSubmissions })
  const answers = Array.from({ length: count }, (_, seenSize) => pool.submit(did, genesis, seenSize).catch((error: unknown) => error))
  return { pool, answers }
}

const order = (submissions: readonly Submission[]): number[] => submissions.map(({ seenSize }) => seenSize)

describe('the pool', () => {
  it('hands out what waits in the order in which it came, as many as are asked for', async () => {
    const { pool } = poolWith(5)
    expect(pool.waiting).toBe(5)
    expect(order(await pool.take(3))).toEqual([0, 1, 2])
    expect(order(await pool.take(3))).toEqual([3, 4])
    expect(pool.waiting).toBe(0)
  })

  it('waits for the first operation', async () => {
    const { pool } = poolWith(0)
    const taken = pool.take(3)
    void pool.submit(did, genesis, 7)
    expect(order(await taken)).toEqual([7])
  })

  it('refuses one more than it holds, and has room again when some are taken', async () => {
    const { pool, answers } = poolWith(4, 3)
    expect(await answers[3]).toBeInstanceOf(UnavailableError)
    await pool.take(1)
    void pool.submit(did, genesis, 9)
    expect(order(await pool.take(9))).toEqual([1, 2, 9])
  })

  it('takes back what was too much, before what came later', async () => {
    const { pool } = poolWith(4, 4)
    const taken = await pool.take(3)
    pool.giveBack(taken.slice(1))
    expect(order(await pool.take(9))).toEqual([1, 2, 3])
  })

  it('answers each operation with its own outcome', async () => {
    const { pool, answers } = poolWith(2)
    const [first, second] = await pool.take(2)
    second?.accept({ index: 5 })
    first?.refuse('no')
    expect(await Promise.all(answers)).toEqual(['no', { index: 5 }])
  })

  it('refuses everything once it is closed, and still hands out what waits', async () => {
    const { pool } = poolWith(2)
    pool.close()
    await expect(pool.submit(did, genesis, 0)).rejects.toThrow('stopping')
    const taken = await pool.take(1)
    pool.giveBack(taken)
    expect(order(await pool.take(9))).toEqual([0, 1])
    expect(await pool.take(9)).toEqual([])
  })

  it('wakes who waits for an operation when it is closed', async () => {
    const { pool } = poolWith(0)
    const taken = pool.take(1)
    pool.close()
    expect(await taken).toEqual([])
  })
})
