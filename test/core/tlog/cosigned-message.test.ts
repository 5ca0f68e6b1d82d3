import { describe, expect, it } from 'vitest'
import { base64 } from '../../../src/core/encoding/text.ts'
import { type ErrorCode, verdictOf } from '../../../src/core/errors.ts'
import { checkpointMessage, cosignatureMessage, decodeTimestamp, encodeTimestamp, subtreeMessage } from '../../../src/core/tlog/cosigned-message.ts'

const codeOf = (work: () => unknown): ErrorCode | null => verdictOf(work).verdict?.code ?? null
const hash = new Uint8Array(32).fill(0xab)
const text = `o\n3\n${base64.encode(hash)}\n`

describe('cosigned message', () => {
  it('of Ed25519 is two lines before the whole text', () => {
    expect(Buffer.from(cosignatureMessage('example.com/behind-the-sofa\n20852163\nCsU=\n', 1_679_315_147)).toString()).toBe(
      'cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nCsU=\n',
    )
  })

  it('of ML-DSA-44 is label, name, time, origin, range and hash, byte by byte', () => {
    const label = '737562747265652f76310a00' // subtree/v1, newline, zero
    const expected = `${label}03772e7800000000641850cb016f00000000000000000000000000000003${'ab'.repeat(32)}`
    expect(Buffer.from(checkpointMessage(text, 'w.x', 1_679_315_147)).toString('hex')).toBe(expected)
    const subtree = { cosigner: 'w.x', timestamp: 0, origin: 'größe', start: 2 ** 40, end: 2 ** 40 + 2 ** 33, hash }
    expect(Buffer.from(subtreeMessage(subtree)).toString('hex')).toBe(
      `${label}03772e78${'00'.repeat(8)}07${Buffer.from('größe').toString('hex')}00000100000000000000010200000000${'ab'.repeat(32)}`,
    )
  })

  it('is not made of fields that do not fit', () => {
    const subtree = { cosigner: 'c', timestamp: 0, origin: 'o', start: 0, end: 1, hash }
    const broken: Partial<typeof subtree>[] = [
      { cosigner: '' }, { origin: '' }, { cosigner: 'c'.repeat(256) }, { origin: 'ü'.repeat(128) }, { hash: hash.subarray(1) },
      { start: 2 }, { start: 1, timestamp: 1 }, { timestamp: -1 }, { end: 2 ** 53 }, { end: 0.5 },
    ]
    for (const change of broken) expect(codeOf(() => subtreeMessage({ ...subtree, ...change }))).toBe('MALFORMED_NOTE')
    expect(subtreeMessage({ ...subtree, cosigner: 'c'.repeat(255), origin: `${'ü'.repeat(127)}o` }).length).toBe(12 + 256 + 8 + 256 + 16 + 32)
    expect(codeOf(() => checkpointMessage('o\n3\n', 'c', 0))).toBe('MALFORMED_CHECKPOINT')
  })

  it('has times of 64 bits, of which 53 are used', () => {
    for (const time of [0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      const bytes = encodeTimestamp(time)
      expect(new DataView(bytes.buffer).getBigUint64(0)).toBe(BigInt(time))
      expect(decodeTimestamp(Uint8Array.of(9, ...bytes, 9).subarray(1))).toBe(time)
    }
    expect(codeOf(() => decodeTimestamp(Uint8Array.of(0, 0x20, 0, 0, 0, 0, 0, 0)))).toBe('MALFORMED_NOTE')
    expect(codeOf(() => decodeTimestamp(new Uint8Array(8).fill(0xff)))).toBe('MALFORMED_NOTE')
  })
})
