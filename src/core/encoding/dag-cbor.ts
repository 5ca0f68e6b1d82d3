// Canonical DAG-CBOR, cut down to what operations and entries are made of: maps, text, arrays, null.
// spec/did-plc.md#dag-cbor

import { DirectoryError } from '../errors.ts'
import { utf8Decode, utf8Encode } from './text.ts'

/** A map with text keys. A Map, never a plain object: keys are chosen by users (`9`, `__proto__`, the empty key). */
export type CborMap = ReadonlyMap<string, CborValue>

/** A value of the data model. */
export type CborValue = null | string | readonly CborValue[] | CborMap

/** Deepest nesting of maps and arrays that is read: an entry, its operation, its services, one service. */
export const MAX_DEPTH = 4

/**
 * The canonical bytes of a value: definite lengths in their shortest form, map keys by length of their UTF-8
 * form, then bytewise. Throws MALFORMED_CBOR for text with a lone surrogate.
 */
export function encodeCbor(value: CborValue): Uint8Array {
  const writer = { bytes: scratch, at: 0 }
  writeValue(writer, value)
  if (writer.bytes.length <= MAX_SCRATCH_BYTES) scratch = writer.bytes
  return writer.bytes.slice(0, writer.at)
}

/**
 * The value of canonical bytes: `encodeCbor(decodeCbor(bytes))` equals `bytes`. Throws MALFORMED_CBOR for every
 * other input: other types (integers, bytes, tags, booleans, floats), longer forms, unsorted or repeated keys,
 * text that is not UTF-8, nesting deeper than MAX_DEPTH, truncated or trailing bytes.
 */
export function decodeCbor(bytes: Uint8Array): CborValue {
  const reader = { bytes, at: 0 }
  const value = readValue(reader, 0)
  if (reader.at !== bytes.length) throw malformed('trailing bytes')
  return value
}

/**
 * DAG-CBOR's order of map keys: by length of their UTF-8 form, then bytewise. UTF-16 code units in order are not
 * UTF-8 bytes in order where a surrogate meets U+E000 to U+FFFF, hence the comparison by code point.
 */
export function compareKeys(a: string, b: string): number {
  return utf8Length(a) - utf8Length(b) || compareCodePoints(a, b)
}

/** Whether a value is an array (`Array.isArray` does not narrow readonly arrays). */
export function isCborArray(value: CborValue | undefined): value is readonly CborValue[] {
  return Array.isArray(value)
}

/** Whether a value is a map. */
export function isCborMap(value: CborValue | undefined): value is CborMap {
  return value instanceof Map
}

const TEXT = 3
const ARRAY = 4
const MAP = 5
const NULL = 0xf6

interface Writer {
  bytes: Uint8Array
  at: number
}

/** Where values are written, since their lengths are not known before. */
let scratch = new Uint8Array(4_096)
const MAX_SCRATCH_BYTES = 65_536

function reserve(writer: Writer, bytes: number): void {
  if (writer.at + bytes <= writer.bytes.length) return
  const grown = new Uint8Array(Math.max(2 * writer.bytes.length, writer.at + bytes))
  grown.set(writer.bytes.subarray(0, writer.at))
  writer.bytes = grown
}

function writeValue(writer: Writer, value: CborValue): void {
  if (value === null) {
    reserve(writer, 1)
    writer.bytes[writer.at++] = NULL
  } else if (typeof value === 'string') {
    writeText(writer, value)
  } else if (isCborArray(value)) {
    writeHead(writer, ARRAY, value.length)
    for (const item of value) writeValue(writer, item)
  } else {
    writeHead(writer, MAP, value.size)
    for (const key of keysInOrder(value)) {
      writeText(writer, key)
      writeValue(writer, value.get(key) ?? null)
    }
  }
}

// A few are put in their places one by one, which takes less than to begin a sort.
function keysInOrder(map: CborMap): readonly string[] {
  const keys = [...map.keys()]
  if (keys.length > FEW_KEYS) return keys.sort(compareKeys)
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i] ?? ''
    let at = i
    for (let before = keys[at - 1]; before !== undefined && compareKeys(before, key) > 0; before = keys[--at - 1]) keys[at] = before
    keys[at] = key
  }
  return keys
}

const FEW_KEYS = 12

// As ASCII, which nearly all is; where it turns out to be more, from the start.
function writeText(writer: Writer, text: string): void {
  const begin = writer.at
  writeHead(writer, TEXT, text.length)
  reserve(writer, text.length)
  const { bytes, at } = writer
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit >= 0x80) {
      writer.at = begin
      return writeUnicode(writer, text)
    }
    bytes[at + i] = unit
  }
  writer.at += text.length
}

function writeUnicode(writer: Writer, text: string): void {
  if (!text.isWellFormed()) throw malformed('lone surrogate')
  const encoded = utf8Encode(text)
  writeHead(writer, TEXT, encoded.length)
  reserve(writer, encoded.length)
  writer.bytes.set(encoded, writer.at)
  writer.at += encoded.length
}

function writeHead(writer: Writer, major: number, length: number): void {
  const width = length < 24 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : 4
  reserve(writer, 1 + width)
  writer.bytes[writer.at++] = (major << 5) | (width === 0 ? length : width === 1 ? 24 : width === 2 ? 25 : 26)
  for (let i = width - 1; i >= 0; i--) writer.bytes[writer.at++] = Math.floor(length / 256 ** i)
}

interface Reader {
  readonly bytes: Uint8Array
  at: number
}

function readValue(reader: Reader, depth: number): CborValue {
  const first = reader.bytes[reader.at]
  if (first === undefined) throw malformed('truncated')
  if (first === NULL) {
    reader.at++
    return null
  }
  switch (first >> 5) {
    case TEXT:
      return readText(reader)
    case ARRAY: {
      if (depth >= MAX_DEPTH) throw malformed('nested too deeply')
      const length = readLength(reader, ARRAY)
      const items: CborValue[] = []
      for (let i = 0; i < length; i++) items.push(readValue(reader, depth + 1))
      return items
    }
    case MAP: {
      if (depth >= MAX_DEPTH) throw malformed('nested too deeply')
      const length = readLength(reader, MAP)
      const map = new Map<string, CborValue>()
      let previous = { key: '', bytes: 0 }
      for (let i = 0; i < length; i++) {
        const begin = reader.at
        const key = readText(reader)
        // With its head, which is no shorter before a longer text.
        const bytes = reader.at - begin
        if (bytes < previous.bytes || (bytes === previous.bytes && compareCodePoints(previous.key, key) >= 0)) throw malformed('keys out of order')
        map.set(key, readValue(reader, depth + 1))
        previous = { key, bytes }
      }
      return map
    }
    default:
      throw malformed('type outside the data model')
  }
}

function readText(reader: Reader): string {
  const length = readLength(reader, TEXT)
  const end = reader.at + length
  if (end > reader.bytes.length) throw malformed('truncated')
  const frequent = frequentText(reader, length)
  if (frequent !== null) {
    reader.at = end
    return frequent
  }
  try {
    return utf8Decode(reader.bytes, reader.at, end)
  } catch {
    throw malformed('text is not UTF-8')
  } finally {
    reader.at = end
  }
}

// What nearly every entry holds is found, not made: that is faster, and its maps are asked for the very same texts.
const FREQUENT = Map.groupBy(
  ['sig', 'did', 'prev', 'type', 'atproto', 'endpoint', 'services', 'createdAt', 'operation', 'alsoKnownAs', 'atproto_pds', 'rotationKeys', 'plc_operation', 'verificationMethods', 'AtprotoPersonalDataServer'],
  (text) => text.length,
)

function frequentText({ bytes, at }: Reader, length: number): string | null {
  for (const text of FREQUENT.get(length) ?? []) {
    let same = 0
    while (same < length && bytes[at + same] === text.charCodeAt(same)) same++
    if (same === length) return text
  }
  return null
}

function readLength(reader: Reader, major: number): number {
  const first = reader.bytes[reader.at++]
  if (first === undefined || first >> 5 !== major) throw malformed('unexpected type')
  const info = first & 0x1f
  if (info < 24) return info
  const width = info === 24 ? 1 : info === 25 ? 2 : info === 26 ? 4 : 0
  if (width === 0) throw malformed('length out of range')
  let length = 0
  for (let i = 0; i < width; i++) {
    const byte = reader.bytes[reader.at++]
    if (byte === undefined) throw malformed('truncated')
    length = length * 256 + byte
  }
  if (length < (width === 1 ? 24 : width === 2 ? 0x100 : 0x10000)) throw malformed('length not in its shortest form')
  return length
}

function utf8Length(text: string): number {
  let length = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    length += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3
  }
  return length
}

function compareCodePoints(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const difference = (a.codePointAt(i) ?? 0) - (b.codePointAt(i) ?? 0)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_CBOR', reason)
}
