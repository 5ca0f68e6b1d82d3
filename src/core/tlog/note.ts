// Signed notes: a text and signatures under it, by keys that carry a name. spec/log.md#notes

import { sha256 } from '@noble/hashes/sha2.js'
import { base64, concatBytes, hex, utf8Encode } from '../encoding/text.ts'
import { DirectoryError } from '../errors.ts'
import { checkpointMessage, cosignatureMessage, decodeTimestamp, encodeTimestamp, TIMESTAMP_BYTES } from './cosigned-message.ts'
import { ed25519 } from './ed25519.ts'
import { mlDsa44 } from './ml-dsa.ts'
import { readAs } from './strict.ts'

/** One signature line. */
export interface NoteSignature {
  readonly name: string
  /** Key id: 8 lower-case hexadecimal digits. */
  readonly id: string
  /** What follows the key id: for a cosignature the time, 8 bytes, and the signature proper. */
  readonly signature: Uint8Array
}

/** A text, which ends with a newline, and at least one signature. */
export interface Note {
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

/** A public key by which signatures are known: by its name and id. */
export interface VerifierKey {
  readonly name: string
  /** 8 lower-case hexadecimal digits: SHA-256(name || 0x0A || type || public key), cut to 4 bytes. */
  readonly id: string
  /** One of KEY_TYPES. */
  readonly type: number
  readonly publicKey: Uint8Array
}

/** A key that signs. */
export interface SigningKey extends VerifierKey {
  /** 32 bytes. */
  readonly seed: Uint8Array
}

/** What a valid signature proves: which known key made it and, for a cosignature, the time that it states. */
export interface VerifiedSignature {
  readonly key: VerifierKey
  /** Seconds since 1970 of a cosignature; null for a signature without a time. */
  readonly timestamp: number | null
  readonly signature: NoteSignature
}

/** The types of keys that are understood. spec/log.md#keys */
export const KEY_TYPES = { ed25519: 0x01, cosignature: 0x04, mlDsa44: 0x06 } as const

/** Most signatures that a note may carry. */
export const MAX_NOTE_SIGNATURES = 100

/** Longest note that is read, in UTF-16 units: 100 signatures by ML-DSA-44 and room for the text. */
export const MAX_NOTE_LENGTH = 524_288

/** Longest key that is read, in characters: the public key of ML-DSA-44 in base64 with a name of 255 bytes. */
export const MAX_KEY_LENGTH = 2_048

const SEED_BYTES = 32

/** How keys of one type sign. A new kind of signature is a row of KINDS. */
interface SignatureKind {
  readonly publicKeyBytes: number
  /** Of the signature proper, without the time. */
  readonly signatureBytes: number
  /** Whether a time stands before the signature and is part of the message. */
  readonly timestamped: boolean
  publicKey(seed: Uint8Array): Uint8Array
  /** What is signed: for a note's text, the key's name, and the time where there is one (else 0). May throw a verdict about the text. */
  message(text: string, name: string, timestamp: number): Uint8Array
  sign(message: Uint8Array, seed: Uint8Array): Uint8Array
  verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean
}

const ED25519 = {
  publicKeyBytes: 32,
  signatureBytes: 64,
  publicKey: (seed: Uint8Array) => ed25519.getPublicKey(seed),
  sign: (message: Uint8Array, seed: Uint8Array) => ed25519.sign(message, seed),
  verify: (signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array) => ed25519.verify(signature, message, publicKey),
}

const KINDS: ReadonlyMap<number, SignatureKind> = new Map<number, SignatureKind>([
  [KEY_TYPES.ed25519, { ...ED25519, timestamped: false, message: (text) => utf8Encode(text) }],
  [KEY_TYPES.cosignature, { ...ED25519, timestamped: true, message: (text, _name, timestamp) => cosignatureMessage(text, timestamp) }],
  [
    KEY_TYPES.mlDsa44,
    {
      publicKeyBytes: 1312,
      signatureBytes: 2420,
      timestamped: true,
      publicKey: (seed) => mlDsa44.publicKey(seed),
      message: checkpointMessage,
      sign: (message, seed) => mlDsa44.sign(message, seed),
      verify: (signature, message, publicKey) => mlDsa44.verify(signature, message, publicKey),
    },
  ],
])

/**
 * The note in a text: what stands before the last empty line, and the signature lines after it. Throws MALFORMED_NOTE
 * unless `formatNote` gives the same text back. spec/log.md#notes
 */
export function parseNote(text: string): Note {
  if (text.length > MAX_NOTE_LENGTH) throw malformed('too long')
  const end = text.lastIndexOf('\n\n')
  if (end < 0) throw malformed('no empty line')
  const lines = text.slice(end + 2, -1).split('\n')
  if (lines.length > MAX_NOTE_SIGNATURES) throw malformed('too many signatures')
  const note = { text: text.slice(0, end + 1), signatures: lines.map(text.length <= REMEMBERED.noteLength ? rememberedLine : parseSignatureLine) }
  if (formatNote(note) !== text) throw malformed('not in its one form')
  return note
}

/** The text form of a note. Throws MALFORMED_NOTE where it would not be read back. spec/log.md#notes */
export function formatNote(note: Note): string {
  if (!note.text.endsWith('\n')) throw malformed('a text ends with a newline')
  if (!note.text.isWellFormed() || hasControls(note.text.replaceAll('\n', ''))) throw malformed('control characters')
  if (note.signatures.length < 1 || note.signatures.length > MAX_NOTE_SIGNATURES) throw malformed('1 to 100 signatures')
  return `${note.text}\n${note.signatures.map((signature) => `${formatSignatureLine(signature)}\n`).join('')}`
}

/** A signature's line, without its newline. Throws MALFORMED_NOTE where it would not be read back. spec/log.md#notes */
export function formatSignatureLine(signature: NoteSignature): string {
  const read = linesOf.get(signature)
  if (read !== undefined) return read
  if (!isKeyName(signature.name)) throw malformed('key name')
  const bytes = readAs('MALFORMED_NOTE', () => concatBytes(hex.decode(signature.id), signature.signature))
  if (signature.id.length !== 8 || signature.signature.length === 0) throw malformed('signature')
  return `\u2014 ${signature.name} ${base64.encode(bytes)}`
}

/** The signature in a line without its newline. Throws MALFORMED_NOTE unless `formatSignatureLine` gives it back. */
export function parseSignatureLine(line: string): NoteSignature {
  const [, name = '', encoded = ''] = line.split(' ', 3)
  const bytes = readAs('MALFORMED_NOTE', () => base64.decode(encoded))
  const signature = { name, id: hex.encode(bytes.subarray(0, 4)), signature: bytes.subarray(4) }
  if (formatSignatureLine(signature) !== line) throw malformed('signature line')
  linesOf.set(signature, line)
  return signature
}

// Whoever passes notes on reads the same lines many times, and 2,420 bytes take long to decode: the newest lines are remembered, of
// notes that are no longer than usual, and so is the line that a signature was read from.
const REMEMBERED = { lines: 64, noteLength: 16_384 }
const signaturesOf = new Map<string, NoteSignature>()
const linesOf = new WeakMap<NoteSignature, string>()

function rememberedLine(line: string): NoteSignature {
  const known = signaturesOf.get(line)
  if (known !== undefined) return known
  const signature = parseSignatureLine(line)
  const [oldest] = signaturesOf.keys()
  if (signaturesOf.size >= REMEMBERED.lines && oldest !== undefined) signaturesOf.delete(oldest)
  signaturesOf.set(line, signature)
  return signature
}

/**
 * What the signatures by known keys prove, in the order of their lines. Signatures whose name and id belong to no
 * key are ignored: they prove nothing and harm nothing. Throws INVALID_NOTE_SIGNATURE where one by a known key does
 * not verify, UNTRUSTED_NOTE where there is none by a known key. A key that signed twice is listed twice; a line that
 * is repeated is verified once.
 */
export function verifyNote(note: Note, keys: readonly VerifierKey[]): readonly VerifiedSignature[] {
  const verified: VerifiedSignature[] = []
  const lines = new Map<string, VerifiedSignature>()
  for (const signature of note.signatures) {
    const known = keys.filter((key) => key.name === signature.name && key.id === signature.id)
    if (known.length === 0) continue
    const line = `${signature.name} ${signature.id} ${base64.encode(signature.signature)}`
    const same = lines.get(line) ?? verifySignature(note.text, signature, known)
    lines.set(line, same)
    verified.push({ ...same, signature })
  }
  if (verified.length === 0) throw new DirectoryError('UNTRUSTED_NOTE')
  return verified
}

/**
 * Signs a note's text. `timestamp`, in seconds since 1970, belongs to cosignatures (types 0x04 and 0x06) and only to
 * them. Throws MALFORMED_NOTE_KEY where it is missing or too much, MALFORMED_CHECKPOINT where a key of type 0x06
 * is to sign what is no checkpoint.
 */
export function signText(text: string, key: SigningKey, timestamp: number | null = null): NoteSignature {
  const kind = kindOf(key.type)
  if (kind.timestamped !== (timestamp !== null)) throw malformedKey(`type ${key.type} and a time do not go together`)
  const signature = kind.sign(kind.message(text, key.name, timestamp ?? 0), key.seed)
  const time = timestamp === null ? [] : [encodeTimestamp(timestamp)]
  return { name: key.name, id: key.id, signature: concatBytes(...time, signature) }
}

/** The signature proper of a message that the key's kind signs: of a cosigner's, the time is in the message and not before the signature. */
export function signMessage(message: Uint8Array, key: SigningKey): Uint8Array {
  return kindOf(key.type).sign(message, key.seed)
}

/** The key in `NAME+ID+BASE64`. Throws MALFORMED_NOTE_KEY unless its type is known and `formatVerifierKey` gives it back. spec/log.md#keys */
export function parseVerifierKey(vkey: string): VerifierKey {
  const { name, type, bytes } = parseKey(vkey, '')
  if (bytes.length !== kindOf(type).publicKeyBytes) throw malformedKey('length')
  const key = { name, id: keyId(name, type, bytes), type, publicKey: bytes }
  if (formatVerifierKey(key) !== vkey) throw malformedKey('not in its one form')
  return key
}

/** `NAME+ID+BASE64`, the base64 of type and public key. spec/log.md#keys */
export function formatVerifierKey(key: VerifierKey): string {
  return formatKey(key, key.publicKey)
}

/** The key of a type that a seed of 32 bytes gives. Throws MALFORMED_NOTE_KEY for a bad name, type or seed. */
export function makeSigningKey(name: string, type: number, seed: Uint8Array): SigningKey {
  if (!isKeyName(name)) throw malformedKey('name')
  if (seed.length !== SEED_BYTES) throw malformedKey('a seed has 32 bytes')
  const publicKey = kindOf(type).publicKey(seed)
  return { name, id: keyId(name, type, publicKey), type, publicKey, seed }
}

/** The key in `PRIVATE+KEY+NAME+ID+BASE64`. Throws MALFORMED_NOTE_KEY unless `formatSigningKey` gives it back. spec/log.md#keys */
export function parseSigningKey(text: string): SigningKey {
  const { name, type, bytes } = parseKey(text, SECRET_PREFIX)
  const key = makeSigningKey(name, type, bytes)
  if (formatSigningKey(key) !== text) throw malformedKey('not in its one form')
  return key
}

/** `PRIVATE+KEY+NAME+ID+BASE64`, the base64 of type and seed: a secret. spec/log.md#keys */
export function formatSigningKey(key: SigningKey): string {
  return `${SECRET_PREFIX}${formatKey(key, key.seed)}`
}

/** Whether a text may name a key: not empty, no Unicode spaces, no control characters, no `+`. */
export function isKeyName(name: string): boolean {
  return name.length > 0 && name.length <= MAX_KEY_LENGTH && name.isWellFormed() && !hasControls(name) && !/[+\p{White_Space}]/u.test(name)
}

const SECRET_PREFIX = 'PRIVATE+KEY+'

function verifySignature(text: string, signature: NoteSignature, known: readonly VerifierKey[]): VerifiedSignature {
  for (const key of known) {
    const kind = kindOf(key.type)
    const timeBytes = kind.timestamped ? TIMESTAMP_BYTES : 0
    if (signature.signature.length !== timeBytes + kind.signatureBytes) continue
    const proper = signature.signature.subarray(timeBytes)
    const timestamp = kind.timestamped ? readAs('INVALID_NOTE_SIGNATURE', () => decodeTimestamp(signature.signature)) : null
    const message = readAs('INVALID_NOTE_SIGNATURE', () => kind.message(text, key.name, timestamp ?? 0))
    if (kind.verify(proper, message, key.publicKey)) return { key, timestamp, signature }
  }
  throw new DirectoryError('INVALID_NOTE_SIGNATURE', `${signature.name} ${signature.id}`)
}

function parseKey(text: string, prefix: string): { name: string; type: number; bytes: Uint8Array } {
  if (text.length > MAX_KEY_LENGTH || !text.startsWith(prefix)) throw malformedKey('prefix or length')
  const [name = '', id = ''] = text.slice(prefix.length).split('+', 2)
  const encoded = text.slice(prefix.length + name.length + id.length + 2)
  const bytes = readAs('MALFORMED_NOTE_KEY', () => base64.decode(encoded))
  const [type] = bytes
  if (type === undefined) throw malformedKey('no type')
  return { name, type, bytes: bytes.subarray(1) }
}

function formatKey(key: VerifierKey, bytes: Uint8Array): string {
  if (!isKeyName(key.name)) throw malformedKey('name')
  return `${key.name}+${key.id}+${base64.encode(concatBytes(Uint8Array.of(key.type), bytes))}`
}

function keyId(name: string, type: number, publicKey: Uint8Array): string {
  const bytes = readAs('MALFORMED_NOTE_KEY', () => utf8Encode(`${name}\n`))
  return hex.encode(sha256(concatBytes(bytes, Uint8Array.of(type), publicKey)).subarray(0, 4))
}

function kindOf(type: number): SignatureKind {
  const kind = KINDS.get(type)
  if (kind === undefined) throw malformedKey(`type ${type} is not known`)
  return kind
}

function hasControls(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 0x20) return true
  return false
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_NOTE', reason)
}

function malformedKey(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_NOTE_KEY', reason)
}
