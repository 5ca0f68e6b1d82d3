// Entries as JSON, straight from their bytes: the lines of exports, audit logs and streams. spec/did-plc.md#records

import { writeCid } from './encoding/cid.ts'
import { endOfText, writeJson, writeJsonText, type ByteWriter } from './encoding/transcode.ts'
import { readable } from './entry.ts'
import { DirectoryError } from './errors.ts'

/** An entry that was accepted, as it is stored. */
export interface StoredEntry {
  /** Leaf index, from 0. `seq` is one more. */
  readonly index: number
  /** SHA-256 of the operation's DAG-CBOR, 32 bytes: the CID without its prefix. */
  readonly digest: Uint8Array
  /** Whether a later entry of the log nullified this one. */
  readonly nullified: boolean
  /** The leaf's bytes. They are trusted: they were decoded before they were appended. */
  readonly entry: Uint8Array
}

// Each of these writes the bytes that decoding and rendering would give (core/plc/records.ts). Each throws
// MALFORMED_ENTRY where the bytes cannot be an entry's, and may then have written a part.

/** Writes a line of the export by `seq`: `{did, cid, seq, createdAt, operation, type}`. */
export function writeSequenced(out: ByteWriter, { index, digest, entry }: StoredEntry): void {
  const parts = partsOf(entry)
  out.ascii('{"did":')
  writeJsonText(out, parts.cbor, parts.did)
  out.ascii(',"cid":"')
  writeCid(out, digest)
  out.ascii('","seq":')
  out.ascii(String(index + 1))
  out.ascii(',"createdAt":')
  writeJsonText(out, parts.cbor, parts.createdAt)
  out.ascii(',"operation":')
  writeOperationOf(out, parts)
  out.ascii(',"type":"sequenced_op"}')
}

/** Writes a message of the stream: `{seq, type, did, operation, cid, createdAt}`. */
export function writeStreamed(out: ByteWriter, { index, digest, entry }: StoredEntry): void {
  const parts = partsOf(entry)
  out.ascii('{"seq":')
  out.ascii(String(index + 1))
  out.ascii(',"type":"sequenced_op","did":')
  writeJsonText(out, parts.cbor, parts.did)
  out.ascii(',"operation":')
  writeOperationOf(out, parts)
  out.ascii(',"cid":"')
  writeCid(out, digest)
  out.ascii('","createdAt":')
  writeJsonText(out, parts.cbor, parts.createdAt)
  out.ascii('}')
}

/** Writes a line of the export by time: `{did, cid, createdAt, operation, nullified}`. */
export function writeLegacy(out: ByteWriter, { digest, nullified, entry }: StoredEntry): void {
  const parts = partsOf(entry)
  out.ascii('{"did":')
  writeJsonText(out, parts.cbor, parts.did)
  out.ascii(',"cid":"')
  writeCid(out, digest)
  out.ascii('","createdAt":')
  writeJsonText(out, parts.cbor, parts.createdAt)
  out.ascii(',"operation":')
  writeOperationOf(out, parts)
  out.ascii(nullified ? ',"nullified":true}' : ',"nullified":false}')
}

/** Writes an element of an audit log: `{did, operation, cid, nullified, createdAt}`. `cid` is in base32. */
export function writeAudited(out: ByteWriter, { cid, nullified, entry }: Pick<StoredEntry, 'nullified' | 'entry'> & { readonly cid: string }): void {
  const parts = partsOf(entry)
  out.ascii('{"did":')
  writeJsonText(out, parts.cbor, parts.did)
  out.ascii(',"operation":')
  writeOperationOf(out, parts)
  out.ascii(`,"cid":"${cid}","nullified":${nullified},"createdAt":`)
  writeJsonText(out, parts.cbor, parts.createdAt)
  out.ascii('}')
}

/** Writes the operation in an entry, signature included. */
export function writeOperation(out: ByteWriter, entry: Uint8Array): void {
  writeOperationOf(out, partsOf(entry))
}

/** The operation's DAG-CBOR, as a view of the entry's: what its CID is the hash of. Throws MALFORMED_ENTRY. */
export function operationBytes(entry: Uint8Array): Uint8Array {
  return entry.subarray(partsOf(entry).operation)
}

/** An entry's DAG-CBOR, and where that of its values begins. */
interface Parts {
  readonly cbor: DataView
  readonly did: number
  readonly createdAt: number
  readonly operation: number
}

// In the order of DAG-CBOR: did, source where there is one, createdAt, operation; which key it is that stands there is
// not asked again.
function partsOf(entry: Uint8Array): Parts {
  return readable(() => readParts(entry))
}

function readParts(entry: Uint8Array): Parts {
  const cbor = new DataView(entry.buffer, entry.byteOffset, entry.length)
  const sourced = entry[0] === 0xa4
  if (!sourced && entry[0] !== 0xa3) throw new DirectoryError('MALFORMED_ENTRY', 'not a map of an entry')
  const did = endOfText(cbor, 1)
  const afterDid = endOfText(cbor, did)
  const createdAt = endOfText(cbor, sourced ? endOfText(cbor, endOfText(cbor, afterDid)) : afterDid)
  return { cbor, did, createdAt, operation: endOfText(cbor, endOfText(cbor, createdAt)) }
}

// The operation is the last of an entry's values.
function writeOperationOf(out: ByteWriter, { cbor, operation }: Parts): void {
  if (readable(() => writeJson(out, cbor, operation, 1)) !== cbor.byteLength) throw new DirectoryError('MALFORMED_ENTRY', 'trailing bytes')
}
