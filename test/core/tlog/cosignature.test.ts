import { describe, expect, it } from 'vitest'
import { type ErrorCode, verdictOf } from '../../../src/core/errors.ts'
import { signCheckpoint } from '../../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../../src/core/tlog/cosignature.ts'
import { formatNote, KEY_TYPES, makeSigningKey, parseNote, verifyNote } from '../../../src/core/tlog/note.ts'

const codeOf = (work: () => unknown): ErrorCode | null => verdictOf(work).verdict?.code ?? null
const seedOf = (n: number) => new Uint8Array(32).fill(n)
const checkpoint = { origin: 'log.example/stele', size: 20_852_163, root: seedOf(0xcd) }
const log = makeSigningKey(checkpoint.origin, KEY_TYPES.ed25519, seedOf(1))
const witness = makeSigningKey('witness.example', KEY_TYPES.cosignature, seedOf(2))

describe('cosignature', () => {
  it('stands beside the log\'s signature and proves key and time, with each type', () => {
    const strong = makeSigningKey('mirror.example', KEY_TYPES.mlDsa44, seedOf(7))
    const note = parseNote(signCheckpoint(checkpoint, [log]))
    const both = { ...note, signatures: [...note.signatures, cosign(checkpoint, witness, 11), cosign(checkpoint, strong, 12)] }
    const verified = verifyNote(parseNote(formatNote(both)), [strong, witness])
    expect(verified.map(({ key, timestamp }) => [key.name, timestamp])).toEqual([['witness.example', 11], ['mirror.example', 12]])
    expect(both.signatures[1]?.signature.length).toBe(72)
    expect(both.signatures[2]?.signature.length).toBe(2428)
  })

  it('is not made with a key that signs notes, nor for what is no checkpoint', () => {
    expect(codeOf(() => cosign(checkpoint, log, 1))).toBe('MALFORMED_NOTE_KEY')
    expect(codeOf(() => cosign({ ...checkpoint, origin: '' }, witness, 1))).toBe('MALFORMED_CHECKPOINT')
    expect(codeOf(() => cosign(checkpoint, witness, -1))).toBe('MALFORMED_NOTE')
  })
})
