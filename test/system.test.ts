import { expect, it } from 'vitest'
import { firstFailure } from '../src/system.ts'

it('tells of work that fails after other work has ended in order', async () => {
  const ended = Promise.resolve()
  const { promise: goesOn, reject } = Promise.withResolvers<void>()
  const failure = firstFailure([ended, goesOn])
  await ended
  setImmediate(() => reject(new Error('the database has gone back')))
  expect((await failure).message).toBe('the database has gone back')
})
