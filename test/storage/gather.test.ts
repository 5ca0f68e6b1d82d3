import { describe, expect, it } from 'vitest'
import { gather } from '../../src/storage/gather.ts'

/** Calls that a test answers one by one; the answer to a question is its double. */
function open(limits = { together: 3, underWay: 2 }, oneMayBeToBlame = (_error: unknown): boolean => false) {
  const calls: { readonly questions: readonly number[]; answer(): void; fail(error: Error): void }[] = []
  const ask = gather((questions: readonly number[]) => {
    const { promise, resolve, reject } = Promise.withResolvers<(question: number) => number>()
    calls.push({ questions, answer: () => resolve((question) => question * 2), fail: reject })
    return promise
  }, { ...limits, oneMayBeToBlame })
  return { ask, calls, asked: () => calls.map(({ questions }) => questions) }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('questions that come at the same moment', () => {
  it('are asked together, and each gets its answer', async () => {
    const { ask, calls, asked } = open()
    const answers = Promise.all([1, 2, 2].map(ask))
    expect(asked()).toEqual([])
    await turn()
    expect(asked()).toEqual([[1, 2, 2]])
    calls[0]?.answer()
    expect(await answers).toEqual([2, 4, 4])
  })

  it('are as many calls as it takes, and no more at once than may be', async () => {
    const { ask, calls, asked } = open()
    const answers = Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(ask))
    await turn()
    expect(asked()).toEqual([[1, 2, 3], [4, 5, 6]])
    const later = ask(9)
    await turn()
    expect(asked()).toHaveLength(2)
    calls[1]?.answer()
    await turn()
    expect(asked()[2]).toEqual([7, 8, 9])
    calls[0]?.answer()
    calls[2]?.answer()
    expect([await answers, await later]).toEqual([[2, 4, 6, 8, 10, 12, 14, 16], 18])
  })

  it('never join a call that has begun', async () => {
    const { ask, calls, asked } = open()
    const first = ask(1)
    await turn()
    const second = ask(2)
    await turn()
    expect(asked()).toEqual([[1], [2]])
    for (const call of calls) call.answer()
    expect([await first, await second]).toEqual([2, 4])
  })

  it('all hear of what went wrong, and those that come after do not', async () => {
    const { ask, calls } = open({ together: 2, underWay: 1 })
    const outcomes = Promise.allSettled([ask(1), ask(2), ask(3)])
    await turn()
    calls[0]?.fail(new Error('gone'))
    await turn()
    calls[1]?.answer()
    expect((await outcomes).map((outcome) => (outcome.status === 'rejected' ? String(outcome.reason) : outcome.value))).toEqual(['Error: gone', 'Error: gone', 6])
  })

  it('are asked again one by one where one of them may be to blame, and only that one hears of it', async () => {
    const { ask, calls, asked } = open({ together: 3, underWay: 1 }, (error) => String(error).includes('too long'))
    const outcomes = Promise.allSettled([1, 2, 3, 4].map(ask))
    for (const fail of [true, false, true, false, false]) {
      await turn()
      if (fail) calls.at(-1)?.fail(new Error('too long'))
      else calls.at(-1)?.answer()
    }
    expect((await outcomes).map((outcome) => (outcome.status === 'rejected' ? String(outcome.reason) : outcome.value))).toEqual([2, 'Error: too long', 6, 8])
    expect(asked()).toEqual([[1, 2, 3], [1], [2], [3], [4]])
  })
})
