import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { base64 } from '../../../src/core/encoding/text.ts'
import { type ErrorCode, verdictOf } from '../../../src/core/errors.ts'
import { openCheckpoint, signCheckpoint } from '../../../src/core/tlog/checkpoint.ts'
import { KEY_TYPES, makeSigningKey } from '../../../src/core/tlog/note.ts'
import { MAX_PROOF_HASHES, verifyInclusion } from '../../../src/core/tlog/proof.ts'
import { formatTlogProof, MAX_EXTRA_BYTES, MAX_TLOG_PROOF_LENGTH, parseTlogProof } from '../../../src/core/tlog/tlog-proof.ts'
import { naiveLeaves, naivePath, naiveRoot } from '../../support/naive-tree.ts'

const codeOf = (work: () => unknown): ErrorCode | null => verdictOf(work).verdict?.code ?? null
const log = makeSigningKey('log.example', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
const leaves = naiveLeaves(11)
const index = 6
const leaf = leaves[index] ?? expect.fail()
const checkpoint = signCheckpoint({ origin: log.name, size: leaves.length, root: naiveRoot(leaves) }, [log])
const proof = { extra: Buffer.from('extra data'), index, proof: naivePath(index, leaves), checkpoint }
const HASHES = proof.proof.map((hash) => base64.encode(hash))
// 32 bytes end in two bits of padding: the last digit of their base64 with another of these is not canonical.
const SLOPPY = (HASHES[0] ?? '').replace(/(.)=$/, (_, digit: string) => `${String.fromCharCode(digit.charCodeAt(0) + 1)}=`)

describe('tlog-proof', () => {
  it('is the lines of the specification', () => {
    expect(formatTlogProof(proof)).toBe(
      ['c2sp.org/tlog-proof@v1', 'extra ZXh0cmEgZGF0YQ==', 'index 6', ...HASHES, '', checkpoint].join('\n'),
    )
    expect(formatTlogProof({ extra: null, index: 0, proof: [], checkpoint })).toBe(`c2sp.org/tlog-proof@v1\nindex 0\n\n${checkpoint}`)
  })

  it('reads back what it wrote', () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const any = fc.record({
      extra: fc.option(fc.uint8Array({ maxLength: 300 })),
      index: fc.maxSafeInteger().map(Math.abs),
      proof: fc.array(hash, { maxLength: MAX_PROOF_HASHES }),
      checkpoint: fc.constant(checkpoint),
    })
    fc.assert(
      fc.property(any, (proof) => {
        expect(parseTlogProof(formatTlogProof(proof))).toEqual(proof)
      }),
    )
  })

  it.each([
    ['nothing', ''],
    ['another version', formatTlogProof(proof).replace('@v1', '@v2')],
    ['no index', formatTlogProof(proof).replace('index 6\n', '')],
    ['two indices', formatTlogProof(proof).replace('index 6\n', 'index 6\nindex 6\n')],
    ['a leading zero', formatTlogProof(proof).replace('index 6', 'index 06')],
    ['two spaces', formatTlogProof(proof).replace('index 6', 'index  6')],
    ['an index of 2**53', formatTlogProof(proof).replace('index 6', 'index 9007199254740992')],
    ['an index in capitals', formatTlogProof(proof).replace('index 6', 'Index 6')],
    ['extra data twice', formatTlogProof(proof).replace('index 6', 'extra AA==\nindex 6')],
    ['extra data after the index', formatTlogProof({ ...proof, extra: null }).replace('index 6', 'index 6\nextra AA==')],
    ['extra data that is no base64', formatTlogProof(proof).replace('ZXh0', '!!!!')],
    ['a short hash', formatTlogProof(proof).replace(HASHES[0] ?? '', 'AAAA')],
    ['a hash with trailing bits', formatTlogProof(proof).replace(HASHES[0] ?? '', SLOPPY)],
    ['no empty line', formatTlogProof(proof).replace('\n\n', '\n')],
    ['two empty lines', formatTlogProof(proof).replace('\n\n', '\n\n\n')],
    ['no checkpoint', formatTlogProof(proof).slice(0, -checkpoint.length)],
    ['a checkpoint without signatures', formatTlogProof(proof).slice(0, formatTlogProof(proof).lastIndexOf('\n\n') + 1)],
    ['a checkpoint with an extension line', formatTlogProof(proof).replace(/\n\n\u2014/, '\nmore\n\n\u2014')],
    ['carriage returns', formatTlogProof(proof).replaceAll('\n', '\r\n')],
    ['a final line', `${formatTlogProof(proof)}\n`],
    ['a text before', ` ${formatTlogProof(proof)}`],
    ['too many hashes', formatTlogProof(proof).replace('index 6\n', `index 6\n${`${HASHES[0]}\n`.repeat(MAX_PROOF_HASHES)}`)],
    ['too long a text', formatTlogProof(proof) + ' '.repeat(MAX_TLOG_PROOF_LENGTH)],
  ])('refuses %s', (_, text) => {
    expect(text).not.toBe(formatTlogProof(proof))
    expect(codeOf(() => parseTlogProof(text))).toBe('MALFORMED_PROOF')
  })

  it('refuses to write what it would not read', () => {
    const changes = [
      { index: -1 }, { index: 0.5 }, { proof: [new Uint8Array(31)] }, { checkpoint: '' }, { checkpoint: `${checkpoint}x` },
      { extra: new Uint8Array(MAX_EXTRA_BYTES + 1) }, { proof: Array.from({ length: MAX_PROOF_HASHES + 1 }, () => leaf) },
    ]
    for (const change of changes) expect(codeOf(() => formatTlogProof({ ...proof, ...change }))).toBe('MALFORMED_PROOF')
    expect(parseTlogProof(formatTlogProof({ ...proof, extra: new Uint8Array(MAX_EXTRA_BYTES) })).extra?.length).toBe(MAX_EXTRA_BYTES)
  })

  it('proves nothing after any change of one byte outside of its extra data', () => {
    const bytes = Buffer.from(formatTlogProof(proof))
    const extraStart = bytes.indexOf('extra ')
    const extraEnd = bytes.indexOf('\nindex ')
    verifyText(bytes.toString())
    for (let i = 0; i < bytes.length; i++) {
      for (const byte of [(bytes[i] ?? 0) ^ 1, 0x0a, 0x20, 0x30, 0x41]) {
        if (byte === bytes[i]) continue
        const changed = Buffer.from(bytes)
        changed[i] = byte
        const { verdict } = verdictOf(() => verifyText(changed.toString('utf8')))
        // The extra data is not authenticated, and says so: a change of it is seen by who uses it, or by nobody.
        if (i > extraStart + 5 && i < extraEnd && verdict === null) continue
        expect(verdict, `byte ${i} changed to ${byte}`).not.toBeNull()
      }
    }
  })
})

function verifyText(text: string): void {
  const parsed = parseTlogProof(text)
  const { size, root } = openCheckpoint(parsed.checkpoint, [log]).checkpoint
  verifyInclusion({ index: parsed.index, size, leaf, proof: parsed.proof, root })
}
