// From DAG-CBOR's bytes to JSON's, without the value between them: what `renderJson(decodeCbor(bytes))` would give.
// spec/did-plc.md#json

import { DirectoryError } from '../errors.ts'
import { MAX_DEPTH } from './dag-cbor.ts'

/** Bytes that are written one after the other. */
export class ByteWriter {
  /** What was written, and room for more: only the first `length` bytes count. Replaced when it grows. */
  bytes: Uint8Array
  /** Over the same bytes. */
  view: DataView
  length = 0

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(capacity)
    this.view = new DataView(this.bytes.buffer)
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(this.length + count, 2 * this.bytes.length))
    grown.set(this.written())
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }

  /** Writes text that is ASCII. */
  ascii(text: string): void {
    this.reserve(text.length)
    const { bytes, length } = this
    for (let i = 0; i < text.length; i++) bytes[length + i] = text.charCodeAt(i)
    this.length = length + text.length
  }

  /** What was written, as a view of it. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }

  /** What was written, without the room around it, for who keeps it; the writer is empty again. */
  take(): Uint8Array {
    const taken = this.written().slice()
    this.bytes = new Uint8Array()
    this.view = new DataView(this.bytes.buffer)
    this.length = 0
    return taken
  }
}

/**
 * Writes the JSON of the value whose canonical DAG-CBOR begins at `at`, and gives the position behind it. Throws
 * MALFORMED_CBOR for a truncated value, a type outside the data model and nesting deeper than MAX_DEPTH; what
 * `decodeCbor` would refuse beyond that (text that is no UTF-8, order of keys, long forms) is not looked at. `depth` is
 * the number of maps and arrays around the value. Where it throws, the writer may have some more bytes than before.
 */
export function writeJson(out: ByteWriter, cbor: DataView, at: number, depth = 0): number {
  // A control character of one byte becomes six; nothing else grows by as much, quotes and commas included.
  out.reserve(6 * (cbor.byteLength - at))
  return writeValue(out, cbor, at, depth)
}

/** As `writeJson`, where the value is a text. */
export function writeJsonText(out: ByteWriter, cbor: DataView, at: number): number {
  out.reserve(6 * (cbor.byteLength - at))
  return writeText(out, cbor, at)
}

/** The position of the first byte of the text whose DAG-CBOR begins at `at`. Throws MALFORMED_CBOR where there is no text. */
export function startOfText(cbor: DataView, at: number): number {
  return at + headBytes(cbor, at, TEXT)
}

/** The position behind the text whose DAG-CBOR begins at `at`. Throws MALFORMED_CBOR where there is none or it is truncated. */
export function endOfText(cbor: DataView, at: number): number {
  const end = startOfText(cbor, at) + argument(cbor, at)
  if (end > cbor.byteLength) throw malformed('truncated')
  return end
}

const TEXT = 3
const SHORTEST_TEXT = 0x60
/** The head of a text whose length is in the next byte. */
const TEXT_OF_BYTE = 0x78
const ARRAY = 4
const MAP = 5
const NULL = 0xf6

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a

// Room was made: from here on bytes are written without asking.
function writeValue(out: ByteWriter, cbor: DataView, at: number, depth: number): number {
  const first = byteAt(cbor, at)
  const type = first >> 5
  if (type === TEXT) return writeText(out, cbor, at)
  if (first === NULL) {
    out.view.setUint32(out.length, 0x6e756c6c)
    out.length += 4
    return at + 1
  }
  checkNesting(type, depth)
  const items = at + headBytes(cbor, at, type)
  const count = argument(cbor, at)
  return type === ARRAY ? writeArray(out, cbor, items, count, depth + 1) : writeMap(out, cbor, items, count, depth + 1)
}

function writeArray(out: ByteWriter, cbor: DataView, items: number, count: number, depth: number): number {
  let at = items
  out.bytes[out.length++] = 0x5b
  for (let i = 0; i < count; i++) {
    if (i > 0) out.bytes[out.length++] = COMMA
    at = writeValue(out, cbor, at, depth)
  }
  out.bytes[out.length++] = 0x5d
  return at
}

// Keys come in DAG-CBOR's order, in which those that look like indices are in order among themselves: JSON has another
// order only where one of them follows another key.
function writeMap(out: ByteWriter, cbor: DataView, items: number, count: number, depth: number): number {
  const begun = out.length
  let at = items
  let named = false
  out.bytes[out.length++] = 0x7b
  for (let i = 0; i < count; i++) {
    if (!isIndex(cbor, at)) named = true
    else if (named) {
      out.length = begun
      return writeMapInOrder(out, cbor, items, count, depth)
    }
    if (i > 0) out.bytes[out.length++] = COMMA
    at = writeMember(out, cbor, at, depth)
  }
  out.bytes[out.length++] = 0x7d
  return at
}

function writeMapInOrder(out: ByteWriter, cbor: DataView, items: number, count: number, depth: number): number {
  let at = items
  let separate = false
  out.bytes[out.length++] = 0x7b
  for (const indices of [true, false]) {
    at = items
    for (let i = 0; i < count; i++) {
      if (isIndex(cbor, at) !== indices) {
        at = skipValue(cbor, endOfText(cbor, at), depth)
        continue
      }
      if (separate) out.bytes[out.length++] = COMMA
      separate = true
      at = writeMember(out, cbor, at, depth)
    }
  }
  out.bytes[out.length++] = 0x7d
  return at
}

function writeMember(out: ByteWriter, cbor: DataView, key: number, depth: number): number {
  const value = writeText(out, cbor, key)
  out.bytes[out.length++] = COLON
  return writeValue(out, cbor, value, depth)
}

function writeText(out: ByteWriter, cbor: DataView, text: number): number {
  const head = byteAt(cbor, text)
  // Most texts are shorter than 24 bytes, and nearly all others than 256.
  const short = head >= SHORTEST_TEXT && head < SHORTEST_TEXT + 24
  const start = short ? text + 1 : head === TEXT_OF_BYTE ? text + 2 : startOfText(cbor, text)
  const end = short ? start + head - SHORTEST_TEXT : head === TEXT_OF_BYTE ? start + byteAt(cbor, text + 1) : endOfText(cbor, text)
  if (end > cbor.byteLength) throw malformed('truncated')
  const { view, length } = out
  const shift = length + 1 - start
  let at = start
  // Eight bytes at once, then four, the last four perhaps in part once more.
  for (; at + 8 <= end; at += 8) {
    const [four, next] = [cbor.getInt32(at), cbor.getInt32(at + 4)]
    if (!standForThemselves(four) || !standForThemselves(next)) break
    view.setInt32(at + shift, four)
    view.setInt32(at + 4 + shift, next)
  }
  const last = end - 4
  for (at = Math.min(at, last); at >= start; at = Math.min(at + 4, last)) {
    const four = cbor.getInt32(at)
    if (!standForThemselves(four)) break
    view.setInt32(at + shift, four)
    if (at < last) continue
    view.setUint8(length, QUOTE)
    view.setUint8(end + shift, QUOTE)
    out.length = end + shift + 1
    return end
  }
  writeEscaped(out, cbor, start, end)
  return end
}

function writeEscaped(out: ByteWriter, cbor: DataView, start: number, end: number): void {
  const { bytes } = out
  bytes[out.length++] = QUOTE
  for (let at = start; at < end; at++) {
    const byte = cbor.getUint8(at)
    if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) bytes[out.length++] = byte
    else out.ascii(ESCAPES.get(byte) ?? `\\u00${byte < 0x10 ? '0' : ''}${byte.toString(16)}`)
  }
  bytes[out.length++] = QUOTE
}

// Whether no byte of four is a control character, a quote or a backslash: a byte from 0 to 127 is below n where taking n
// away sets its highest bit, and it is n where n, taken away bit by bit, leaves it below 1.
function standForThemselves(four: number): boolean {
  return (((four - 0x20202020) | ((four ^ 0x22222222) - 0x01010101) | ((four ^ 0x5c5c5c5c) - 0x01010101)) & ~four & 0x80808080) === 0
}

const ESCAPES: ReadonlyMap<number, string> = new Map(Array.from('\b\t\n\f\r"\\', (character) => [character.charCodeAt(0), JSON.stringify(character).slice(1, -1)]))

function skipValue(cbor: DataView, at: number, depth: number): number {
  const first = byteAt(cbor, at)
  const type = first >> 5
  if (type === TEXT) return endOfText(cbor, at)
  if (first === NULL) return at + 1
  checkNesting(type, depth)
  let end = at + headBytes(cbor, at, type)
  const count = argument(cbor, at)
  for (let i = 0; i < count; i++) end = skipValue(cbor, type === MAP ? endOfText(cbor, end) : end, depth + 1)
  return end
}

function checkNesting(type: number, depth: number): void {
  if (type !== ARRAY && type !== MAP) throw malformed('type outside the data model')
  if (depth >= MAX_DEPTH) throw malformed('nested too deeply')
}

/** As `renderedKeys` decides: `0` to `4294967294` in canonical decimal. */
function isIndex(cbor: DataView, key: number): boolean {
  const length = byteAt(cbor, key) - SHORTEST_TEXT
  if (length < 1 || length > 10) return false
  if (byteAt(cbor, key + 1) === 0x30) return length === 1
  let value = 0
  for (let at = key + 1; at <= key + length; at++) {
    const digit = byteAt(cbor, at) - 0x30
    if (digit < 0 || digit > 9) return false
    value = value * 10 + digit
  }
  return value <= 4_294_967_294
}

// Length of the first part of a text, an array or a map: its type and its argument.
function headBytes(cbor: DataView, at: number, type: number): number {
  const first = byteAt(cbor, at)
  if (first >> 5 !== type) throw malformed('unexpected type')
  const info = first & 0x1f
  if (info < 24) return 1
  if (info > 26) throw malformed('length out of range')
  return info === 24 ? 2 : info === 25 ? 3 : 5
}

// The number of bytes, items or members that such a part names; its length was asked for before.
function argument(cbor: DataView, at: number): number {
  const info = byteAt(cbor, at) & 0x1f
  if (info < 24) return info
  if (info === 24) return byteAt(cbor, at + 1)
  if (at + (info === 25 ? 3 : 5) > cbor.byteLength) throw malformed('truncated')
  return info === 25 ? cbor.getUint16(at + 1) : cbor.getUint32(at + 1)
}

function byteAt(cbor: DataView, at: number): number {
  if (at >= cbor.byteLength) throw malformed('truncated')
  return cbor.getUint8(at)
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_CBOR', reason)
}
