import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { base64 } from '../../../src/core/encoding/text.ts'
import { EMPTY_ROOT, leafHash, nodeHash } from '../../../src/core/tlog/hash.ts'

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest())

describe('hash', () => {
  it('has SHA-256 of nothing as the empty root', () => {
    expect(base64.encode(EMPTY_ROOT)).toBe('47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=')
  })

  it('hashes leaves and nodes under different prefixes', () => {
    const [left, right] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
    expect(leafHash(new Uint8Array(0))).toEqual(sha256(Uint8Array.of(0)))
    expect(leafHash(Uint8Array.of(1, 2, 3))).toEqual(sha256(Uint8Array.of(0, 1, 2, 3)))
    expect(nodeHash(left, right)).toEqual(sha256(Uint8Array.of(1, ...left, ...right)))
  })
})
