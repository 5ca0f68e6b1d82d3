// Asking a plain directory politely.

import { describe, expect, it } from 'vitest'
import { PlainUpstream } from '../../mirror/plain-upstream.ts'
import { person } from '../support/people.ts'
import { openPlain } from '../support/plain-upstream.ts'

/** A clock that moves when somebody sleeps, and says for how long. */
function jumpingClock(): { now(): number; timeOfDay(): number; sleep(ms: number): Promise<void>; slept: number[] } {
  let time = 1_000
  const slept: number[] = []
  return {
    slept,
    now: () => time,
    timeOfDay: () => time,
    sleep(ms) {
      slept.push(ms)
      time += ms
      return Promise.resolve()
    },
  }
}

describe('a plain upstream', () => {
  it('is asked so many times in a minute and no more, whoever asks', async () => {
    await using directory = await openPlain()
    const clock = jumpingClock()
    const upstream = new PlainUpstream(directory.url, 30, clock, new AbortController().signal)
    await upstream.page({ numbered: true, position: 0 })
    await upstream.auditLog(person('alice').did)
    await upstream.page({ numbered: false, position: 0 })
    expect(clock.slept).toEqual([0, 2_000, 2_000])
    expect(directory.asked).toEqual(['/export?after=0&count=1000', `/${person('alice').did}/log/audit`, '/export?after=1970-01-01T00%3A00%3A00.000Z&count=1000'])
  })

  it('is left alone for as long as it asks to be', async () => {
    await using directory = await openPlain()
    const clock = jumpingClock()
    const upstream = new PlainUpstream(directory.url, 0, clock, new AbortController().signal)
    directory.busy = { times: 1, retryAfter: 17 }
    await expect(upstream.page({ numbered: true, position: 0 })).rejects.toThrow('slow down')
    await upstream.auditLog(person('alice').did)
    expect(clock.slept).toEqual([0, 17_000])
  })

  it('gives the lines that can be read, and those that are no UTF-8 as bytes', async () => {
    await using directory = await openPlain()
    const { did, genesis } = person('alice')
    directory.show(did, genesis, { raw: Buffer.from([0x7b, 0xff]) })
    directory.show(did, genesis)
    const { lines, length } = await new PlainUpstream(directory.url, 0, jumpingClock(), new AbortController().signal).page({ numbered: true, position: 0 })
    expect([length, lines.map(({ verdict, number }) => [verdict?.code, number])]).toEqual([2, [['MALFORMED_TEXT', null], [undefined, 2]]])
  })
})
