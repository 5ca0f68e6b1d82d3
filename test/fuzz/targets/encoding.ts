// Fuzz targets of src/core/encoding, each against an implementation that shares nothing with ours.

import { cidOf, normalizeCid, parseCid } from '../../../src/core/encoding/cid.ts'
import { decodeCbor, encodeCbor, isCborArray, isCborMap, type CborValue } from '../../../src/core/encoding/dag-cbor.ts'
import { fromJson, renderJson } from '../../../src/core/encoding/json.ts'
import { base32, base58btc, base64, base64url, hex, parseDecimal, utf8Decode, utf8Encode, type TextCodec } from '../../../src/core/encoding/text.ts'
import { formatTimestamp, parseTimestamp } from '../../../src/core/encoding/timestamp.ts'
import { ByteWriter, writeJson } from '../../../src/core/encoding/transcode.ts'
import { decodeTheirs, encodeTheirs, inModel } from '../../support/ipld.ts'
import { accepted, bytesOfAll, must, mustEqual, mustEqualBytes, type Target } from '../target.ts'
import { textOf } from '../tree.ts'

const VALUES: readonly CborValue[] = [
  null,
  '',
  'x'.repeat(300),
  ['a', null, ['b', ['c', []]]],
  new Map<string, CborValue>([['', 'x'], ['9', null], ['10', ['y']], ['__proto__', '\u{1f600}'], ['\uffff', 'é'], ['\u{10000}', '\0']]),
  new Map([['a', new Map([['b', new Map([['c', new Map([['d', null]])]])]])]]),
  Array.from({ length: 30 }, (_, i) => 'y'.repeat(i)),
]

const CID_BYTES = [new Uint8Array(0), Uint8Array.of(1), new Uint8Array(100).fill(7)]
const CIDS = CID_BYTES.map(cidOf)
const CIDS_58 = CIDS.map((cid) => `z${base58btc.encode(base32.decode(cid.slice(1)))}`)

const CIDS_OF_OTHER_LENGTHS = [0, 4, 31, 33].map((length) => `z${base58btc.encode(Uint8Array.from([1, 0x71, 0x12, 0x20, ...Array<number>(length).fill(9)]))}`)

const SAMPLES = [
  new Uint8Array(0), Uint8Array.of(0), Uint8Array.of(0, 0, 255), new Uint8Array(33).fill(0x5a),
  Uint8Array.from({ length: 64 }, (_, i) => i * 37),
]

const TIMES = [
  '0000-01-01T00:00:00.000Z', '1969-12-31T23:59:59.999Z', '2000-02-29T12:00:00.000Z', '2026-08-01T12:34:56.789Z', '9999-12-31T23:59:59.999Z',
]

export const ENCODING_TARGETS: readonly Target[] = [
  {
    name: 'DAG-CBOR',
    form: 'cbor',
    seeds: VALUES.map(encodeCbor),
    words: ['a', '__proto__', '9'],
    hostile: [
      new Uint8Array(100_000).fill(0x81),
      new Uint8Array(100_000).fill(0x80),
      Buffer.from(`9affffffff${'80'.repeat(50_000)}`, 'hex'),
      Buffer.from(`baffffffff${'6161f6'.repeat(30_000)}`, 'hex'),
      Buffer.from(`7affffffff${'61'.repeat(50_000)}`, 'hex'),
      encodeCbor('\u{1f600}'.repeat(20_000)),
      encodeCbor(new Map(Array.from({ length: 5_000 }, (_, i) => [`key ${i}`, null]))),
    ],
    run(input) {
      const ours = accepted(() => decodeCbor(input))
      // Their reader drops a byte order mark at the beginning of a text, so two keys may become one.
      const comparable = Buffer.from(input).indexOf('\ufeff') < 0
      const theirs = comparable ? decodeTheirs(input) : null
      if (ours === null) {
        // Theirs are all of DAG-CBOR, and do not insist on the order of keys: only what is canonical and ours counts.
        if (theirs !== null && inModel(theirs.value)) must(
          Buffer.compare(encodeTheirs(theirs.value), input) !== 0, 'canonical and in the data model is accepted',
        )
        return false
      }
      mustEqualBytes(encodeCbor(ours.value), input, 'what is accepted encodes to the same bytes')
      must(theirs !== null || !comparable, 'what we accept @ipld/dag-cbor accepts')
      must(theirs === null || isSame(ours.value, theirs.value), '@ipld/dag-cbor reads the same value')
      return true
    },
  },
  {
    name: 'DAG-CBOR as JSON',
    form: 'cbor',
    seeds: VALUES.map(encodeCbor),
    words: ['a', '__proto__', '9'],
    hostile: [
      new Uint8Array(100_000).fill(0x81),
      Buffer.from(`9affffffff${'80'.repeat(50_000)}`, 'hex'),
      Buffer.from(`baffffffff${'6131f66161f6'.repeat(20_000)}`, 'hex'),
      Buffer.from(`7affffffff${'00'.repeat(50_000)}`, 'hex'),
      encodeCbor('\0'.repeat(100_000)),
    ],
    run(input) {
      const out = new ByteWriter(1)
      const end = accepted(() => writeJson(out, new DataView(input.buffer, input.byteOffset, input.length), 0))
      must(end === null || end.value <= input.length, 'a value ends within its bytes')
      must(out.length <= out.bytes.length, 'all that is written has its place')
      const value = accepted(() => decodeCbor(input))
      if (value === null) return false
      must(end?.value === input.length, 'what can be decoded can be written')
      mustEqualBytes(out.written(), Buffer.from(renderJson(value.value)), 'it is what rendering gives')
      return true
    },
  },
  {
    name: 'JSON',
    form: 'json',
    seeds: bytesOfAll(VALUES.map(renderJson)),
    words: ['a', '__proto__', '9'],
    hostile: bytesOfAll([
      '['.repeat(50_000) + ']'.repeat(50_000), '{"a":'.repeat(20_000) + '1' + '}'.repeat(20_000), `[${'[],'.repeat(30_000)}null]`,
    ]),
    run(input) {
      const json = parsedJson(textOf(input))
      const ours = json === null ? null : accepted(() => fromJson(json.value))
      if (ours === null) return false
      const text = renderJson(ours.value)
      const again = fromJson(JSON.parse(text))
      mustEqualBytes(encodeCbor(again), encodeCbor(ours.value), 'JSON keeps the value')
      mustEqual(renderJson(again), text, 'rendered JSON is a fixed point')
      return true
    },
  },
  {
    name: 'UTF-8',
    form: 'text',
    seeds: bytesOfAll(['', 'abc', '\0\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\u{10000}\u{10ffff}', '\ufeffa', 'é'.repeat(5_000)]),
    words: [],
    hostile: [new Uint8Array(120_000).fill(0x61), Buffer.from('\u{1f600}'.repeat(30_000)), new Uint8Array(120_000).fill(0xf0)],
    run(input) {
      const units = textOf(input)
      const encoded = accepted(() => utf8Encode(units))
      must((encoded !== null) === units.isWellFormed(), 'text is encoded where it is well formed')
      if (encoded !== null) mustEqualBytes(encoded.value, new TextEncoder().encode(units), 'TextEncoder gives the same bytes')
      const ours = accepted(() => utf8Decode(input))
      mustEqual(ours, decodeStrictly(input), 'TextDecoder gives the same verdict and text')
      if (ours !== null) mustEqualBytes(utf8Encode(ours.value), input, 'what is accepted encodes to the same bytes')
      return ours !== null
    },
  },
  codecTarget('base64', base64, (text) => sameAgain(text, 'base64')),
  codecTarget('base64url', base64url, (text) => sameAgain(text, 'base64url')),
  codecTarget('hexadecimal', hex, (text) => sameAgain(text, 'hex')),
  codecTarget('base32', base32, decodeBase32),
  codecTarget('base58btc', base58btc, decodeBase58),
  {
    name: 'decimal numbers',
    form: 'text',
    seeds: bytesOfAll(['0', '7', '10', '4294967296', '9007199254740991']),
    words: ['9007199254740992', '9007199254740993', '-0', '1e3', '0x1f', 'Infinity', 'NaN', '\u0661', ' '],
    hostile: bytesOfAll(['9'.repeat(100_000), '0'.repeat(100_000)]),
    run(input) {
      const text = textOf(input)
      const ours = accepted(() => parseDecimal(text))
      const valid = /^(0|[1-9][0-9]{0,15})$/.test(text) && BigInt(text) <= BigInt(Number.MAX_SAFE_INTEGER)
      must((ours !== null) === valid, 'a decimal number is accepted, nothing else')
      if (ours !== null) mustEqual(BigInt(ours.value), BigInt(text), 'it is that number')
      return valid
    },
  },
  {
    name: 'timestamps',
    form: 'text',
    seeds: bytesOfAll(TIMES),
    words: ['24:00:00', '-02-29', '-02-30', '-00-', '-13-', ':60.', '+010000', '-000001', '+00:00'],
    run(input) {
      const text = textOf(input)
      const ours = accepted(() => parseTimestamp(text))
      const date = new Date(/^\d{4}-\d{2}-\d{2}T[\d:.]{12}Z$/.test(text) ? text : NaN)
      const valid = !Number.isNaN(date.getTime()) && date.toISOString() === text
      must((ours !== null) === valid, 'what Date writes is accepted, nothing else')
      if (ours === null) return false
      must(ours.value === date.getTime(), 'it is that time')
      mustEqual(formatTimestamp(ours.value), text, 'what is accepted is written the same')
      return true
    },
  },
  {
    name: 'CIDs',
    form: 'text',
    seeds: bytesOfAll([...CIDS, ...CIDS_58]),
    words: ['bafyrei', 'bafkrei', 'zdpu', 'Qm', 'B', 'f0171'],
    hostile: bytesOfAll([
      ...CIDS_OF_OTHER_LENGTHS, `z${'1'.repeat(100_000)}`, `z${'2'.repeat(100_000)}`, `b${'a'.repeat(100_000)}`, CIDS[0]?.toUpperCase() ?? '',
    ]),
    run(input) {
      const text = textOf(input)
      const [strict, lax] = [accepted(() => parseCid(text)), accepted(() => normalizeCid(text))]
      const bytes = text.length > 70 ? null : text.startsWith('b') ? decodeBase32(text.slice(1)) : text.startsWith('z') ? decodeBase58(text.slice(1)) : null
      const digest = bytes?.length === 36 && bytes.subarray(0, 4).toString('hex') === '01711220' ? bytes.subarray(4) : null
      must((lax !== null) === (digest !== null), 'a CIDv1 of DAG-CBOR by SHA-256 in base32 or base58btc is accepted, nothing else')
      must((strict !== null) === (digest !== null && text.startsWith('b')), 'a strict reader accepts base32 only')
      if (digest === null || lax === null) return false
      if (strict !== null) mustEqualBytes(strict.value, digest, 'it is that hash')
      mustEqual(decodeBase32(lax.value.slice(1))?.subarray(4), digest, 'it means the same in base32')
      if (strict !== null) mustEqual(lax.value, text, 'base32 is kept as it is')
      return true
    },
  },
]

function codecTarget(name: string, codec: TextCodec, oracle: (text: string) => Uint8Array | null): Target {
  return {
    name,
    form: 'text',
    seeds: bytesOfAll(SAMPLES.map((bytes) => codec.encode(bytes))),
    words: ['=', '==', '-', '_', '+', '/', '1', '0', 'l', 'O', 'A', '\n'],
    // base58btc is for short texts: its callers bound them, with tests of their own.
    hostile: bytesOfAll(['A'.repeat(2_000), '1'.repeat(2_000), 'z'.repeat(2_000)].map((text) => text.repeat(name === 'base58btc' ? 1 : 50))),
    run(input) {
      const text = textOf(name === 'base58btc' ? input.subarray(0, 2_000) : input)
      const ours = accepted(() => codec.decode(text))
      const theirs = oracle(text)
      must((ours !== null) === (theirs !== null), 'another implementation gives the same verdict')
      if (ours === null || theirs === null) return false
      mustEqualBytes(ours.value, theirs, 'another implementation gives the same bytes')
      must(codec.encode(ours.value) === text, 'what is accepted encodes to the same text')
      return true
    },
  }
}

/** The value of a JSON text; null for what is none, which is nobody's verdict. */
export function parsedJson(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return null
  }
}

/** What the base 58 of Bitcoin means, by arithmetic; null for other text. */
export function decodeBase58(text: string): Buffer | null {
  const digits = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
  let n = 0n
  for (const digit of text) {
    const value = digits.indexOf(digit)
    if (value < 0) return null
    n = n * 58n + BigInt(value)
  }
  const zeros = /^1*/.exec(text)?.[0].length ?? 0
  const body = n === 0n ? '' : n.toString(16)
  return Buffer.concat([Buffer.alloc(zeros), Buffer.from(body.length % 2 === 0 ? body : `0${body}`, 'hex')])
}

// Bit by bit; null for other text, also where the bits left over are not zero or are a whole digit.
function decodeBase32(text: string): Buffer | null {
  if (!/^[a-z2-7]*$/.test(text)) return null
  const bits = Array.from(text, (digit) => 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(digit).toString(2).padStart(5, '0')).join('')
  const rest = bits.length % 8
  if (rest >= 5 || bits.slice(bits.length - rest).includes('1')) return null
  return Buffer.from(Array.from({ length: (bits.length - rest) / 8 }, (_, i) => parseInt(bits.slice(i * 8, i * 8 + 8), 2)))
}

// Node's decoders skip what they do not know; what they write is canonical.
function sameAgain(text: string, encoding: 'base64' | 'base64url' | 'hex'): Buffer | null {
  const bytes = Buffer.from(text, encoding)
  return bytes.toString(encoding) === text ? bytes : null
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodeStrictly(bytes: Uint8Array): { value: string } | null {
  try {
    return { value: decoder.decode(bytes) }
  } catch {
    return null
  }
}

function isSame(ours: CborValue, theirs: unknown): boolean {
  if (ours === null || typeof ours === 'string') return ours === theirs
  if (typeof theirs !== 'object' || theirs === null) return false
  if (isCborArray(ours)) return Array.isArray(theirs) && theirs.length === ours.length && ours.every((item, i) => isSame(item, theirs[i]))
  const members = new Map<string, unknown>(Object.entries(theirs))
  return isCborMap(ours) && members.size === ours.size && [...ours].every(([key, item]) => members.has(key) && isSame(item, members.get(key)))
}
