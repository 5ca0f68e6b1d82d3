import { describe, expect, it } from 'vitest'
import { DirectoryError } from '../../../src/core/errors.ts'
import { readAs } from '../../../src/core/tlog/strict.ts'

describe('readAs', () => {
  it('gives what was read', () => {
    expect(readAs('MALFORMED_NOTE', () => 7)).toBe(7)
  })

  it('turns verdicts into one of the format, leaves its own alone, and lets incidents pass', () => {
    const own = new DirectoryError('MALFORMED_NOTE', 'mine')
    const incident = new Error('disk')
    const fail = (error: Error) => () =>
      readAs('MALFORMED_NOTE', () => {
        throw error
      })
    expect(fail(own)).toThrow(own)
    expect(fail(incident)).toThrow(incident)
    expect(fail(new DirectoryError('MALFORMED_NUMBER', '07'))).toThrow(new DirectoryError('MALFORMED_NOTE', 'Malformed number: 07'))
  })
})
