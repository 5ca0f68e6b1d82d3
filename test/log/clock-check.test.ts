import { describe, expect, it } from 'vitest'
import { clockFault, type ClockReading } from '../../src/log/clock-check.ts'

const SKEW_MS = 10_000
const FIRST: ClockReading = { database: 1_700_000_000_000, machine: 1_700_000_000_000, monotonic: 500, witnesses: [] }

/** What the clocks show `ms` later, where some of them are wrong by so much. */
function later(ms: number, wrong: Partial<ClockReading> = {}): ClockReading {
  const { database = 0, machine = 0, monotonic = 0, witnesses = [] } = wrong
  return { witnesses: witnesses.map((offset) => FIRST.machine + ms + offset), database: FIRST.database + ms + database, machine: FIRST.machine + ms + machine, monotonic: FIRST.monotonic + ms + monotonic }
}

describe('the check of the clocks', () => {
  it('trusts clocks that go on together, for however long', () => {
    for (const ms of [0, 1, 3_600_000, 10 * 365 * 86_400_000]) expect(clockFault(later(ms), FIRST, SKEW_MS)).toBeNull()
  })

  it('bears a difference of just the limit and no millisecond more, in either direction', () => {
    for (const sign of [1, -1]) {
      expect(clockFault(later(60_000, { database: sign * SKEW_MS }), FIRST, SKEW_MS)).toBeNull()
      expect(clockFault(later(60_000, { machine: sign * SKEW_MS }), FIRST, SKEW_MS)).toBeNull()
      expect(clockFault(later(60_000, { machine: sign * (SKEW_MS + 1) }), FIRST, SKEW_MS)).not.toBeNull()
      expect(clockFault(later(60_000, { database: sign * (SKEW_MS + 1) }), FIRST, SKEW_MS)).not.toBeNull()
    }
  })

  it('says which clock is ahead', () => {
    expect(clockFault(later(0, { database: 12_345 }), FIRST, SKEW_MS)).toMatch(/^the database's clock is 12\.3 s ahead of this machine's/)
    expect(clockFault(later(0, { machine: 12_345 }), FIRST, SKEW_MS)).toMatch(/^the database's clock is 12\.3 s behind this machine's/)
  })

  it('refuses a jump that both clocks made together, and keeps refusing it', () => {
    for (const [jump, words] of [[20_000, /jumped 20\.0 s forward since/], [-20_000, /jumped 20\.0 s back since/]] as const) {
      for (const ms of [0, 1000, 86_400_000]) expect(clockFault(later(ms, { database: jump, machine: jump }), FIRST, SKEW_MS)).toMatch(words)
    }
  })

  it('trusts a clock again that has come back', () => {
    expect(clockFault(later(1000, { database: 20_000, machine: 20_000 }), FIRST, SKEW_MS)).not.toBeNull()
    expect(clockFault(later(2000), FIRST, SKEW_MS)).toBeNull()
  })

  it('takes the first reading as it is, so that a start by hand ends the refusal', () => {
    const jumped = later(0, { database: 86_400_000, machine: 86_400_000 })
    expect(clockFault(jumped, jumped, SKEW_MS)).toBeNull()
  })

  it('refuses a time that every witness contradicts, whichever way, and says so', () => {
    expect(clockFault(later(5_000, { witnesses: [20_000, 30_000] }), FIRST, SKEW_MS)).toMatch(/^this machine's clock is 20\.0 s behind the times that the witnesses state/)
    expect(clockFault(later(5_000, { witnesses: [-20_000, 30_000] }), FIRST, SKEW_MS)).toMatch(/^this machine's clock is 20\.0 s ahead of/)
    expect(clockFault(later(5_000, { witnesses: [SKEW_MS + 1] }), FIRST, SKEW_MS)).not.toBeNull()
  })

  it('lets no witness stop the log by a wrong time while another has the right one', () => {
    expect(clockFault(later(5_000, { witnesses: [86_400_000, -86_400_000, SKEW_MS] }), FIRST, SKEW_MS)).toBeNull()
  })

  it('refuses a machine that slept while its steady clock stood still', () => {
    expect(clockFault(later(60_000, { monotonic: -60_000 }), FIRST, SKEW_MS)).toMatch(/jumped 60\.0 s forward/)
  })
})
