import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assert, verdictOf } from '../../../src/core/errors.ts'
import { checkRate } from '../../../src/core/plc/admission.ts'
import { applyOperation, disputedLink, emptyChain, type Chain } from '../../../src/core/plc/chain.ts'
import { didOf } from '../../../src/core/plc/did.ts'
import { operationValue, parseOperation, type Operation } from '../../../src/core/plc/operation.ts'
import { identityData } from '../../support/identities.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const WEEK = 7 * DAY
const T = 1_700_000_000_000
const KEYS = 10

// Signatures play no part here: an operation has a serial number for one, and the player says which key signed.
let serial = 0
function operation(prev: string | null): Operation {
  return parseOperation(new Map([...operationValue({ ...identityData([]), prev }), ['sig', String(serial++)]]))
}

/** The chain with one more operation after the link at `position`, if its rate and the rules allow it. */
function attempt(chain: Chain, position: number, signer: number, now: number, check = checkRate): Chain | null {
  const next = operation(chain.links[position]?.operation.cid ?? null)
  return verdictOf(() => {
    check(chain, next, now)
    return applyOperation(chain, next, now, signer).chain
  }).value
}

function must(chain: Chain | null): Chain {
  assert(chain !== null, 'the operation is accepted')
  return chain
}

function begin(now: number): Chain {
  const genesis = operation(null)
  return applyOperation(emptyChain(didOf(genesis.bytes)), genesis, now, 0).chain
}

function inEffect(chain: Chain): number[] {
  return [...chain.links.keys()].filter((position) => chain.links[position]?.nullified === false)
}

function head(chain: Chain): number {
  return inEffect(chain).at(-1) ?? 0
}

/** How many operations were accepted in the window that ends at `now`. */
function countWithin(chain: Chain, ms: number, now: number): number {
  return chain.links.filter((link) => link.createdAt > now - ms && link.createdAt <= now).length
}

/** A plain update at the head, or null where it is refused. */
function update(chain: Chain, now: number): Chain | null {
  return attempt(chain, head(chain), KEYS - 1, now)
}

/** Every recovery that a holder of all keys can make now, deepest first, each with the weakest key that will do. */
function recoveries(chain: Chain, above: number, now: number): { position: number; signer: number }[] {
  const path = inEffect(chain)
  return path
    .slice(0, -1)
    .map((position, i) => ({ position, disputed: chain.links[path[i + 1] ?? 0] }))
    .filter(({ position, disputed }) => position > above && disputed !== undefined && disputed.signer > 0 && now - disputed.createdAt <= 3 * DAY)
    .map(({ position, disputed }) => ({ position, signer: (disputed?.signer ?? 0) - 1 }))
    .reverse()
}

describe('the rate of plain updates', () => {
  it('is 10 in an hour, 30 in a day and 100 in a week, the genesis counted, with the deployed messages', () => {
    const cases = [
      { every: 60_000, limit: 10, message: 'To many operations within last hour (max 10)' },
      { every: HOUR / 5, limit: 30, message: 'To many operations within last day (max 30)' },
      { every: DAY / 20, limit: 100, message: 'To many operations within last week (max 100)' },
    ]
    for (const { every, limit, message } of cases) {
      let chain = begin(T)
      for (let i = 1; i < limit; i++) chain = must(update(chain, T + i * every))
      const next = operation(chain.links[head(chain)]?.operation.cid ?? null)
      expect(() => checkRate(chain, next, T + limit * every)).toThrow(message)
    }
  })

  it('counts what is younger than the window, not what is as old', () => {
    let chain = begin(T)
    for (let i = 1; i < 10; i++) chain = must(update(chain, T + 1))
    expect(update(chain, T + HOUR - 1)).toBeNull()
    expect(update(chain, T + HOUR)).not.toBeNull()
  })

  it('does not concern a genesis', () => {
    expect(() => checkRate(emptyChain('did:plc:'), operation(null), T)).not.toThrow()
  })
})

describe('a recovery', () => {
  it('is charged with the chain up to its prev and the earlier forks there, and not with what it nullifies', () => {
    let chain = begin(T)
    for (let i = 1; i < 10; i++) chain = must(update(chain, T + i))
    expect(update(chain, T + 20)).toBeNull()
    expect(attempt(chain, 8, 8, T + 20)).not.toBeNull()
    for (let signer = 8, now = T + 30; signer > 0; signer--) chain = must(attempt(chain, 0, signer, now++))
    expect(chain.links.filter((link) => !link.nullified)).toHaveLength(2)
    // Genesis and eight nullified forks: nine of ten, so the strongest key has its turn, and then no key is stronger.
    expect(attempt(chain, 0, 0, T + 60)).not.toBeNull()
  })

  it('is refused where the identity itself was too busy up to its prev', () => {
    let chain = begin(T)
    for (let i = 1; i < 10; i++) chain = must(update(chain, T + i))
    chain = must(update(chain, T + HOUR + 10))
    const recovery = operation(chain.links[9]?.operation.cid ?? null)
    expect(disputedLink(chain, recovery)).toBe(10)
    expect(() => checkRate(chain, recovery, T + 30)).toThrow('To many operations within last hour (max 10)')
    expect(() => checkRate(chain, recovery, T + HOUR + 30)).not.toThrow()
  })
})

describe('a thief with the weakest key', () => {
  // The thief has the weakest of the owner's keys and, after the first update, every key of what follows it.
  function rampage(chain: Chain, choices: Iterator<number>, hours: number): Chain {
    const theirs = chain.links.length
    const owned = head(chain)
    for (let now = T + 1; now < T + hours * HOUR; now += HOUR / 4) {
      for (let i = 0; i < 40; i++) {
        const choice = choices.next().value as number
        const possible = recoveries(chain, owned, now)
        const recovery = possible[choice % Math.max(1, possible.length)]
        const next =
          (choice % 3 > 0 || recovery === undefined ? update(chain, now + i) : null) ??
          (recovery === undefined ? null : attempt(chain, recovery.position, recovery.signer, now + i))
        if (next === null) break
        chain = next
      }
    }
    expect(chain.links.length).toBeGreaterThan(theirs)
    return chain
  }

  it('can neither keep the owner from recovering within 72 hours nor from updating three times a day afterwards', () => {
    let worst = 0
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat(1000)), fc.integer({ min: 1, max: 71 }), fc.nat(3), (choices, hours, earlier) => {
        let chain = begin(T - 30 * DAY)
        for (let i = 0; i < earlier; i++) chain = must(update(chain, T - (earlier - i) * DAY))
        const owned = head(chain)
        chain = rampage(chain, choices[Symbol.iterator](), hours)
        worst = Math.max(worst, chain.links.length)
        let now = T + hours * HOUR + 1
        chain = must(attempt(chain, owned, 0, now))
        expect(chain.links.slice(owned + 1, -1).every((link) => link.nullified)).toBe(true)
        for (let day = 0; day < 8; day++, now += DAY) {
          for (let i = 1; i <= 3; i++) chain = must(update(chain, now + i))
        }
      }),
      { numRuns: 40 },
    )
    expect(worst).toBeGreaterThan(90)
  })
})

describe('a spammer with every key', () => {
  type Check = (chain: Chain, next: Operation, now: number) => void

  // Tries everything at full speed: updates, and once they are refused (or sooner, as `choices` say) a recovery.
  function spam(check: Check, choices: Iterator<number>, days: number, enough: number): { hour: number; day: number; week: number } {
    let chain = begin(T)
    const most = { hour: 0, day: 0, week: 0 }
    for (let now = T + 1; now < T + days * DAY && chain.links.length < enough; now += HOUR / 2) {
      for (let i = 0; i < 5000 && chain.links.length < enough; i++) {
        const next = (Number(choices.next().value) % 3 > 0 ? attempt(chain, head(chain), KEYS - 1, now + i, check) : null) ?? recover(chain, now + i, check)
        if (next === null) break
        chain = next
      }
      most.hour = Math.max(most.hour, countWithin(chain, HOUR, now + 5000))
      most.day = Math.max(most.day, countWithin(chain, DAY, now + 5000))
      most.week = Math.max(most.week, countWithin(chain, WEEK, now + 5000))
    }
    return most
  }

  function recover(chain: Chain, now: number, check: Check): Chain | null {
    for (const { position, signer } of recoveries(chain, -1, now)) {
      const next = attempt(chain, position, signer, now, check)
      if (next !== null) return next
    }
    return attempt(chain, head(chain), KEYS - 1, now, check)
  }

  it('stores fewer than 200 operations in an hour, 300 in a day and 600 in a week, whether it plays greedily or at random', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat(1000)), fc.boolean(), (choices, greedy) => {
        const most = spam(checkRate, (greedy ? always : choices)[Symbol.iterator](), 8, Infinity)
        expect(most.hour).toBeLessThan(200)
        expect(most.day).toBeLessThan(300)
        expect(most.week).toBeLessThan(600)
      }),
      { numRuns: 10 },
    )
  })

  it('would store thousands in an hour where, as deployed, a recovery is never refused and nullified operations do not count', () => {
    const deployed: Check = (chain, next, now) => {
      if (disputedLink(chain, next) === null) checkRate({ ...chain, links: chain.links.filter((link) => !link.nullified) }, next, now)
    }
    expect(spam(deployed, always[Symbol.iterator](), 1, 3000).hour).toBe(3000)
  })

  const always = {
    *[Symbol.iterator](): Iterator<number> {
      for (;;) yield 1
    },
  }
})
