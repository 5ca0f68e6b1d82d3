/**
 * A second verifier of logs and receipts, written from spec/log.md and spec/did-plc.md alone. It shares no code with
 * the project and uses nothing but node: what both accept, two readings of the specification accept.
 *
 * It is stricter than a mirror in one point: a log that holds a rejected entry is refused, because no directory that
 * keeps the rules writes one.
 */
import { createPublicKey, hash, verify, type KeyObject } from 'node:crypto'

export type Read = (path: string) => Promise<Uint8Array | null>

export type VerifiedEntry = { did: string; createdAt: string; source: string | null; cid: string }

export type VerifiedLog = { size: number; root: string; entries: VerifiedEntry[] }

export type VerifiedReceipt = VerifiedEntry & { index: number; size: number; root: string }

/** Reads a log whole and throws an Error at the first thing that is not as the specification says. */
export async function verifyLog(read: Read, vkey: string): Promise<VerifiedLog> {
  const note = await read('checkpoint')
  check(note !== null, 'there is no checkpoint')
  const { size, root } = openCheckpoint(note, readLogKey(vkey))

  const leaves: Uint8Array[] = []
  for (const { path, fullPath, width } of bundles(size)) {
    const partial = await read(path)
    const full = partial === null && fullPath !== path ? await read(fullPath) : null
    check(partial !== null || full !== null, `${path} is missing`)
    leaves.push(...(partial ? splitBundle(path, partial, width) : splitBundle(fullPath, full ?? EMPTY, 256).slice(0, width)))
  }

  const hashes = leaves.map(leafHash)
  check(same(treeHash(hashes, 0, size), root), `the entries do not have the root of the checkpoint at size ${size}`)

  // The hashes of a level above are the roots of the full tiles of the level below.
  let row = hashes
  for (let level = 0; row.length > 0; level++) {
    const above: Buffer[] = []
    for (let start = 0; start < row.length; start += 256) {
      const hashesOfTile = row.slice(start, start + 256)
      const expected = Buffer.concat(hashesOfTile)
      const fullPath = `tile/${level}/${tileNumber(start / 256)}`
      const path = hashesOfTile.length < 256 ? `${fullPath}.p/${hashesOfTile.length}` : fullPath
      const found = await read(path)
      if (found === null && path !== fullPath) {
        const full = await read(fullPath)
        check(full !== null, `${path} is missing`)
        check(full.length === 8192 && same(full.subarray(0, expected.length), expected), `${fullPath} is not what the entries give`)
      } else {
        check(found !== null, `${path} is missing`)
        check(same(found, expected), `${path} is not what the entries give`)
      }
      if (hashesOfTile.length === 256) above.push(treeHash(hashesOfTile, 0, 256))
    }
    row = above
  }

  const judge = newJudge()
  const entries = leaves.map((leaf, index) => {
    try {
      return judge(readEntry(leaf))
    } catch (error) {
      throw new Error(`entry ${index}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  })
  return { size, root: root.toString('base64'), entries }
}

/** Checks offline that an operation is in a log, and throws an Error where the receipt does not prove it. */
export function verifyReceipt(receiptText: string, operationJson: string, vkey: string): VerifiedReceipt {
  const key = readLogKey(vkey)
  return checkReceipt(receiptText, operationJson, (note) => openCheckpoint(note, key))
}

/** As `verifyReceipt`, under a tlog-policy: its logs, and its quorum of witnesses; with the names of the witnesses that cosigned. */
export function verifyReceiptUnderPolicy(receiptText: string, operationJson: string, policyText: string): VerifiedReceipt & { witnesses: string[] } {
  const policy = readPolicy(policyText)
  let witnesses: string[] = []
  const receipt = checkReceipt(receiptText, operationJson, (note) => {
    const { text, signers } = openNote(note, [...policy.logs, ...policy.witnesses.values()])
    const checkpoint = readCheckpoint(text)
    const ours = policy.logs.filter((key) => key.name === checkpoint.origin)
    const due = ours.some((key) => key.type === 0x01) ? ours.filter((key) => key.type === 0x01) : ours
    check(signers.some((key) => due.includes(key)), 'no log of the policy signed the checkpoint, or only by another key than Ed25519')
    witnesses = [...policy.witnesses].filter(([, key]) => signers.includes(key)).map(([name]) => name)
    const seen = new Set(witnesses)
    for (const { name, count, members } of policy.groups) if (members.filter((member) => seen.has(member)).length >= count) seen.add(name)
    check(policy.quorum === 'none' || seen.has(policy.quorum), 'the quorum of the policy has not seen the checkpoint')
    return checkpoint
  })
  return { ...receipt, witnesses }
}

/** Checks evidence of two roots or of a fork (spec/evidence.md), and throws an Error where it proves nothing. */
export function verifyEvidence(file: string, vkey: string): { kind: string; origin: string; sizes: number[] } {
  const key = readLogKey(vkey)
  check(file.isWellFormed() && file.length <= 4_194_304, 'the file is not text, or too large')
  const blocks = file.split('\n\n')
  check(blocks.length === 5, 'the file does not hold two notes')
  const [head = '', text1 = '', lines1 = '', text2 = '', lines2 = ''] = blocks
  const [first, kind = '', rootLine, ...hashLines] = head.split('\n')
  check(first === 'stele evidence v1', 'the file does not begin with stele evidence v1')
  const [one, other] = [openCheckpoint(Buffer.from(`${text1}\n\n${lines1}\n`), key), openCheckpoint(Buffer.from(`${text2}\n\n${lines2}`), key)]
  if (kind === 'two-roots') {
    check(rootLine === undefined, 'there is more than two notes')
    check(one.size === other.size, 'the checkpoints have two sizes')
    check(!same(one.root, other.root), 'the checkpoints have one root')
  } else {
    check(kind === 'fork' && rootLine?.startsWith('root ') === true, 'the file is of another kind')
    const root = readBase64(rootLine.slice('root '.length))
    const path = hashLines.map(readBase64)
    check(hashLines.length <= 54 && [root, ...path].every((hash) => hash.length === 32), 'a hash has not 32 bytes')
    check(one.size < other.size, 'the second checkpoint is not larger')
    check(one.size > 0 || (path.length === 0 && same(root, sha256())), 'the root of no entries is another')
    if (one.size > 0) {
      const roots = rootsFromPath(one.size, other.size, path, root)
      check(same(roots.old, root) && same(roots.whole, other.root), 'the proof does not lead from the root to the larger checkpoint')
    }
    check(!same(one.root, root), 'the larger tree continues the smaller')
  }
  return { kind, origin: key.name, sizes: [one.size, other.size] }
}

function checkReceipt(receiptText: string, operationJson: string, open: (note: Uint8Array) => { size: number; root: Buffer }): VerifiedReceipt {
  check(receiptText.isWellFormed(), 'the receipt is not text')
  const end = receiptText.indexOf('\n\n')
  check(end >= 0, 'the receipt has no empty line')
  const [first, extraLine, indexLine, ...hashLines] = receiptText.slice(0, end).split('\n')
  check(first === 'c2sp.org/tlog-proof@v1', 'the receipt does not begin with c2sp.org/tlog-proof@v1')
  check(extraLine?.startsWith('extra ') === true, 'the receipt has no line "extra"')
  check(indexLine?.startsWith('index ') === true, 'the receipt has no line "index"')
  check(hashLines.length <= 54, 'the receipt has more than 54 hashes')
  const extra = readBase64(extraLine.slice('extra '.length))
  check(extra.length <= 65_535, 'the extra data is too large')
  const index = readDecimal(indexLine.slice('index '.length))
  const path = hashLines.map((line) => {
    const hash = readBase64(line)
    check(hash.length === 32, 'a hash of the receipt has not 32 bytes')
    return hash
  })

  const head = readCbor(extra)
  check(head instanceof Map && !head.has('operation'), 'the extra data is not an entry without its operation')
  const joined = new Map([...head, ['operation', fromJson(JSON.parse(operationJson))]])
  const leaf = writeCbor(joined)
  const { did, createdAt, source, operation } = readEntry(leaf)

  const { size, root } = open(Buffer.from(receiptText.slice(end + 2)))
  check(index < size, `the index ${index} is not below the size ${size}`)
  check(same(rootFromPath(leafHash(leaf), index, size, path), root), 'the receipt does not lead to the root of its checkpoint')
  return { did, createdAt: createdAt.text, source, cid: cidOf(operation), index, size, root: root.toString('base64') }
}

// ---- words

const EMPTY = new Uint8Array()

function check(condition: boolean, words: string): asserts condition {
  if (!condition) throw new Error(words)
}

function same<T extends string | Uint8Array>(a: T, b: T): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b
  return Buffer.compare(a, b) === 0
}

function sha256(...parts: Uint8Array[]): Buffer {
  return hash('sha256', Buffer.concat(parts), 'buffer')
}

// ---- encodings: decode, encode again, compare

function readDecimal(text: string): number {
  const value = Number(text)
  check(/^(0|[1-9][0-9]*)$/.test(text) && Number.isSafeInteger(value), `not a number: ${text}`)
  return value
}

function readBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64')
  check(bytes.toString('base64') === text, `not base64: ${text}`)
  return bytes
}

function readUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Error('not UTF-8')
  }
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

function base32(bytes: Uint8Array): string {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('')
  return (bits.match(/.{1,5}/g) ?? []).map((five) => BASE32[parseInt(five.padEnd(5, '0'), 2)]).join('')
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** The bytes, or null where the text does not stand for exactly `length` bytes that begin with another byte than 0. */
function readBase58(text: string, length: number): Buffer | null {
  if (text.length > 2 * length) return null
  let value = 0n
  for (const character of text) {
    const digit = BASE58.indexOf(character)
    if (digit < 0) return null
    value = value * 58n + BigInt(digit)
  }
  const hex = value.toString(16)
  // A leading 1 would be a leading zero byte, and the number would be a byte short.
  if (text.startsWith('1') || Math.ceil(hex.length / 2) !== length) return null
  return Buffer.from(hex.padStart(2 * length, '0'), 'hex')
}

// ---- DAG-CBOR of maps, arrays, texts and null

type Value = null | string | Value[] | Map<string, Value>

const MAX_DEPTH = 4

function readCbor(bytes: Uint8Array): Value {
  const input = Buffer.from(bytes)
  let at = 0

  function take(count: number): Buffer {
    check(at + count <= input.length, 'the CBOR ends early')
    at += count
    return input.subarray(at - count, at)
  }

  function length(info: number): number {
    if (info < 24) return info
    check(info <= 26, 'a length in CBOR that is indefinite or too large')
    const width = 2 ** (info - 24)
    const value = take(width).readUIntBE(0, width)
    check(cborHead(0, value).length === 1 + width, 'a length in CBOR that is not in its shortest form')
    return value
  }

  function item(depth: number): Value {
    const initial = take(1).readUInt8()
    if (initial === 0xf6) return null
    const major = Math.floor(initial / 32)
    const count = major >= 3 && major <= 5 ? length(initial % 32) : 0
    if (major === 3) return readUtf8(take(count))
    check(major === 4 || major === 5, `a CBOR value that begins with ${initial} is not in the data model`)
    check(depth < MAX_DEPTH, 'the CBOR is nested too deeply')
    check(count <= input.length - at, 'the CBOR ends early')
    if (major === 4) return Array.from({ length: count }, () => item(depth + 1))
    const map = new Map<string, Value>()
    let last: Buffer | null = null
    for (let i = 0; i < count; i++) {
      const head = take(1).readUInt8()
      check(Math.floor(head / 32) === 3, 'a key in CBOR that is not a text')
      const key = take(length(head % 32))
      check(last === null || compareKeys(last, key) < 0, 'keys in CBOR that are not in order')
      last = key
      map.set(readUtf8(key), item(depth + 1))
    }
    return map
  }

  const value = item(0)
  check(at === input.length, 'there are bytes after the CBOR')
  check(same(writeCbor(value), bytes), 'the CBOR is not canonical')
  return value
}

function writeCbor(value: Value): Buffer {
  if (value === null) return Buffer.from([0xf6])
  if (typeof value === 'string') {
    check(value.isWellFormed(), 'a text with a lone surrogate')
    const utf8 = Buffer.from(value)
    return Buffer.concat([cborHead(3, utf8.length), utf8])
  }
  if (Array.isArray(value)) return Buffer.concat([cborHead(4, value.length), ...value.map(writeCbor)])
  const members = [...value].map(([key, member]) => ({ key: Buffer.from(key), encoded: writeCbor(key), member: writeCbor(member) }))
  members.sort((a, b) => compareKeys(a.key, b.key))
  return Buffer.concat([cborHead(5, value.size), ...members.flatMap(({ encoded, member }) => [encoded, member])])
}

function cborHead(major: number, count: number): Buffer {
  const initial = major * 32
  if (count < 24) return Buffer.from([initial + count])
  const width = count < 0x100 ? 1 : count < 0x10000 ? 2 : 4
  const head = Buffer.alloc(1 + width, initial + { 1: 24, 2: 25, 4: 26 }[width])
  head.writeUIntBE(count, 1, width)
  return head
}

function compareKeys(a: Buffer, b: Buffer): number {
  return a.length - b.length || Buffer.compare(a, b)
}

function fromJson(json: unknown): Value {
  if (json === null || typeof json === 'string') return json
  check(typeof json === 'object', `a ${typeof json} is not in the data model`)
  if (Array.isArray(json)) return json.map(fromJson)
  return new Map(Object.entries(json).map(([key, member]) => [key, fromJson(member)]))
}

// ---- the note and the checkpoint

type NoteKey = { name: string; id: Buffer; type: number; publicKey: KeyObject }

function readLogKey(vkey: string): NoteKey {
  const key = readNoteKey(vkey)
  check(key.type === 0x01, 'the key is not an Ed25519 key')
  return key
}

const KEY_BYTES: Record<number, number> = { 0x01: 32, 0x04: 32, 0x06: 1312 }

function readNoteKey(vkey: string): NoteKey {
  check(vkey.length <= 2_048, 'the key is too long')
  const [name = '', id = '', ...rest] = vkey.split('+')
  const key = readBase64(rest.join('+'))
  check(isKeyName(name) && Buffer.byteLength(name) <= 255, 'the name of the key is malformed')
  const type = key[0] ?? 0
  check(key.length - 1 === KEY_BYTES[type], 'the key is not an Ed25519 key, nor an ML-DSA-44 key')
  const expectedId = keyId(name, key)
  check(id === expectedId.toString('hex'), 'the id of the key is not that of its name and bytes')
  const bytes = key.subarray(1)
  if (type !== 0x06) checkEd25519Point(bytes)
  return { name, id: expectedId, type, publicKey: publicKey(type === 0x06 ? ML_DSA_44_SPKI : ED25519_SPKI, bytes) }
}

function keyId(name: string, typeAndKey: Uint8Array): Buffer {
  return sha256(Buffer.from(`${name}\n`), typeAndKey).subarray(0, 4)
}

function isKeyName(name: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return name !== '' && name.length <= 2_048 && name.isWellFormed() && !/[\p{White_Space}\x00-\x1f+]/u.test(name)
}

const ED25519_PRIME = 2n ** 255n - 19n

/** Refuses what is not the one encoding of a point, and the points of small order. */
function checkEd25519Point(point: Uint8Array): void {
  const y = BigInt(`0x${Buffer.from(point).reverse().toString('hex')}`) % 2n ** 255n
  check(y < ED25519_PRIME, 'the Ed25519 key is not canonical')
  // y(P) is 0 for order 4, 1 and -1 for orders 1 and 2, and for order 8 doubling P gives y = 0, which on the curve
  // -x² + y² = 1 + d·x²·y² means d·y⁴ + 2·y² = 1, with d = -121665/121666.
  const y2 = y * y
  const smallOrder = y * (y2 - 1n) * (-121665n * y2 * y2 + 121666n * (2n * y2 - 1n))
  check(smallOrder % ED25519_PRIME !== 0n, 'the Ed25519 key has a small order')
}

type Checkpoint = { origin: string; size: number; root: Buffer }

function openCheckpoint(note: Uint8Array, key: NoteKey): Checkpoint {
  const checkpoint = readCheckpoint(openNote(note, [key]).text)
  check(checkpoint.origin === key.name, `the origin is ${checkpoint.origin}, the key is named ${key.name}`)
  return checkpoint
}

function readCheckpoint(text: string): Checkpoint {
  check(text.length <= 318, 'the text of the checkpoint is too long')
  const lines = text.split('\n')
  check(lines.length === 4 && lines[3] === '', 'the checkpoint does not have exactly three lines')
  const [origin = '', size = '', root = ''] = lines
  check(Buffer.byteLength(origin) >= 1 && Buffer.byteLength(origin) <= 255, 'the origin is not 1 to 255 bytes')
  const checkpoint = { origin, size: readDecimal(size), root: readBase64(root) }
  check(checkpoint.root.length === 32, 'the root of the checkpoint has not 32 bytes')
  return checkpoint
}

function openNote(bytes: Uint8Array, keys: NoteKey[]): { text: string; signers: NoteKey[] } {
  check(bytes.length <= 3 * 524_288, 'the note is too large')
  const note = readUtf8(bytes)
  check(note.length <= 524_288, 'the note is too large')
  // oxlint-disable-next-line no-control-regex
  check(!/[\x00-\x09\x0b-\x1f]/.test(note), 'the note has control characters')
  const split = note.lastIndexOf('\n\n')
  check(split >= 0, 'the note has no empty line')
  const text = note.slice(0, split + 1)
  check(note.endsWith('\n'), 'the note does not end with a newline')
  const lines = note.slice(split + 2, -1).split('\n')
  check(lines.length <= 100, 'the note has too many signatures')
  const signers: NoteKey[] = []
  for (const line of lines) {
    const [dash, name = '', base64 = '', ...rest] = line.split(' ')
    check(dash === '\u2014' && rest.length === 0 && isKeyName(name), `not a signature line: ${line}`)
    const signature = readBase64(base64)
    check(signature.length > 4, 'a signature of the note is too short')
    const key = keys.find((key) => name === key.name && same(signature.subarray(0, 4), key.id))
    if (key === undefined) continue
    const blob = signature.subarray(4)
    check(blob.length === { 0x01: 64, 0x04: 72, 0x06: 2428 }[key.type], `the signature of ${name} has another length than 64 bytes, or than those of its kind`)
    const proper = key.type === 0x01 ? blob : blob.subarray(8)
    check(verify(null, messageOf(text, key, blob), key.publicKey, proper), `the signature of ${name} does not verify`)
    signers.push(key)
  }
  check(signers.length > 0, `the note is not signed by ${keys.map((key) => key.name).join(', ')}`)
  return { text, signers }
}

/** What a key signs: the text, or the text with a time (0x04), or the tree that it is about (0x06). */
function messageOf(text: string, key: NoteKey, blob: Buffer): Buffer {
  if (key.type === 0x01) return Buffer.from(text)
  const time = blob.readBigUInt64BE()
  check(time < 2n ** 53n, 'the time of a cosignature is too large')
  if (key.type === 0x04) return Buffer.from(`cosignature/v1\ntime ${time}\n${text}`)
  const { origin, size, root } = readCheckpoint(text)
  const short = (value: string) => Buffer.concat([Buffer.from([Buffer.byteLength(value)]), Buffer.from(value)])
  const numbers = Buffer.alloc(16)
  numbers.writeBigUInt64BE(BigInt(size), 8)
  return Buffer.concat([Buffer.from('subtree/v1\n\0'), short(key.name), blob.subarray(0, 8), short(origin), numbers, root])
}

// ---- policies

type Policy = { logs: NoteKey[]; witnesses: Map<string, NoteKey>; groups: { name: string; count: number; members: string[] }[]; quorum: string }

function readPolicy(text: string): Policy {
  const policy: Policy = { logs: [], witnesses: new Map(), groups: [], quorum: '' }
  const defined = new Set(['none'])
  const members = new Set<string>()
  function define(name: string): void {
    check(name !== '' && !defined.has(name), `a policy defines ${name} twice`)
    defined.add(name)
  }
  for (const line of text.split('\n')) {
    // oxlint-disable-next-line no-control-regex
    check(!/[\x00-\x08\x0b-\x1f\x7f]/.test(line), 'the policy has control characters')
    const [keyword, first = '', second = '', ...rest] = line.split(/[ \t]+/).filter((item) => item !== '')
    if (keyword === undefined || keyword.startsWith('#')) continue
    if (keyword === 'log') {
      const key = readNoteKey(first)
      check((key.type === 0x01 || key.type === 0x06) && rest.length === 0, 'not a log of a policy')
      policy.logs.push(key)
    } else if (keyword === 'witness') {
      define(first)
      const key = readNoteKey(second)
      check((key.type === 0x04 || key.type === 0x06) && rest.length <= 1, 'not a witness of a policy')
      policy.witnesses.set(first, key)
    } else if (keyword === 'group') {
      for (const member of rest) {
        check(defined.has(member) && member !== 'none' && !members.has(member), `${member} cannot be a member`)
        members.add(member)
      }
      define(first)
      const count = second === 'all' ? rest.length : second === 'any' ? 1 : readDecimal(second)
      check(count >= 1 && count <= rest.length, 'a threshold is out of range')
      policy.groups.push({ name: first, count, members: rest })
    } else {
      check(keyword === 'quorum' && policy.quorum === '' && defined.has(first) && second === '', 'not a line of a policy')
      policy.quorum = first
    }
  }
  check(policy.quorum !== '', 'the policy has no quorum')
  const keys = [policy.logs, [...policy.witnesses.values()]].map((list) => list.map(({ publicKey }) => publicKey.export({ format: 'der', type: 'spki' }).toString('hex')))
  check(keys.every((list) => new Set(list).size === list.length), 'the policy lists a key twice')
  return policy
}

// ---- the tree

function leafHash(entry: Uint8Array): Buffer {
  return sha256(Buffer.from([0]), entry)
}

function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return sha256(Buffer.from([1]), left, right)
}

/** The root of the hashes [start, end), as RFC 6962 section 2.1 defines it. */
function treeHash(hashes: Buffer[], start: number, end: number): Buffer {
  if (end === start) return sha256()
  const [only] = hashes.slice(start, start + 1)
  if (end === start + 1 && only !== undefined) return only
  const middle = start + powerBelow(end - start)
  return nodeHash(treeHash(hashes, start, middle), treeHash(hashes, middle, end))
}

function powerBelow(n: number): number {
  let power = 1
  while (power * 2 < n) power *= 2
  return power
}

/** The root that a leaf at an index in a tree of `size` has by its audit path, RFC 6962 section 2.1.1. */
function rootFromPath(leaf: Buffer, index: number, size: number, path: Buffer[]): Buffer {
  if (size === 1) {
    check(path.length === 0, 'the proof has too many hashes')
    return leaf
  }
  const sibling = path.at(-1)
  check(sibling !== undefined, 'the proof has too few hashes')
  const middle = powerBelow(size)
  return index < middle
    ? nodeHash(rootFromPath(leaf, index, middle, path.slice(0, -1)), sibling)
    : nodeHash(sibling, rootFromPath(leaf, index - middle, size - middle, path.slice(0, -1)))
}

/** The roots of the first `oldSize` entries and of all `size`, by a consistency proof, RFC 6962 section 2.1.2; `root` is the old one where the proof leaves it out. */
function rootsFromPath(oldSize: number, size: number, path: Buffer[], root: Buffer): { old: Buffer; whole: Buffer } {
  function roots(m: number, n: number, proof: Buffer[], complete: boolean): { old: Buffer; whole: Buffer } {
    if (m === n) {
      const [only] = complete ? [root] : proof
      check(only !== undefined && proof.length === (complete ? 0 : 1), 'the proof has another length')
      return { old: only, whole: only }
    }
    const sibling = proof.at(-1)
    check(sibling !== undefined, 'the proof has too few hashes')
    const middle = powerBelow(n)
    const rest = proof.slice(0, -1)
    if (m <= middle) {
      const left = roots(m, middle, rest, complete)
      return { old: left.old, whole: nodeHash(left.whole, sibling) }
    }
    const right = roots(m - middle, n - middle, rest, false)
    return { old: nodeHash(sibling, right.old), whole: nodeHash(sibling, right.whole) }
  }
  return roots(oldSize, size, path, true)
}

// ---- tiles and bundles

function* bundles(size: number): Generator<{ path: string; fullPath: string; width: number }> {
  for (let start = 0; start < size; start += 256) {
    const width = Math.min(256, size - start)
    const fullPath = `tile/entries/${tileNumber(start / 256)}`
    yield { path: width < 256 ? `${fullPath}.p/${width}` : fullPath, fullPath, width }
  }
}

/** 1234067 is x001/x234/067. */
function tileNumber(index: number): string {
  const digits = String(index)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) ?? []
  return groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/')
}

function splitBundle(path: string, bytes: Uint8Array, width: number): Uint8Array[] {
  const bundle = Buffer.from(bytes)
  const entries: Uint8Array[] = []
  let at = 0
  for (let i = 0; i < width; i++) {
    check(at + 2 <= bundle.length, `${path} has fewer than ${width} entries`)
    const end = at + 2 + bundle.readUInt16BE(at)
    check(end <= bundle.length, `${path} ends within an entry`)
    entries.push(bundle.subarray(at + 2, end))
    at = end
  }
  check(at === bundle.length, `${path} goes on after ${width} entries`)
  return entries
}

// ---- the entry and the shapes of operations

type Time = { text: string; ms: number }

type Fields = Map<string, Value>

type Entry = { did: string; createdAt: Time; source: string | null; operation: Fields }

function readEntry(leaf: Uint8Array): Entry {
  check(leaf.length <= 65_535, 'the entry is too large')
  const entry = readCbor(leaf)
  checkFields(entry, 'the entry', { did: isText, createdAt: isText, operation: isMap }, ['source'])
  const did = text(entry, 'did')
  check(/^did:plc:[a-z2-7]{24}$/.test(did), `not a DID: ${did}`)
  const source = entry.get('source') ?? null
  check(!entry.has('source') || (typeof source === 'string' && source.length >= 1 && source.length <= 256), 'the source is not a text of 1 to 256 characters')
  const operation = entry.get('operation')
  checkOperation(operation)
  return { did, createdAt: readTime(text(entry, 'createdAt')), source: source as string | null, operation }
}

function readTime(text: string): Time {
  const ms = Date.parse(text)
  check(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) && !Number.isNaN(ms), `not a time: ${text}`)
  check(new Date(ms).toISOString() === text, `not a time: ${text}`)
  return { text, ms }
}

type Test = (value: Value | undefined) => boolean

const isText: Test = (value) => typeof value === 'string'
const isNull: Test = (value) => value === null
const isMap: Test = (value) => value instanceof Map
const isTextOrNull: Test = (value) => isText(value) || isNull(value)
const isTexts: Test = (value) => Array.isArray(value) && value.every(isText)
const isMapOfTexts: Test = (value) => value instanceof Map && [...value.values()].every(isText)
const isServices: Test = (value) => value instanceof Map && [...value.values()].every(isService)
const isService: Test = (value) => value instanceof Map && value.size === 2 && isText(value.get('type')) && isText(value.get('endpoint'))

const SHAPES: Record<string, Record<string, Test>> = {
  plc_operation: {
    type: isText,
    rotationKeys: isTexts,
    verificationMethods: isMapOfTexts,
    alsoKnownAs: isTexts,
    services: isServices,
    prev: isTextOrNull,
    sig: isText,
  },
  plc_tombstone: { type: isText, prev: isText, sig: isText },
  create: { type: isText, signingKey: isText, recoveryKey: isText, handle: isText, service: isText, prev: isNull, sig: isText },
}

function checkOperation(operation: Value | undefined): asserts operation is Fields {
  const type = operation instanceof Map ? operation.get('type') : undefined
  const shape = typeof type === 'string' && Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined
  check(shape !== undefined, 'the operation is of no known type')
  checkFields(operation, 'the operation', shape, [])
}

function checkFields(value: Value | undefined, what: string, shape: Record<string, Test>, optional: string[]): asserts value is Fields {
  check(value instanceof Map, `${what} is not a map`)
  for (const [name, test] of Object.entries(shape)) check(test(value.get(name)), `${what} has no good field ${name}`)
  for (const name of value.keys()) check(Object.hasOwn(shape, name) || optional.includes(name), `${what} has an unknown field ${name}`)
}

function text(fields: Fields, name: string): string {
  const value = fields.get(name)
  check(typeof value === 'string', `the field ${name} is not a text`)
  return value
}

// ---- the rules of time and of the chain

type Accepted = { cid: string; operation: Fields; createdAt: Time; signer: number; nullified: boolean }

/** A function that judges the entries of a log one after another, and throws where one would be rejected. */
function newJudge(): (entry: Entry) => VerifiedEntry {
  const chains = new Map<string, Accepted[]>()
  const keys = new Map<string, PublicKey | null>()
  let newestNative: Time | null = null

  return ({ did, createdAt, source, operation }) => {
    const chain = chains.get(did) ?? []
    if (source === null) {
      for (const earlier of chain) check(createdAt.ms > earlier.createdAt.ms, 'the time is not later than that of an earlier entry of the identity')
      check(newestNative === null || createdAt.ms >= newestNative.ms, 'the time is before that of an earlier entry of the log')
      newestNative = createdAt
    } else {
      check(newestNative === null, 'a sourced entry follows a native one')
    }
    const cid = cidOf(operation)
    check(!chain.some((earlier) => earlier.cid === cid), 'the operation is in the chain already')
    const signer = chain.length === 0 ? judgeGenesis(did, operation, cid, keys) : judgeNext(chain, operation, createdAt, keys)
    chains.set(did, [...chain, { cid, operation, createdAt, signer, nullified: false }])
    return { did, createdAt: createdAt.text, source, cid }
  }
}

function judgeGenesis(did: string, operation: Fields, cid: string, keys: Map<string, PublicKey | null>): number {
  check(operation.get('type') !== 'plc_tombstone', 'a tombstone begins the chain')
  check(operation.get('prev') === null, 'the first operation of the chain has a predecessor')
  const signer = findSigner(operation, rotationKeys(operation), keys)
  const digest = sha256(writeCbor(operation))
  check(did === `did:plc:${base32(digest).slice(0, 24)}`, `the DID is not that of the operation ${cid}`)
  return signer
}

function judgeNext(chain: Accepted[], operation: Fields, createdAt: Time, keys: Map<string, PublicKey | null>): number {
  const named = namedBy(operation.get('prev') ?? null)
  const inEffect = chain.filter((earlier) => !earlier.nullified)
  const position = inEffect.findIndex((earlier) => earlier.cid === named)
  const prev = inEffect[position]
  check(prev !== undefined, 'the predecessor is no operation in effect')
  check(prev.operation.get('type') !== 'plc_tombstone', 'the predecessor is a tombstone')
  const signer = findSigner(operation, rotationKeys(prev.operation), keys)
  const undone = inEffect.slice(position + 1)
  const [disputed] = undone
  const head = undone.at(-1)
  if (disputed === undefined || head === undefined) return signer
  check(signer < disputed.signer, 'the recovery is not signed by a stronger key')
  check(createdAt.ms > head.createdAt.ms, 'the recovery is not later than what it nullifies')
  check(createdAt.ms - disputed.createdAt.ms <= 72 * 60 * 60 * 1000, 'the recovery is too late')
  for (const one of undone) one.nullified = true
  return signer
}

function rotationKeys(operation: Fields): string[] {
  if (operation.get('type') === 'create') return [text(operation, 'recoveryKey'), text(operation, 'signingKey')]
  return operation.get('rotationKeys') as string[]
}

const CID_PREFIX = Buffer.from([0x01, 0x71, 0x12, 0x20])

function cidOf(operation: Fields): string {
  return `b${base32(Buffer.concat([CID_PREFIX, sha256(writeCbor(operation))]))}`
}

/** The CID that a `prev` names, in base32, or null where it names none. */
function namedBy(prev: Value): string | null {
  if (typeof prev !== 'string') return null
  if (!prev.startsWith('z')) return prev
  const bytes = readBase58(prev.slice(1), 36)
  return bytes !== null && same(bytes.subarray(0, 4), CID_PREFIX) ? `b${base32(bytes)}` : null
}

// ---- signatures

type PublicKey = { key: KeyObject; halfOrder: bigint }

function findSigner(operation: Fields, didKeys: string[], cache: Map<string, PublicKey | null>): number {
  const sig = text(operation, 'sig')
  const signature = Buffer.from(sig, 'base64url')
  check(signature.length === 64 && signature.toString('base64url') === sig, 'the signature is malformed')
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`)
  const message = writeCbor(new Map([...operation].filter(([name]) => name !== 'sig')))
  for (const [index, didKey] of didKeys.entries()) {
    let known = cache.get(didKey)
    if (known === undefined) cache.set(didKey, (known = readDidKey(didKey)))
    check(known !== null, `a rotation key cannot be parsed: ${didKey}`)
    if (s > known.halfOrder) continue
    if (verify('sha256', message, { key: known.key, dsaEncoding: 'ieee-p1363' }, signature)) return index
  }
  throw new Error('no rotation key signed the operation')
}

// SubjectPublicKeyInfo up to the key itself: RFC 5480 for compressed points of 33 bytes, RFC 8410 for Ed25519.
const P256_SPKI = '3039301306072a8648ce3d020106082a8648ce3d030107032200'
const SECP256K1_SPKI = '3036301006072a8648ce3d020106052b8104000a032200'
const ED25519_SPKI = '302a300506032b6570032100'
// RFC 9881.
const ML_DSA_44_SPKI = '30820532300b06096086480165030403110382052100'

const CURVES = [
  { multicodec: '8024', spki: P256_SPKI, order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n },
  { multicodec: 'e701', spki: SECP256K1_SPKI, order: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n },
]

function readDidKey(didKey: string): PublicKey | null {
  const bytes = didKey.startsWith('did:key:z') ? readBase58(didKey.slice('did:key:z'.length), 35) : null
  const curve = CURVES.find(({ multicodec }) => multicodec === bytes?.subarray(0, 2).toString('hex'))
  // Uncompressed and hybrid points begin with other bytes, but have other lengths too.
  if (bytes === null || curve === undefined || (bytes[2] !== 2 && bytes[2] !== 3)) return null
  try {
    return { key: publicKey(curve.spki, bytes.subarray(2)), halfOrder: curve.order / 2n }
  } catch {
    return null
  }
}

function publicKey(spki: string, key: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([Buffer.from(spki, 'hex'), key]), format: 'der', type: 'spki' })
}
