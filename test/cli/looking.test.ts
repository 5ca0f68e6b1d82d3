import { describe, expect, it } from 'vitest'
import { BLIND_MS, freshOnly, watchSight, type Sight } from '../../src/cli/looking.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { formatNote, formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote } from '../../src/core/tlog/note.ts'
import { parsePolicy } from '../../src/core/tlog/policy.ts'
import { LOG_KEY } from '../support/stored-log.ts'

const WITNESS_KEY = makeSigningKey('witness.test', KEY_TYPES.cosignature, new Uint8Array(32).fill(3))

it('says once that nothing can be seen, after a while of nothing, and once that it can again', () => {
  const told: Sight[] = []
  let now = Date.UTC(2026, 0, 1)
  const sight = watchSight((one) => told.push(one), () => now, () => now)
  const trouble = (): void => sight.onTrouble('https://a.test', new Error('no answer'))
  sight.onLook()
  now += BLIND_MS - 1
  trouble()
  expect(told).toEqual([])
  now += 1
  for (let i = 0; i < 3; i++) trouble()
  expect(told).toEqual([{ type: 'blind', words: 'not able to look since 2026-01-01T00:00:00.000Z, and trying on: https://a.test: no answer' }])
  now += 180_000
  for (let i = 0; i < 3; i++) sight.onLook()
  expect(told.slice(1)).toEqual([{ type: 'sighted', words: 'the log can be looked at again, after 3 min: what happened meanwhile comes now, none of it is left out' }])
  trouble()
  expect(told).toHaveLength(2)
})

it('says so too after the clock was put back, and not for a clock that was put forward', () => {
  const told: Sight[] = []
  let [now, elapsed] = [Date.UTC(2026, 0, 1), 0]
  const sight = watchSight((one) => told.push(one), () => now, () => elapsed)
  const trouble = (): void => sight.onTrouble('https://a.test', new Error('no answer'))
  now += 3_600_000
  trouble()
  expect(told).toEqual([])
  now -= 7_200_000
  elapsed += BLIND_MS
  trouble()
  expect(told.map(({ type }) => type)).toEqual(['blind'])
})

describe('a log that counts as seen only where its witnesses have cosigned it of late', () => {
  const policy = parsePolicy(`witness one ${formatVerifierKey(WITNESS_KEY)}\nquorum one`)
  const checkpoint = { origin: LOG_KEY.name, size: 3, root: new Uint8Array(32) }
  const parsed = parseNote(signCheckpoint(checkpoint, [LOG_KEY]))
  const noteAt = (seconds: number): string => formatNote({ text: parsed.text, signatures: [...parsed.signatures, cosign(checkpoint, WITNESS_KEY, seconds)] })

  it('is blind to one that shows the same for ever, and to one without cosignatures', () => {
    for (const note of [noteAt(1_800_000_000), formatNote(parsed)]) {
      const told: Sight[] = []
      let now = 1_800_000_000_000
      const looking = freshOnly(watchSight((one) => told.push(one), () => now, () => now), policy, 300_000, () => now)
      for (; now <= 1_800_000_400_000; now += 2_000) looking.onLook(checkpoint, 'https://a.test', note)
      expect(told.map(({ type }) => type)).toEqual(['blind'])
      expect(told[0]?.words).toMatch(/https:\/\/a\.test: it shows 3 entries, and that was not cosigned by the policy's quorum within the last 5 min/)
      looking.onLook(checkpoint, 'https://a.test', noteAt(now / 1_000))
      expect(told.map(({ type }) => type)).toEqual(['blind', 'sighted'])
    }
  })
})
