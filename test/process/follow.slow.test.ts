import { describe, it } from 'vitest'
import { deliverThroughRestarts } from '../support/webhook-run.ts'

describe('a follower with a webhook', () => {
  it('delivers every operation, in order, through 20 restarts of it, its mirror and the receiver', () => deliverThroughRestarts(20, 2))
})
