import { describe, expect, it } from 'vitest'
import { type ErrorCode, verdictOf } from '../../../src/core/errors.ts'
import { formatCheckpoint, openCheckpoint, signCheckpoint } from '../../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../../src/core/tlog/cosignature.ts'
import { formatNote, formatSignatureLine, KEY_TYPES, makeSigningKey, parseNote, verifyNote } from '../../../src/core/tlog/note.ts'

const codeOf = (work: () => unknown): ErrorCode | null => verdictOf(work).verdict?.code ?? null
const seedOf = (n: number) => new Uint8Array(32).fill(n)
const origin = 'log.example/stele'
const checkpoint = { origin, size: 20_852_163, root: seedOf(0xcd) }
const log = makeSigningKey(origin, KEY_TYPES.ed25519, seedOf(1))
const lattice = makeSigningKey(origin, KEY_TYPES.mlDsa44, seedOf(1))
const witness = makeSigningKey('witness.example', KEY_TYPES.cosignature, seedOf(2))

describe('signed checkpoint', () => {
  it('opens with either of the log\'s keys, or both', () => {
    const note = signCheckpoint(checkpoint, [log, lattice], 1_700_000_000)
    expect(openCheckpoint(note, [log]).checkpoint).toEqual(checkpoint)
    expect(openCheckpoint(note, [lattice]).verified.map(({ timestamp }) => timestamp)).toEqual([1_700_000_000])
    const opened = openCheckpoint(note, [log, lattice])
    expect(opened.verified.map(({ key, timestamp }) => [key.type, timestamp])).toEqual([[1, null], [6, 1_700_000_000]])
    expect(formatNote(opened.note)).toBe(note)
    expect(openCheckpoint(signCheckpoint(checkpoint, [lattice]), [lattice]).verified[0]?.timestamp).toBe(0)
  })

  it('is signed by keys that are named like the origin and sign for logs, and by no other', () => {
    expect(codeOf(() => signCheckpoint(checkpoint, [makeSigningKey('other', 1, seedOf(1))]))).toBe('WRONG_ORIGIN')
    expect(codeOf(() => signCheckpoint(checkpoint, [log, makeSigningKey(origin, 4, seedOf(1))]))).toBe('MALFORMED_NOTE_KEY')
    expect(codeOf(() => signCheckpoint({ ...checkpoint, size: -1 }, [log]))).toBe('MALFORMED_CHECKPOINT')
    expect(() => signCheckpoint(checkpoint, [])).toThrow(/assertion failed/)
  })

  it('is not vouched for by another log\'s key, nor by a cosigner\'s', () => {
    const other = makeSigningKey('other.example', KEY_TYPES.ed25519, seedOf(3))
    const text = formatCheckpoint(checkpoint)
    const byOther = formatNote({ text, signatures: [parseNote(signCheckpoint({ ...checkpoint, origin: other.name }, [other])).signatures[0] ?? expect.fail()] })
    expect(codeOf(() => openCheckpoint(byOther, [other]))).toBe('WRONG_ORIGIN')
    expect(codeOf(() => openCheckpoint(byOther, [log, other]))).toBe('UNTRUSTED_NOTE')
    const selfCosigner = makeSigningKey(origin, KEY_TYPES.cosignature, seedOf(4))
    const cosigned = formatNote({ text, signatures: [cosign(checkpoint, selfCosigner, 1)] })
    expect(codeOf(() => openCheckpoint(cosigned, [selfCosigner]))).toBe('WRONG_ORIGIN')
    expect(codeOf(() => openCheckpoint(cosigned, [log, selfCosigner]))).toBe('UNTRUSTED_NOTE')
    expect(codeOf(() => openCheckpoint(signCheckpoint(checkpoint, [log]), []))).toBe('WRONG_ORIGIN')
  })

  it('fails, or stays what it was, after any change of one byte', () => {
    const text = formatCheckpoint(checkpoint)
    const signatures = [...parseNote(signCheckpoint(checkpoint, [log])).signatures, cosign(checkpoint, witness, 5)]
    const note = Buffer.from(formatNote({ text, signatures }))
    const logLine = note.indexOf(formatSignatureLine(signatures[0] ?? expect.fail()))
    const witnessLine = note.indexOf(formatSignatureLine(signatures[1] ?? expect.fail()))
    let harmless = 0
    for (let i = 0; i < note.length; i++) {
      for (const byte of [(note[i] ?? 0) ^ 1, 0x0a, 0x20, 0x41, 0xff]) {
        if (byte === note[i]) continue
        const changed = Buffer.from(note)
        changed[i] = byte
        const { value, verdict } = verdictOf(() => openCheckpoint(changed.toString('utf8'), [log]))
        if (value === null) {
          expect(['MALFORMED_NOTE', 'MALFORMED_CHECKPOINT', 'WRONG_ORIGIN', 'UNTRUSTED_NOTE', 'INVALID_NOTE_SIGNATURE']).toContain(verdict.code)
          continue
        }
        // Only the line of the witness, which nobody asked for, may differ.
        harmless++
        expect(i).toBeGreaterThanOrEqual(witnessLine)
        expect(value.checkpoint).toEqual(checkpoint)
        expect(codeOf(() => verifyNote(value.note, [witness]))).toBeOneOf(['INVALID_NOTE_SIGNATURE', 'UNTRUSTED_NOTE'])
      }
    }
    expect(logLine).toBe(text.length + 1)
    expect(harmless).toBeGreaterThan(100)
  })

  it('fails after a change of any bit of the key, the text or the signature of ML-DSA-44', () => {
    const note = parseNote(signCheckpoint(checkpoint, [lattice], 9))
    const signature = note.signatures[0] ?? expect.fail()
    for (let i = 0; i < signature.signature.length; i += 7) {
      const changed = { ...signature, signature: signature.signature.map((byte, at) => (at === i ? byte ^ (1 << i % 8) : byte)) }
      expect(codeOf(() => openCheckpoint(formatNote({ ...note, signatures: [changed] }), [lattice]))).toBe('INVALID_NOTE_SIGNATURE')
    }
    for (const text of [note.text.replace('20852163', '20852164'), note.text.replace('zc3N', 'zc3O')]) {
      expect(codeOf(() => openCheckpoint(formatNote({ ...note, text }), [lattice]))).toBe('INVALID_NOTE_SIGNATURE')
    }
    const renamed = { ...lattice, name: 'log.example/stole' } // the message names the cosigner
    const text = note.text.replace(origin, renamed.name)
    expect(codeOf(() => openCheckpoint(formatNote({ text, signatures: [{ ...signature, name: renamed.name }] }), [renamed]))).toBe('INVALID_NOTE_SIGNATURE')
  })
})
