import { describe, it } from 'vitest'
import { deliverThroughRestarts } from '../support/webhook-run.ts'

describe('a follower with a webhook', () => {
  it('delivers every operation, in order, though it, its mirror and the receiver are ended and started again', () => deliverThroughRestarts(4, 1))
})
