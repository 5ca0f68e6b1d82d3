import { describe, expect, it } from 'vitest'
import { DirectoryError, type ErrorCode } from '../../src/core/errors.ts'
import { errorResponse, Refusal, REFUSALS, STATUS_OF_VERDICT, type RefusalCode } from '../../src/http/error-response.ts'

const codes = Object.keys(STATUS_OF_VERDICT) as ErrorCode[]
const refusals = Object.keys(REFUSALS) as RefusalCode[]

describe('errorResponse', () => {
  it('gives every verdict about a request a status of its own kind, and takes the others for incidents', () => {
    for (const code of codes) {
      const response = errorResponse(new DirectoryError(code, 'detail'))
      expect(response?.status ?? null, code).toBe(STATUS_OF_VERDICT[code])
      if (response !== null) expect([400, 404, 409]).toContain(response.status)
      if (response !== null) expect(response.message).toBe(new DirectoryError(code, 'detail').message)
    }
  })

  it('gives every refusal its status and message', () => {
    for (const code of refusals) {
      const [status, text] = REFUSALS[code]
      expect(errorResponse(new Refusal(code))).toMatchObject({ status, message: text })
      expect(errorResponse(new Refusal(code, 'why'))).toMatchObject({ status, message: `${text}: why` })
    }
  })

  it('takes everything else for an incident', () => {
    for (const error of [new Error('x'), new TypeError('x'), 'x', null, undefined, { status: 400, expose: true, message: 'x' }]) expect(errorResponse(error)).toBeNull()
  })

  it('says how long to wait where a rate limit is a 429', () => {
    const wait = (window: string): unknown => errorResponse(new DirectoryError('RATE_LIMITED', window), { rateLimitStatus: 429 })
    expect(wait('hour (max 10)')).toMatchObject({ status: 429, headers: { 'Retry-After': '3600' } })
    expect(wait('day (max 30)')).toMatchObject({ status: 429, headers: { 'Retry-After': '86400' } })
    expect(wait('week (max 100)')).toMatchObject({ status: 429, headers: { 'Retry-After': '604800' } })
    expect(errorResponse(new DirectoryError('RATE_LIMITED', 'hour (max 10)'))).toEqual({ status: 400, message: 'To many operations within last hour (max 10)', headers: {} })
  })
})
