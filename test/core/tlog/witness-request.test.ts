import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import { signCheckpoint } from '../../../src/core/tlog/checkpoint.ts'
import { KEY_TYPES, makeSigningKey, parseNote, type NoteSignature } from '../../../src/core/tlog/note.ts'
import { formatAddCheckpoint, formatSignSubtree, MAX_REQUEST_PROOF, MAX_SUBTREE_SIGNATURES, parseAddCheckpoint, parseSignSubtree } from '../../../src/core/tlog/witness-request.ts'

const key = makeSigningKey('log.example/é', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
const note = parseNote(signCheckpoint({ origin: key.name, size: 7, root: new Uint8Array(32).fill(2) }, [key]))
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
const size = fc.oneof(fc.nat(300), fc.maxSafeInteger().map(Math.abs))
const signature: fc.Arbitrary<NoteSignature> = fc.record({
  name: fc.constantFrom('w.example', 'log.example/é', 'old'),
  id: fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  signature: fc.uint8Array({ minLength: 1, maxLength: 80 }),
})
const hashes = (max: number) => fc.array(hash, { maxLength: max })

describe('a request to cosign a checkpoint', () => {
  it('has the form of the specification', () => {
    const body = formatAddCheckpoint({ oldSize: 5, proof: [new Uint8Array(32)], note })
    expect(body).toMatch(/^old 5\nA{43}=\n\nlog\.example\/é\n7\nAgIC\S{40}\n\n— log\.example\/é \S+\n$/)
  })

  it('is read back as it was', () => {
    fc.assert(fc.property(size, hashes(MAX_REQUEST_PROOF), (oldSize, proof) => {
      const request = { oldSize, proof, note }
      expect(parseAddCheckpoint(formatAddCheckpoint(request))).toEqual(request)
    }))
  })

  it.each([
    ['nothing', ''],
    ['no empty line', 'old 5\n'],
    ['no checkpoint', 'old 5\n\n'],
    ['no old size', '\n\nx\n\n— a AAAAAAA=\n'],
    ['another word', 'new 5\n\nCHECKPOINT'],
    ['a leading zero', 'old 05\n\nCHECKPOINT'],
    ['a sign', 'old +5\n\nCHECKPOINT'],
    ['two spaces', 'old  5\n\nCHECKPOINT'],
    ['a space at the end', 'old 5 \n\nCHECKPOINT'],
    ['a carriage return', 'old 5\r\n\nCHECKPOINT'],
    ['a size of 2**53', 'old 9007199254740992\n\nCHECKPOINT'],
    ['a hash of 31 bytes', `old 5\n${Buffer.alloc(31).toString('base64')}\n\nCHECKPOINT`],
    ['a hash of 33 bytes', `old 5\n${Buffer.alloc(33).toString('base64')}\n\nCHECKPOINT`],
    ['a hash without padding', `old 5\n${'A'.repeat(43)}\n\nCHECKPOINT`],
    ['a hash with loose bits', `old 5\n${'A'.repeat(42)}B=\n\nCHECKPOINT`],
    ['64 hashes', `old 5\n${`${'A'.repeat(43)}=\n`.repeat(64)}\nCHECKPOINT`],
    ['a byte order mark', '\ufeffold 5\n\nCHECKPOINT'],
    ['text after the signatures', 'old 5\n\nCHECKPOINTx'],
  ])('is refused with %s', (_, body) => {
    const whole = body.replace('CHECKPOINT', formatAddCheckpoint({ oldSize: 0, proof: [], note }).slice('old 0\n\n'.length))
    expect(verdictOf(() => parseAddCheckpoint(whole)).verdict?.code).toBeOneOf(['MALFORMED_PROOF', 'MALFORMED_NOTE'])
  })
})

describe('a request to cosign a subtree', () => {
  const signatures = fc.array(signature, { maxLength: MAX_SUBTREE_SIGNATURES })

  it('is read back as it was, with and without signatures', () => {
    fc.assert(fc.property(size, size, hash, signatures, hashes(MAX_REQUEST_PROOF), signatures, (start, end, hash, cosignatures, proof, signed) => {
      const request = { start, end, hash, cosignatures, proof, text: note.text, signatures: signed }
      expect(parseSignSubtree(formatSignSubtree(request))).toEqual(request)
    }))
  })

  it.each([
    ['one number', 'subtree 4\nHASH\n\nTEXT'],
    ['three numbers', 'subtree 4 5 6\nHASH\n\nTEXT'],
    ['no hash', 'subtree 4 5\n\nTEXT'],
    ['a cosignature before the hash', 'subtree 4 5\nLINE\nHASH\n\nTEXT'],
    ['a cosignature after a proof', 'subtree 4 5\nHASH\nHASH\nLINE\n\nTEXT'],
    ['nine cosignatures', `subtree 4 5\nHASH\n${'LINE\n'.repeat(9)}\nTEXT`],
    ['nine signatures', `subtree 4 5\nHASH\n\nTEXT\n${'LINE\n'.repeat(9)}`],
    ['64 hashes of the proof', `subtree 4 5\nHASH\n${'HASH\n'.repeat(64)}\nTEXT`],
    ['an empty line at the end of an unsigned checkpoint', 'subtree 4 5\nHASH\n\nTEXT\n'],
  ])('is refused with %s', (_, pattern) => {
    const body = pattern.replaceAll('HASH', `${'A'.repeat(43)}=`).replaceAll('LINE', '\u2014 w.example AAAAAAA=').replace('TEXT', note.text)
    expect(verdictOf(() => parseSignSubtree(body)).verdict?.code).toBeOneOf(['MALFORMED_PROOF', 'MALFORMED_NOTE'])
  })
})
