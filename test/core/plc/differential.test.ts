import { expect, it } from 'vitest'
import { compareHistories, DIFFERENCES } from '../../support/differential.ts'

const VERDICTS = ['accepted', 'recovery', 'MISORDERED', 'INVALID_SIGNATURE', 'LATE_RECOVERY', 'DUPLICATE_OPERATION', 'GENESIS_PREV', 'INVALID_OPERATION']

it('reaches the verdicts of the published library on 400 histories, apart from the differences that the spec names', async () => {
  const seen = await compareHistories(400, 20_260_801)
  expect([...seen.keys()].sort()).toEqual([...VERDICTS, ...Object.keys(DIFFERENCES)].sort())
})
