import { describe, expect, it, vi } from 'vitest'
import { checkRotationKeys, editRotationKeys } from '../../src/cli/rotation-list.ts'
import { testKey } from '../support/identities.ts'

const [A = '', B = '', C = '', D = ''] = [0, 1, 2, 3].map((n) => testKey(n).did)

describe('a list of rotation keys', () => {
  it('is edited by adding, removing and moving', () => {
    const edit = (add: readonly string[], at: number | null, remove: readonly string[] = []): readonly string[] => editRotationKeys([A, B], { add, at, remove })
    expect(edit([C], null)).toEqual([A, B, C])
    expect(edit([C], 1)).toEqual([C, A, B])
    expect(edit([C, D], 2)).toEqual([A, C, D, B])
    expect(edit([C], 3)).toEqual([A, B, C])
    expect(edit([B], 1)).toEqual([B, A])
    expect(edit([A], 2)).toEqual([B, A])
    expect(edit([], null, [A])).toEqual([B])
    expect(edit([C], 1, [A, B])).toEqual([C])
    expect(edit([A], null, [A])).toEqual([B, A])
  })

  it('is not edited where the words make no sense', () => {
    expect(() => editRotationKeys([A], { add: [A], at: null, remove: [] })).toThrow('is rotation key 1 already; --at N moves it')
    expect(() => editRotationKeys([A], { add: [], at: null, remove: [B] })).toThrow('none of the rotation keys')
    expect(() => editRotationKeys([A], { add: [B], at: 3, remove: [] })).toThrow('beyond the end')
  })

  it('is refused where it would lock its owner out, unless that is forced', () => {
    const warned = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    for (const [keys, words] of [
      [[], 'nobody could ever change'],
      [[A, B, A], 'would stand twice'],
      [[B, C], 'you may be locked out'],
    ] as const) {
      expect(() => checkRotationKeys(keys, new Set([A]), false)).toThrow(words)
      checkRotationKeys(keys, new Set([A]), true)
      expect(warned).toHaveBeenLastCalledWith(expect.stringContaining(`warning: `))
    }
    warned.mockRestore()
    checkRotationKeys([B, A], new Set([A]), false)
  })

  it('is refused, forced or not, where no directory would accept it', () => {
    expect(() => checkRotationKeys(Array.from({ length: 11 }, () => A), new Set([A]), true)).toThrow('these are 11 rotation keys')
    expect(() => checkRotationKeys([A, 'did:key:zBroken'], new Set([A]), true)).toThrow('cannot be parsed')
  })
})
