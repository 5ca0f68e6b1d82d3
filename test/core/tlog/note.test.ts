import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { base64, concatBytes } from '../../../src/core/encoding/text.ts'
import { type ErrorCode, verdictOf } from '../../../src/core/errors.ts'
import { subtreeMessage } from '../../../src/core/tlog/cosigned-message.ts'
import {
  formatNote,
  formatSignatureLine,
  formatSigningKey,
  formatVerifierKey,
  isKeyName,
  KEY_TYPES,
  makeSigningKey,
  MAX_NOTE_LENGTH,
  MAX_NOTE_SIGNATURES,
  type NoteSignature,
  parseNote,
  parseSignatureLine,
  parseSigningKey,
  parseVerifierKey,
  type SigningKey,
  signText,
  type VerifierKey,
  verifyNote,
} from '../../../src/core/tlog/note.ts'

const codeOf = (work: () => unknown): ErrorCode | null => verdictOf(work).verdict?.code ?? null
const seedOf = (n: number) => new Uint8Array(32).fill(n)
const ROOT = seedOf(5)
const CHECKPOINT = `log.example\n4294967297\n${base64.encode(ROOT)}\n`
const log = makeSigningKey('log.example', KEY_TYPES.ed25519, seedOf(1))
const witness = makeSigningKey('witness.example/w1', KEY_TYPES.cosignature, seedOf(2))
const lattice = makeSigningKey('witness.example/w2', KEY_TYPES.mlDsa44, seedOf(3))
const unknown: NoteSignature = { name: 'stranger.example', id: '00c0ffee', signature: Uint8Array.of(1) }

// The example of the Go package note, by which its own tests check.
const GO_KEY = 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz'
const GO_VKEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
const GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
const GO_NOTE = `${GO_TEXT}\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`

describe('keys', () => {
  it('reads the example key of the specification', () => {
    const vkey = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'
    const key = parseVerifierKey(vkey)
    expect([key.name, key.id, key.type, key.publicKey.length]).toEqual(['example.com/foo', '530d903a', 0x01, 32])
    expect(formatVerifierKey(key)).toBe(vkey)
  })

  it('reads a signing key in the form of Go, and gives it back', () => {
    const key = parseSigningKey(GO_KEY)
    expect(formatVerifierKey(key)).toBe(GO_VKEY)
    expect(formatSigningKey(key)).toBe(GO_KEY)
  })

  it('derives the public key and the id of each type as OpenSSL and the definition do', () => {
    for (const key of [log, witness, lattice]) {
      const publicKey = new Uint8Array(opensslPublicKey(key))
      const id = createHash('sha256').update(key.name).update(Uint8Array.of(0x0a, key.type)).update(publicKey).digest('hex').slice(0, 8)
      expect(key.publicKey).toEqual(publicKey)
      expect(key.id).toBe(id)
      expect(parseVerifierKey(formatVerifierKey(key))).toEqual({ name: key.name, id, type: key.type, publicKey })
      expect(parseSigningKey(formatSigningKey(key))).toEqual(key)
    }
  })

  it.each([
    '', 'a', 'a+b', 'a+530d903a+', '+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
    'example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k', // another id
    'example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k', // another name
    'example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k', // upper case
    'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2l', // other trailing bits or key
    'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n',
    ' example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
    'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==', // short
    `a+00000000+${'A'.repeat(4000)}`,
  ])('refuses the verifier key %j', (vkey) => {
    expect(codeOf(() => parseVerifierKey(vkey))).toBe('MALFORMED_NOTE_KEY')
  })

  it('refuses keys of other types, seeds of other lengths, and names that a line could not carry', () => {
    for (const type of [0x00, 0x02, 0x03, 0x05, 0x07, 0xff]) {
      expect(codeOf(() => makeSigningKey('a', type, seedOf(1)))).toBe('MALFORMED_NOTE_KEY')
      expect(codeOf(() => parseVerifierKey(formatVerifierKey({ ...log, type })))).toBe('MALFORMED_NOTE_KEY')
    }
    expect(codeOf(() => makeSigningKey('a', 1, new Uint8Array(31)))).toBe('MALFORMED_NOTE_KEY')
    expect(codeOf(() => parseSigningKey(GO_VKEY))).toBe('MALFORMED_NOTE_KEY')
    expect(codeOf(() => parseSigningKey(GO_KEY.replace('PRIVATE', 'private')))).toBe('MALFORMED_NOTE_KEY')
    expect(codeOf(() => parseSigningKey(GO_KEY.replace('c74f20a3', 'c74f20a4')))).toBe('MALFORMED_NOTE_KEY')
    for (const name of ['', 'a b', 'a+b', 'a\u00a0b', 'a\u0085', 'a\u2003', 'a\u3000', '\u1680', 'a\tb', 'a\nb', 'a\u0000', 'a\ud800']) {
      expect(isKeyName(name)).toBe(false)
      expect(codeOf(() => makeSigningKey(name, 1, seedOf(1)))).toBe('MALFORMED_NOTE_KEY')
    }
    for (const name of ['a', 'log.example/2026', 'größe', '\u{1f5ff}', 'a-b_c~']) expect(isKeyName(name)).toBe(true)
  })
})

describe('note', () => {
  it('opens and makes the example note of Go, byte for byte', () => {
    const note = parseNote(GO_NOTE)
    expect(note.text).toBe(GO_TEXT)
    expect(verifyNote(note, [parseVerifierKey(GO_VKEY)]).map(({ key }) => formatVerifierKey(key))).toEqual([GO_VKEY])
    expect(formatNote({ text: GO_TEXT, signatures: [signText(GO_TEXT, parseSigningKey(GO_KEY))] })).toBe(GO_NOTE)
  })

  it('signs with each type what OpenSSL verifies, and verifies what OpenSSL signs', () => {
    const time = 1_679_315_147
    const timed = concatBytes(new Uint8Array(4), Uint8Array.of(0x64, 0x18, 0x50, 0xcb))
    const cases: [SigningKey, number | null, Uint8Array][] = [
      [log, null, Buffer.from(CHECKPOINT)],
      [witness, time, Buffer.from(`cosignature/v1\ntime 1679315147\n${CHECKPOINT}`)],
      [lattice, time, subtreeMessage({ cosigner: lattice.name, timestamp: time, origin: 'log.example', start: 0, end: 2 ** 32 + 1, hash: ROOT })],
    ]
    for (const [key, timestamp, message] of cases) {
      const prefix = timestamp === null ? new Uint8Array(0) : timed
      const ours = signText(CHECKPOINT, key, timestamp)
      expect([ours.name, ours.id]).toEqual([key.name, key.id])
      expect(ours.signature.subarray(0, prefix.length)).toEqual(prefix)
      expect(verify(null, message, createPublicKey(opensslKey(key)), ours.signature.subarray(prefix.length))).toBe(true)
      const theirs = { ...ours, signature: concatBytes(prefix, sign(null, message, opensslKey(key))) }
      const note = parseNote(formatNote({ text: CHECKPOINT, signatures: [theirs] }))
      expect(verifyNote(note, [key])).toEqual([{ key, timestamp, signature: theirs }])
    }
  })

  it('gives equal signatures for equal inputs, with each type', () => {
    for (const [key, time] of [[log, null], [witness, 7], [lattice, 7]] as const) {
      expect(signText(CHECKPOINT, key, time)).toEqual(signText(CHECKPOINT, key, time))
    }
  })

  it('takes what stands before the last empty line as the text', () => {
    for (const text of ['a\n', 'a\n\nb\n', '\n', '\n\n\n', 'a\n\n', '\u2014 a YWJjZGU=\n\n\u2014 b YWJjZGU=\n', 'größe \u{1f5ff}\n']) {
      const note = { text, signatures: [unknown, signText(text, log)] }
      expect(parseNote(formatNote(note))).toEqual(note)
      expect(verifyNote(parseNote(formatNote(note)), [log]).length).toBe(1)
    }
  })

  it.each([
    ['nothing', ''],
    ['no empty line', 'a\n\u2014 b YWJjZGU=\n'],
    ['no signature', 'a\n\n'],
    ['no text', '\n\u2014 b YWJjZGU=\n'],
    ['no final newline', 'a\n\n\u2014 b YWJjZGU='],
    ['another final character', 'a\n\n\u2014 b YWJjZGU=X'],
    ['text after the signatures', 'a\n\n\u2014 b YWJjZGU=\nc\n'],
    ['a hyphen for the dash', 'a\n\n- b YWJjZGU=\n'],
    ['an en dash', 'a\n\n\u2013 b YWJjZGU=\n'],
    ['no space after the dash', 'a\n\n\u2014b YWJjZGU=\n'],
    ['two spaces after the dash', 'a\n\n\u2014  b YWJjZGU=\n'],
    ['two spaces after the name', 'a\n\n\u2014 b  YWJjZGU=\n'],
    ['a space at the end', 'a\n\n\u2014 b YWJjZGU= \n'],
    ['a carriage return', 'a\n\n\u2014 b YWJjZGU=\r\n'],
    ['carriage returns in the text', 'a\r\n\n\u2014 b YWJjZGU=\n'],
    ['a tab in the text', 'a\tb\n\n\u2014 b YWJjZGU=\n'],
    ['a zero byte in the text', 'a\u0000\n\n\u2014 b YWJjZGU=\n'],
    ['a lone surrogate in the text', 'a\ud800\n\n\u2014 b YWJjZGU=\n'],
    ['no name', 'a\n\n\u2014  YWJjZGU=\n'],
    ['a plus in the name', 'a\n\n\u2014 b+c YWJjZGU=\n'],
    ['a no-break space in the name', 'a\n\n\u2014 b\u00a0c YWJjZGU=\n'],
    ['a next-line character in the name', 'a\n\n\u2014 b\u0085c YWJjZGU=\n'],
    ['a signature of nothing', 'a\n\n\u2014 b YWJjZA==\n'],
    ['an id cut short', 'a\n\n\u2014 b YWJj\n'],
    ['no base64', 'a\n\n\u2014 b !!!!\n'],
    ['base64 without padding', 'a\n\n\u2014 b YWJjZGU\n'],
    ['base64 with trailing bits', 'a\n\n\u2014 b YWJjZGV=\n'],
    ['base64 for URLs', 'a\n\n\u2014 b YWJj_-8=\n'],
  ])('refuses %s', (_, text) => {
    expect(codeOf(() => parseNote(text))).toBe('MALFORMED_NOTE')
  })

  it('refuses to write what it would not read', () => {
    for (const text of ['', 'a', 'a\tb\n', 'a\ud800\n']) {
      expect(codeOf(() => formatNote({ text, signatures: [unknown] }))).toBe('MALFORMED_NOTE')
    }
    expect(codeOf(() => formatNote({ text: 'a\n', signatures: [] }))).toBe('MALFORMED_NOTE')
    const broken: Partial<NoteSignature>[] = [{ name: 'a b' }, { name: '' }, { id: '00C0FFEE' }, { id: '00c0ff' }, { id: '00c0ffee00' }, { id: 'zzzzzzzz' }, { signature: new Uint8Array(0) }]
    for (const change of broken) expect(codeOf(() => formatSignatureLine({ ...unknown, ...change }))).toBe('MALFORMED_NOTE')
  })

  it('reads a signature line by itself as strictly as in a note', () => {
    const line = formatSignatureLine(unknown)
    expect(parseSignatureLine(line)).toEqual(unknown)
    for (const wrong of ['', line.slice(2), line.replace('\u2014', '-'), `${line}\n`, `${line} `, `${line} x`, ` ${line}`, line.replace(' ', '  '), line.replace('\u2014', 'x\u2014')]) {
      expect(codeOf(() => parseSignatureLine(wrong))).toBe('MALFORMED_NOTE')
    }
  })

  it('accepts 100 signatures and no more, and bounds the length before it reads', () => {
    const many = Array.from({ length: MAX_NOTE_SIGNATURES }, () => unknown)
    const note = parseNote(formatNote({ text: CHECKPOINT, signatures: [...many.slice(1), signText(CHECKPOINT, log)] }))
    expect(verifyNote(note, [log]).length).toBe(1)
    const line = `${formatSignatureLine(unknown)}\n`
    expect(codeOf(() => parseNote(`a\n\n${line.repeat(MAX_NOTE_SIGNATURES + 1)}`))).toBe('MALFORMED_NOTE')
    expect(codeOf(() => formatNote({ text: 'a\n', signatures: [...many, unknown] }))).toBe('MALFORMED_NOTE')
    expect(codeOf(() => parseNote('a'.repeat(MAX_NOTE_LENGTH) + GO_NOTE))).toBe('MALFORMED_NOTE')
  })

  it('reads back every note that it writes', () => {
    const name = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }).filter(isKeyName)
    const id = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes).toString('hex'))
    const signature = fc.record({ name, id, signature: fc.uint8Array({ minLength: 1, maxLength: 100 }) })
    const line = fc.string({ unit: 'grapheme' }).map((text) => `${text.replaceAll(/\p{Cc}/gu, '')}\n`)
    const note = fc.record({ text: fc.array(line, { minLength: 1 }).map((lines) => lines.join('')), signatures: fc.array(signature, { minLength: 1, maxLength: 20 }) })
    fc.assert(
      fc.property(note, (note) => {
        expect(parseNote(formatNote(note))).toEqual(note)
      }),
    )
    fc.assert(
      fc.property(signature, (signature) => {
        expect(parseSignatureLine(formatSignatureLine(signature))).toEqual(signature)
      }),
    )
  })

  it('ignores signatures by unknown keys: by name, by id, or both', () => {
    const good = signText(CHECKPOINT, log)
    const strangers = [unknown, { ...good, name: 'other.example' }, { ...good, id: '00000000' }, { ...witness, signature: Uint8Array.of(1, 2) }]
    expect(verifyNote({ text: CHECKPOINT, signatures: [...strangers, good] }, [log, lattice]).map(({ key }) => key.id)).toEqual([log.id])
    expect(codeOf(() => verifyNote({ text: CHECKPOINT, signatures: strangers }, [log, lattice]))).toBe('UNTRUSTED_NOTE')
    expect(codeOf(() => verifyNote({ text: CHECKPOINT, signatures: [good] }, []))).toBe('UNTRUSTED_NOTE')
  })

  it('lists a line that is repeated as often as it stands, and rejects a copy with another time or a changed byte', () => {
    const signature = signText(CHECKPOINT, lattice, 1_800_000_000)
    const note = (...signatures: NoteSignature[]) => ({ text: CHECKPOINT, signatures })
    const copies = Array.from({ length: MAX_NOTE_SIGNATURES }, () => ({ ...signature }))
    const verified = verifyNote(note(...copies), [lattice])
    expect(verified).toEqual(copies.map((signature) => ({ key: lattice, timestamp: 1_800_000_000, signature })))
    for (const [i, one] of verified.entries()) expect(one.signature).toBe(copies[i])
    for (const at of [7, 8, 2427]) {
      const changed = { ...signature, signature: signature.signature.with(at, (signature.signature[at] ?? 0) ^ 1) }
      expect(codeOf(() => verifyNote(note(signature, changed), [lattice]))).toBe('INVALID_NOTE_SIGNATURE')
    }
  })

  it('rejects the whole note where one signature by a known key does not verify', () => {
    const [good, timed, large] = [signText(CHECKPOINT, log), signText(CHECKPOINT, witness, 7), signText(CHECKPOINT, lattice, 7)]
    const keys: VerifierKey[] = [log, witness, lattice]
    expect(verifyNote({ text: CHECKPOINT, signatures: [good, timed, large] }, keys).map(({ timestamp }) => timestamp)).toEqual([null, 7, 7])
    for (const signature of [good, timed, large]) {
      const bytes = signature.signature
      const wrong = [bytes.subarray(1), concatBytes(bytes, Uint8Array.of(0)), flip(bytes, 0), flip(bytes, 7), flip(bytes, bytes.length - 1), Uint8Array.of(1)]
      for (const changed of wrong) {
        const signatures = [good, timed, large, { ...signature, signature: changed }]
        expect(codeOf(() => verifyNote({ text: CHECKPOINT, signatures }, keys))).toBe('INVALID_NOTE_SIGNATURE')
      }
    }
    expect(codeOf(() => verifyNote({ text: `${CHECKPOINT}x\n`, signatures: [large] }, keys))).toBe('INVALID_NOTE_SIGNATURE')
    expect(codeOf(() => verifyNote({ text: GO_TEXT, signatures: [large] }, keys))).toBe('INVALID_NOTE_SIGNATURE')
  })

  it('does not take a signature of one type for one of another by the same seed', () => {
    const [plain, cosigner] = [0x01, 0x04].map((type) => makeSigningKey('a', type, seedOf(1)))
    if (plain === undefined || cosigner === undefined) expect.fail()
    expect(plain.publicKey).toEqual(cosigner.publicKey)
    expect(plain.id).not.toBe(cosigner.id)
    const signature = { ...signText(CHECKPOINT, plain), id: cosigner.id }
    expect(codeOf(() => verifyNote({ text: CHECKPOINT, signatures: [signature] }, [cosigner]))).toBe('INVALID_NOTE_SIGNATURE')
  })

  it('tries every key of the same name and id, for ids are short', () => {
    const good = signText(CHECKPOINT, log)
    const collision: VerifierKey = { ...makeSigningKey(log.name, 0x01, seedOf(9)), id: log.id }
    expect(verifyNote({ text: CHECKPOINT, signatures: [good] }, [collision, log]).map(({ key }) => key)).toEqual([log])
    expect(codeOf(() => verifyNote({ text: CHECKPOINT, signatures: [good] }, [collision]))).toBe('INVALID_NOTE_SIGNATURE')
  })

  it('wants a time for a cosignature and none for a signature', () => {
    expect(codeOf(() => signText(CHECKPOINT, log, 1))).toBe('MALFORMED_NOTE_KEY')
    expect(codeOf(() => signText(CHECKPOINT, witness))).toBe('MALFORMED_NOTE_KEY')
    expect(codeOf(() => signText(CHECKPOINT, lattice))).toBe('MALFORMED_NOTE_KEY')
    expect(codeOf(() => signText(GO_TEXT, lattice, 1))).toBe('MALFORMED_CHECKPOINT')
    for (const time of [-1, 0.5, 2 ** 53, Number.NaN]) expect(codeOf(() => signText(CHECKPOINT, witness, time))).toBe('MALFORMED_NOTE')
  })

  it('refuses a time above 2**53 - 1, whoever signed it', () => {
    const message = `cosignature/v1\ntime 9007199254740992\n${CHECKPOINT}`
    const signature = concatBytes(Uint8Array.of(0, 0x20, 0, 0, 0, 0, 0, 0), sign(null, Buffer.from(message), opensslKey(witness)))
    const note = { text: CHECKPOINT, signatures: [{ name: witness.name, id: witness.id, signature }] }
    expect(codeOf(() => verifyNote(note, [witness]))).toBe('INVALID_NOTE_SIGNATURE')
    const latest = signText(CHECKPOINT, witness, Number.MAX_SAFE_INTEGER)
    expect(verifyNote({ text: CHECKPOINT, signatures: [latest] }, [witness])[0]?.timestamp).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('does not accept Ed25519 keys of small order, which verify anything', () => {
    const publicKey = Uint8Array.of(1, ...new Uint8Array(31))
    const weak: VerifierKey = { name: 'weak', id: '00000001', type: 0x01, publicKey }
    const signature = concatBytes(publicKey, new Uint8Array(32))
    const note = { text: CHECKPOINT, signatures: [{ name: 'weak', id: '00000001', signature }] }
    expect(codeOf(() => verifyNote(note, [weak]))).toBe('INVALID_NOTE_SIGNATURE')
  })
})

/** The same secret in OpenSSL: PKCS #8 that holds the seed alone. */
function opensslKey(key: SigningKey): KeyObject {
  const prefix = key.type === 0x06 ? '3034020100300b060960864801650304031104228020' : '302e020100300506032b657004220420'
  return createPrivateKey({ key: Buffer.concat([Buffer.from(prefix, 'hex'), key.seed]), format: 'der', type: 'pkcs8' })
}

function opensslPublicKey(key: SigningKey): Buffer {
  const spki = createPublicKey(opensslKey(key)).export({ format: 'der', type: 'spki' })
  return spki.subarray(key.type === 0x06 ? -1312 : -32)
}

function flip(bytes: Uint8Array, i: number): Uint8Array {
  return bytes.map((byte, at) => (at === i ? byte ^ 1 : byte))
}
