import { describe, expect, it } from 'vitest'
import { Standing } from '../../mirror/standing.ts'
import { Upstreams } from '../../mirror/upstreams.ts'
import type { Clock } from '../../src/log/ports.ts'

function open() {
  let now = 1_000
  const clock: Pick<Clock, 'now'> = { now: () => now }
  const standing = new Standing(clock as Clock, new Upstreams([], clock as Clock, new AbortController().signal, () => {}), 10)
  return { standing, wait: (ms: number) => { now += ms } }
}

describe('how far a mirror is behind', () => {
  it('is how long ago the first checkpoint was shown that it has not reached', () => {
    const { standing, wait } = open()
    standing.heard(10)
    expect(standing.behindMs).toBe(0)
    standing.heard(20)
    wait(100)
    standing.heard(30)
    wait(100)
    standing.heard(30)
    expect([standing.behindMs, standing.report().lagEntries]).toEqual([200, 20])
    standing.verified(15)
    expect(standing.behindMs).toBe(200)
    standing.verified(20)
    expect(standing.behindMs).toBe(100)
    standing.verified(30)
    expect([standing.behindMs, standing.report().lagEntries]).toEqual([0, 0])
  })

  it('does not grow while it keeps up under a load that does not end', () => {
    const { standing, wait } = open()
    for (let size = 20; size < 2_000; size += 10) {
      standing.heard(size)
      wait(300)
      standing.verified(size - 10)
      expect(standing.behindMs).toBe(300)
    }
  })

  it('is never said to be less than it is, however many checkpoints it has not reached', () => {
    const { standing, wait } = open()
    for (let size = 11; size <= 1_010; size++) {
      standing.heard(size)
      wait(10)
    }
    for (let size = 10; size < 1_010; size++) {
      standing.verified(size)
      // The next one was shown so long ago.
      const exact = (1_010 - size) * 10
      expect(standing.behindMs).toBeGreaterThanOrEqual(exact)
      expect(standing.behindMs).toBeLessThanOrEqual(Math.min(10_000, exact + 1_000))
    }
    standing.verified(1_010)
    expect(standing.behindMs).toBe(0)
  })
})
