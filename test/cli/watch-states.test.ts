import { describe, expect, it } from 'vitest'
import { watchStates, type Expected, type StatesWatched } from '../../src/cli/watch-states.ts'
import { memoryCursor } from '../../src/client/cursor.ts'
import type { Entry } from '../../src/core/entry.ts'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import { parsePolicy } from '../../src/core/tlog/policy.ts'
import { COSIGNED_AT, mapScene, type MapScene } from '../support/map-scene.ts'
import { person } from '../support/people.ts'
import { FIRST_MS } from '../support/stored-log.ts'

const ORIGIN = 'watched.test/log'
const [ann, ben] = [person('w ann'), person('w ben')]
const entry = (of: typeof ann, operation: typeof ann.genesis, second: number): Entry => ({ did: of.did, createdAt: FIRST_MS + second * 1_000, operation, source: null })
const ENTRIES = [entry(ben, ben.genesis, 0), entry(ann, ann.genesis, 1), entry(ann, ann.tombstone(ann.genesis), 2)]

/** The log of the first entries, with a version of the map at each of these sizes. */
function at(entries: number, ...sizes: number[]): MapScene {
  return mapScene(ORIGIN, ENTRIES.slice(0, entries), sizes)
}
const keys = at(1, 1)
const policy = parsePolicy(`witness one ${formatVerifierKey(keys.witnessKey)}\nquorum one`)

/** Watches through as many looks as there are answers, `stepMs` apart or as far as the watch itself waits; what was told of each. */
async function watch(expected: Record<string, Expected>, answers: readonly (MapScene | Error)[], more: Partial<StatesWatched> = {}, stepMs = 0): Promise<string[][]> {
  const told: string[][] = answers.map(() => [])
  const ending = new AbortController()
  let [round, elapsed] = [0, 0]
  const watched: StatesWatched = {
    expected: new Map(Object.entries(expected)),
    urls: ['https://a.test'],
    trust: { logKeys: [keys.logKey], mapKeys: [keys.mapKey], policy: null },
    maxAgeMs: 300_000,
    proofOf: async (_url, did) => {
      const answer = answers[round]
      if (answer === undefined || answer instanceof Error) throw answer ?? new Error('no more')
      return answer.textOf(did)
    },
    newKeys: async () => [],
    memory: memoryCursor(),
    introduce: (words) => void told[round]?.push(words),
    tell: async ({ lines }) => void told[round]?.push(lines.join()),
    clock: {
      timeOfDay: () => COSIGNED_AT * 1_000 + elapsed,
      now: () => elapsed,
      async sleep(ms, signal) {
        elapsed += Math.max(ms, stepMs)
        if (++round === answers.length) ending.abort(new Error('the end'))
        signal.throwIfAborted()
      },
    },
    ...more,
  }
  await expect(watchStates(watched, ending.signal)).rejects.toThrow('the end')
  return told
}

describe('watching the states of identities', () => {
  it('says what is there at first, and then only what becomes of it', async () => {
    const told = await watch({ [ann.did]: 'absent', [ben.did]: 'active' }, [at(1, 1), at(1, 1), at(2, 1, 2), at(2, 1, 2), at(3, 1, 2, 3)])
    expect(told.map((lines) => lines.map((line) => line.replace(/, accepted .*; /, '; ')))).toEqual([
      [expect.stringMatching(`^watching: ${ann.did} is not in the log; expected is that it is absent`), expect.stringMatching(`^watching: ${ben.did} is active, with the handle .*expected is that it is active. Proved for the first 1 entries`)],
      [],
      [expect.stringMatching(`^${ann.did} is active.*expected is that it is absent. Proved for the first 2 entries`)],
      [],
      [expect.stringMatching(`^${ann.did} is deactivated, by .*expected is that it is absent. Proved for the first 3 entries`)],
    ])
  })

  it('tells at once what is not as expected, and nothing twice over restarts', async () => {
    const memory = memoryCursor()
    const [first = []] = await watch({ [ann.did]: 'active' }, [at(1, 1)], { memory })
    expect(first).toEqual([expect.stringMatching(`^${ann.did} is not in the log; expected is that it is active`)])
    expect(await watch({ [ann.did]: 'active' }, [at(1, 1)], { memory })).toEqual([[]])
    expect((await watch({ [ann.did]: 'active' }, [at(3, 3)], { memory })).flat()).toEqual([expect.stringMatching(`^${ann.did} is deactivated`)])
  })

  it('is blind to answers that fail, once, and says when it is not any more', async () => {
    const gone = new Error('503')
    const told = await watch({ [ben.did]: 'active' }, [at(1, 1), ...Array.from({ length: 12 }, () => gone), at(1, 1), at(1, 1)])
    expect(told.slice(1).flat()).toEqual([expect.stringMatching(/ not able to look since .*https:\/\/a\.test: no proof of did:plc:.*: 503$/), expect.stringContaining('the map can be looked at again, after ')])
  })

  it.each<[string, RegExp, readonly MapScene[], Partial<StatesWatched>]>([
    ['that were cosigned too long ago', /was not cosigned by the policy's quorum within the last 5 min/, Array.from({ length: 5 }, () => at(1, 1)), { trust: { logKeys: [keys.logKey], mapKeys: [keys.mapKey], policy } }],
    ['of a map that the log has left behind', /the newest version of the map is of 1 entries, and the log has had 3 for/, Array.from({ length: 5 }, () => at(3, 1)), {}],
    ['of an older version than was seen', /it shows version 0 of the map, and version 1 was seen before/, [at(2, 1, 2), at(1, 1), at(1, 1)], {}],
    ['under another key', /No signature by a known key/, Array.from({ length: 3 }, () => at(1, 1)), { trust: { logKeys: [{ ...keys.logKey, id: '00000000' }], mapKeys: [keys.mapKey], policy: null } }],
  ])('is blind to proofs %s', async (_name, words, answers, more) => {
    const told = await watch({ [ben.did]: 'active' }, answers, more, 120_000)
    expect(told.flat().filter((line) => line.includes('not able to look'))).toEqual([expect.stringMatching(words)])
  })

  it.each([
    ['log', { logKeys: [{ ...keys.logKey, id: '00000000' }], mapKeys: [keys.mapKey], policy: null }],
    ['map', { logKeys: [keys.logKey], mapKeys: [{ ...keys.mapKey, id: '00000000' }], policy: null }],
  ])('follows a log, where the key of the %s has changed', async (_, trust) => {
    const newKeys: StatesWatched['newKeys'] = async (_url, _known, of) => [of === 'log/keys' ? keys.logKey : keys.mapKey]
    expect((await watch({ [ben.did]: 'active' }, [at(1, 1)], { trust, newKeys })).flat()).toEqual([expect.stringContaining('is active')])
  })
})
