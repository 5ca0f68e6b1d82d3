import { expect, it } from 'vitest'
import { compareHistories, DIFFERENCES } from '../../support/differential.ts'

it('reaches the verdicts of the published library on 20,000 histories, apart from the differences that the spec names', async () => {
  const seen = await compareHistories(20_000, 1)
  expect([...seen.keys()]).toEqual(expect.arrayContaining(['accepted', 'recovery', ...Object.keys(DIFFERENCES)]))
})
