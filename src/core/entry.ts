// The log entry, the bytes of a Merkle leaf: the one place where identities meet the log. spec/log.md#entry

import { decodeCbor, encodeCbor, isCborMap, type CborMap, type CborValue } from './encoding/dag-cbor.ts'
import { concatBytes } from './encoding/text.ts'
import { formatTimestamp, parseTimestamp } from './encoding/timestamp.ts'
import { DirectoryError } from './errors.ts'
import { isDid } from './plc/did.ts'
import { parseOperation, type Operation } from './plc/operation.ts'
import { MAX_ENTRY_BYTES } from './tlog/bundle.ts'

/** An operation as a directory accepted it: all that is needed to validate it again, in order. */
export interface Entry {
  readonly did: string
  /** When the directory accepted it, milliseconds since 1970. */
  readonly createdAt: number
  readonly operation: Operation
  /** Where an entry came from that this log's directory did not accept itself; null for a native entry. */
  readonly source: string | null
}

/** What an entry says beside its operation: the `extra` of a receipt. */
export type EntryHeader = Omit<Entry, 'operation'>

/** Longest name of a source, in UTF-16 code units. */
export const MAX_SOURCE_LENGTH = 256

/** The leaf's bytes. Throws ENTRY_TOO_LARGE above MAX_ENTRY_BYTES, MALFORMED_ENTRY for a header that could not be read back. */
export function encodeEntry(entry: Entry): Uint8Array {
  const header = encodeEntryHeader(entry)
  const length = header.length + OPERATION_KEY.length + entry.operation.bytes.length
  if (length > MAX_ENTRY_BYTES) throw new DirectoryError('ENTRY_TOO_LARGE', String(length))
  // The canonical order of keys puts `operation` last: an entry is its header, with one field more, and the operation.
  const bytes = concatBytes(header, OPERATION_KEY, entry.operation.bytes)
  bytes[0] = (header[0] ?? 0) + 1
  return bytes
}

/**
 * The entry in a leaf's bytes: `encodeEntry(decodeEntry(bytes))` equals `bytes`. Throws MALFORMED_ENTRY for every
 * other input. Whether the operation keeps the rules is not decided here. `cid` is the operation's, where it is known.
 */
export function decodeEntry(bytes: Uint8Array, cid?: string): Entry {
  if (bytes.length > MAX_ENTRY_BYTES) throw new DirectoryError('ENTRY_TOO_LARGE', String(bytes.length))
  return readable(() => {
    const fields = decodeCbor(bytes)
    if (!isCborMap(fields)) throw new DirectoryError('MALFORMED_ENTRY', 'not a map')
    const operation = fields.get('operation')
    if (operation === undefined) throw new DirectoryError('MALFORMED_ENTRY', 'no operation')
    const header = readHeader(fields, 4)
    // Bytes that could be decoded are canonical: the operation's are those at the end, as above.
    const sourceBytes = header.source === null ? 0 : SOURCE_KEY.length + encodeCbor(header.source).length
    return { ...header, operation: parseOperation(operation, bytes.subarray(OPERATION_AT + sourceBytes), cid) }
  })
}

/** DAG-CBOR of an entry's header, `{ did, createdAt }` and `source` where there is one. */
export function encodeEntryHeader(header: EntryHeader): Uint8Array {
  checkHeader(header)
  return encodeCbor(new Map<string, CborValue>(headerFields(header)))
}

/** The header in such bytes. Throws MALFORMED_ENTRY for every other input. */
export function decodeEntryHeader(bytes: Uint8Array): EntryHeader {
  return readable(() => {
    const fields = decodeCbor(bytes)
    if (!isCborMap(fields)) throw new DirectoryError('MALFORMED_ENTRY', 'not a map')
    return readHeader(fields, 3)
  })
}

const SOURCE_KEY = encodeCbor('source')
const OPERATION_KEY = encodeCbor('operation')
/** Where an operation begins in an entry without a source. */
const OPERATION_AT = 85

function headerFields(header: EntryHeader): [string, CborValue][] {
  const fields: [string, CborValue][] = [
    ['did', header.did],
    ['createdAt', formatTimestamp(header.createdAt)],
  ]
  if (header.source !== null) fields.push(['source', header.source])
  return fields
}

function readHeader(fields: CborMap, mostFields: number): EntryHeader {
  const did = fields.get('did')
  const createdAt = fields.get('createdAt')
  const source = fields.get('source') ?? null
  if (typeof did !== 'string' || typeof createdAt !== 'string' || (source !== null && typeof source !== 'string')) {
    throw new DirectoryError('MALFORMED_ENTRY', 'did, createdAt or source is not text')
  }
  if (fields.has('source') !== (source !== null) || fields.size !== mostFields - (source === null ? 1 : 0)) {
    throw new DirectoryError('MALFORMED_ENTRY', 'unknown keys')
  }
  const header = { did, createdAt: parseTimestamp(createdAt), source }
  checkHeader(header)
  return header
}

function checkHeader(header: EntryHeader): void {
  if (!isDid(header.did)) throw new DirectoryError('MALFORMED_ENTRY', 'not a did:plc')
  if (header.source !== null && (header.source.length === 0 || header.source.length > MAX_SOURCE_LENGTH)) {
    throw new DirectoryError('MALFORMED_ENTRY', 'length of source')
  }
}

/** What reading a leaf's bytes gives: whatever is wrong with them is one verdict, MALFORMED_ENTRY, with the reason as its detail. */
export function readable<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof DirectoryError && error.code !== 'MALFORMED_ENTRY') {
      throw new DirectoryError('MALFORMED_ENTRY', error.message.slice(0, 200))
    }
    throw error
  }
}
