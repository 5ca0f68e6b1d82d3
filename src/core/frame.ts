// The messages of the log's stream, as bytes, without the socket: DAG-CBOR maps of one fixed shape each. spec/stream.md#frames

import { parseDecimal, utf8Decode, utf8Encode } from './encoding/text.ts'
import { ByteWriter } from './encoding/transcode.ts'
import { assert, DirectoryError } from './errors.ts'
import { MAX_ENTRY_BYTES } from './tlog/bundle.ts'
import { HASH_BYTES } from './tlog/hash.ts'
import { MAX_PROOF_HASHES } from './tlog/proof.ts'
import { TILE_WIDTH } from './tlog/tile.ts'

/** A message from the server. */
export type Frame = EntriesFrame | CheckpointFrame | MatchFrame

/** Entries of the log, one after the other. */
export interface EntriesFrame {
  readonly type: 'entries'
  /** Index of the first one. */
  readonly start: number
  /** The leaves' bytes, 1 to 256. */
  readonly entries: readonly Uint8Array[]
  /** False where the next checkpoint of this stream covers these entries and all before them. */
  readonly provisional: boolean
}

/** A published checkpoint. */
export interface CheckpointFrame {
  readonly type: 'checkpoint'
  /** The signed note. */
  readonly note: string
  /**
   * The proof that its tree continues that of the checkpoint before it on this stream (at first: the tree of the size
   * that the stream began with); null on a stream without a filter, whose entries lead from one root to the other.
   */
  readonly consistency: readonly Uint8Array[] | null
}

/** An entry that a filter let through. */
export interface MatchFrame {
  readonly type: 'match'
  readonly index: number
  /** The leaf's bytes. */
  readonly entry: Uint8Array
  /** Its inclusion proof in the tree of the checkpoint before it on this stream. */
  readonly proof: readonly Uint8Array[]
}

/** Longest frame, in bytes. */
export const MAX_FRAME_BYTES = 1_048_576

/** The bytes of a frame. */
export function encodeFrame(frame: Frame): Uint8Array {
  const out = new ByteWriter(frame.type === 'entries' ? frame.entries.reduce((sum, { length }) => sum + length + MOST_HEAD_BYTES, 128) : 4096)
  writeFrame(out, frame)
  return out.written()
}

/** Writes the bytes of a frame. */
export function writeFrame(out: ByteWriter, frame: Frame): void {
  const begun = out.length
  switch (frame.type) {
    case 'entries':
      assert(frame.entries.length >= 1 && frame.entries.length <= TILE_WIDTH, 'a frame has 1 to 256 entries')
      writeHead(out, MAP, 4)
      writeTexts(out, 'type', 'entries', 'start')
      writeHead(out, UINT, frame.start)
      writeTexts(out, 'entries')
      writeList(out, frame.entries)
      writeTexts(out, 'provisional')
      out.reserve(1)
      out.bytes[out.length++] = frame.provisional ? TRUE : FALSE
      break
    case 'checkpoint':
      writeHead(out, MAP, frame.consistency === null ? 2 : 3)
      writeTexts(out, 'note', frame.note, 'type', 'checkpoint')
      if (frame.consistency === null) break
      writeTexts(out, 'consistency')
      writeList(out, frame.consistency)
      break
    case 'match':
      writeHead(out, MAP, 4)
      writeTexts(out, 'type', 'match', 'entry')
      writeBytes(out, BYTES, frame.entry)
      writeTexts(out, 'index')
      writeHead(out, UINT, frame.index)
      writeTexts(out, 'proof')
      writeList(out, frame.proof)
      break
  }
  assert(out.length - begun <= MAX_FRAME_BYTES, 'a frame is not longer than it may be')
}

/** The frame in bytes, entries as views of them: `encodeFrame(decodeFrame(bytes))` equals `bytes`. Throws MALFORMED_FRAME for every other input. */
export function decodeFrame(encoded: Uint8Array): Frame {
  if (encoded.length > MAX_FRAME_BYTES) throw malformed(`${encoded.length} bytes`)
  const reader = { bytes: encoded, at: 0 }
  const fields = readHead(reader, MAP)
  const frame = readFields(reader, fields)
  if (reader.at !== encoded.length) throw malformed('trailing bytes')
  return frame
}

/** What a reader sends to be sent so many bytes more. */
export function formatCredit(count: number): string {
  return String(count)
}

/** The bytes that a reader's message grants, 1 or more. Throws MALFORMED_NUMBER for any other text. */
export function parseCredit(message: string): number {
  const count = parseDecimal(message)
  if (count === 0) throw new DirectoryError('MALFORMED_NUMBER', message)
  return count
}

const UINT = 0
const BYTES = 2
const TEXT = 3
const ARRAY = 4
const MAP = 5
const FALSE = 0xf4
const TRUE = 0xf5

/** A type, and a number in its longest form. */
const MOST_HEAD_BYTES = 9

function writeHead(out: ByteWriter, major: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a number of a frame is a safe integer')
  const width = value < 24 ? 0 : value < 0x100 ? 1 : value < 0x10000 ? 2 : value < 2 ** 32 ? 4 : 8
  out.reserve(MOST_HEAD_BYTES)
  out.bytes[out.length] = major * 32 + (width === 0 ? value : 24 + Math.log2(width))
  for (let at = width, rest = value; at > 0; at--, rest = Math.floor(rest / 256)) out.bytes[out.length + at] = rest % 256
  out.length += 1 + width
}

function writeBytes(out: ByteWriter, major: number, value: Uint8Array): void {
  writeHead(out, major, value.length)
  out.reserve(value.length)
  out.bytes.set(value, out.length)
  out.length += value.length
}

function writeTexts(out: ByteWriter, ...texts: readonly string[]): void {
  for (const text of texts) writeBytes(out, TEXT, utf8Encode(text))
}

function writeList(out: ByteWriter, items: readonly Uint8Array[]): void {
  writeHead(out, ARRAY, items.length)
  for (const item of items) writeBytes(out, BYTES, item)
}

interface Reader {
  readonly bytes: Uint8Array
  at: number
}

// Keys stand in DAG-CBOR's order, so the first two tell what kind of frame it is.
function readFields(reader: Reader, fields: number): Frame {
  const first = readText(reader, 4)
  if (first === 'note') {
    const note = readText(reader, MAX_FRAME_BYTES)
    expectText(reader, 'type')
    expectText(reader, 'checkpoint')
    if (fields === 2) return { type: 'checkpoint', note, consistency: null }
    if (fields !== 3) throw malformed(`${fields} keys`)
    expectText(reader, 'consistency')
    return { type: 'checkpoint', note, consistency: readProof(reader) }
  }
  if (first !== 'type' || fields !== 4) throw malformed('unknown keys')
  const type = readText(reader, 16)
  if (type === 'entries') {
    expectText(reader, 'start')
    const start = readHead(reader, UINT)
    expectText(reader, 'entries')
    const entries = readList(reader, TILE_WIDTH, MAX_ENTRY_BYTES)
    if (entries.length === 0 || !Number.isSafeInteger(start + entries.length)) throw malformed('number of entries')
    expectText(reader, 'provisional')
    const provisional = reader.bytes[reader.at++]
    if (provisional !== TRUE && provisional !== FALSE) throw malformed('neither true nor false')
    return { type, start, entries, provisional: provisional === TRUE }
  }
  if (type !== 'match') throw malformed('unknown type')
  expectText(reader, 'entry')
  const entry = readBytes(reader, MAX_ENTRY_BYTES)
  expectText(reader, 'index')
  const index = readHead(reader, UINT)
  expectText(reader, 'proof')
  return { type, index, entry, proof: readProof(reader) }
}

function readHead(reader: Reader, major: number): number {
  const first = reader.bytes[reader.at++]
  if (first === undefined || first >> 5 !== major) throw malformed('unexpected type')
  const info = first & 0x1f
  if (info < 24) return info
  if (info > 27) throw malformed('length out of range')
  const width = 2 ** (info - 24)
  let value = 0
  for (let i = 0; i < width; i++) {
    const byte = reader.bytes[reader.at++]
    if (byte === undefined) throw malformed('truncated')
    value = value * 256 + byte
  }
  if (!Number.isSafeInteger(value)) throw malformed('length out of range')
  if (value < (width === 1 ? 24 : 2 ** (4 * width))) throw malformed('number not in its shortest form')
  return value
}

function readSpan(reader: Reader, major: number, most: number): { start: number; end: number } {
  const length = readHead(reader, major)
  const start = reader.at
  const end = start + length
  if (length > most || end > reader.bytes.length) throw malformed(length > most ? 'too long' : 'truncated')
  reader.at = end
  return { start, end }
}

function readText(reader: Reader, most: number): string {
  const { start, end } = readSpan(reader, TEXT, most)
  try {
    return utf8Decode(reader.bytes, start, end)
  } catch {
    throw malformed('text is not UTF-8')
  }
}

function expectText(reader: Reader, expected: string): void {
  if (readText(reader, 16) !== expected) throw malformed('unknown keys')
}

function readBytes(reader: Reader, most: number): Uint8Array {
  const { start, end } = readSpan(reader, BYTES, most)
  return reader.bytes.subarray(start, end)
}

function readList(reader: Reader, mostItems: number, mostBytes: number): Uint8Array[] {
  const length = readHead(reader, ARRAY)
  if (length > mostItems) throw malformed(`${length} items`)
  return Array.from({ length }, () => readBytes(reader, mostBytes))
}

function readProof(reader: Reader): Uint8Array[] {
  const hashes = readList(reader, MAX_PROOF_HASHES, HASH_BYTES)
  if (hashes.some((hash) => hash.length !== HASH_BYTES)) throw malformed('a hash that is not 32 bytes')
  return hashes
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_FRAME', reason)
}
