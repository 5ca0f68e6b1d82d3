import { expect, it } from 'vitest'
import { BLIND_MS, watchSight, type Sight } from '../../src/cli/looking.ts'

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
