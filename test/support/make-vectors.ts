// The files of spec/vectors, by their names: audit logs with what they come to, and a small log with its proofs.

import { alarmPart, formatAlarm } from '../../src/core/alarm.ts'
import { base64, base64url, hex, utf8Encode } from '../../src/core/encoding/text.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import type { CborValue } from '../../src/core/encoding/dag-cbor.ts'
import { encodeEntry, type Entry } from '../../src/core/entry.ts'
import { verdictOf } from '../../src/core/errors.ts'
import { brokenRule, fork, formatEvidence, twoRoots, verifyEvidence, wrongMap } from '../../src/core/evidence.ts'
import { MAP_FAULTS } from '../../src/core/evidence-map.ts'
import { findBreach } from '../../src/core/evidence-rules.ts'
import { grow } from '../../src/core/growth.ts'
import { encodeMapLeaf, mapOrigin } from '../../src/core/map/map-leaf.ts'
import { applyOperation, emptyChain, headOf, RECOVERY_WINDOW_MS, signatureQuestion, type Chain } from '../../src/core/plc/chain.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { renderDocument } from '../../src/core/plc/document.ts'
import { dataOf, operationValue, parseOperation, tombstoneValue, type IdentityData, type Operation } from '../../src/core/plc/operation.ts'
import { renderAuditLog, type LedgerRecord } from '../../src/core/plc/records.ts'
import { findSigner, signerFromSecret, signOperation, type OperationSigner } from '../../src/core/plc/signature.ts'
import { formatReceipt } from '../../src/core/receipt.ts'
import { encodeBundle } from '../../src/core/tlog/bundle.ts'
import { parseCheckpoint, signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote } from '../../src/core/tlog/note.ts'
import { consistencyPlan, inclusionPlan } from '../../src/core/tlog/proof.ts'
import { bundlePath, proofFromTiles, tilePath } from '../../src/core/tlog/tile.ts'
import { mapVectors, type MapVectorLog } from './map-vectors.ts'

const README = `# Test vectors

Made by \`npm run vectors\`; a test holds them equal to what the code makes, and to independent libraries.

- \`plc/valid\`: histories that are accepted. \`log\` is the audit log (spec/did-plc.md#records), \`signers\` the index of the rotation key that
  signed each operation, \`document\` the DID document in the end (null for a tombstone).
- \`plc/invalid\`: histories whose last operation is refused in replay, with the verdict in \`refused\`. All before it are accepted.
- \`log\`: a log of seven entries, two of them sourced (spec/log.md): its verifier key, its checkpoint, each entry with its bytes and leaf hash in
  hexadecimal, its inclusion proof in base64 and its receipt; \`consistency.json\` has the root of every smaller tree and the proof
  from it to the whole; \`tiles.json\` the tile and the entry bundle by their paths, in hexadecimal.
- \`evidence/valid\`: files that prove something against the log of \`evidence/log.vkey\` (spec/evidence.md), one for each kind and rule.
- \`evidence/invalid\`: files that prove nothing against it; \`evidence/refused.json\` has the verdict on each. \`evidence/seen.alarm\` is an alarm.
- \`map/trie.json\`: a trie (spec/map.md) as its keys are added one by one, and the paths of all of them and of two that are not there.
  \`map/values.json\`: the identities of a log, each with what its value is made of; \`data\` is the DAG-CBOR, null where it is deactivated.
- \`map/valid\`: state proofs from that log, under the keys of \`map/log.vkey\` and \`map/map.vkey\` and the policy \`map/policy\`.
- \`map/invalid\`: files that show nothing of the DID of \`map/valid/updated.state-proof\`; \`map/refused.json\` has the verdict on each.

The secret of rotation key n is 32 bytes with the value n: 1 and 3 are secp256k1 keys, 2 is a P-256 key, 9 a stranger's. The log's Ed25519 seed is 32 bytes with the value 1.
`

const START_MS = 1_800_000_000_000
const HOUR_MS = 3_600_000

/** One operation of a history and when it was accepted. */
interface Step {
  readonly operation: Operation
  readonly at: number
}

/** Every file: its name below spec/vectors and its text. */
export function makeVectors(): ReadonlyMap<string, string> {
  return new Map([
    ['README.md', README],
    ...Object.entries(histories()).map(([name, steps]) => [`plc/${name}.json`, historyVector(steps)] as const),
    ...logVectors(),
    ...evidenceVectors(),
    ...mapVectors(mapLog(), 12),
  ])
}

function key(n: number, curve: 'k256' | 'p256' = 'k256'): OperationSigner {
  return signerFromSecret(curve, new Uint8Array(32).fill(n))
}

const [strong, middle, weak, stranger] = [key(1), key(2, 'p256'), key(3), key(9)]
const ROTATION = [strong.did, middle.did, weak.did]

function data(handle: string, more: Partial<IdentityData> = {}): IdentityData {
  return {
    rotationKeys: ROTATION,
    verificationMethods: new Map([['atproto', weak.did]]),
    alsoKnownAs: [`at://${handle}.example`],
    services: new Map([['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: 'https://pds.example' }]]),
    ...more,
  }
}

function operation(prev: Operation | string | null, signer: OperationSigner, identity: IdentityData): Operation {
  const cid = prev === null || typeof prev === 'string' ? prev : prev.cid
  return signOperation(operationValue({ ...identity, prev: cid }), signer)
}

// The same operation with another signature: what the rules must refuse though the curve would not.
function resigned(operation: Operation, change: (signature: Uint8Array) => string): Operation {
  return parseOperation(new Map([...operation.value, ['sig', change(base64url.decode(operation.sig))]]))
}

function highS(signature: Uint8Array): string {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const s = BigInt(`0x${hex.encode(signature.subarray(32))}`)
  return base64url.encode(Uint8Array.of(...signature.subarray(0, 32), ...hex.decode((order - s).toString(16).padStart(64, '0'))))
}

function histories(): Record<string, readonly Step[]> {
  const genesis = operation(null, strong, data('alice'))
  const update = operation(genesis, middle, data('alice2'))
  const theft = operation(genesis, weak, data('thief'))
  const more = operation(theft, weak, data('thief2'))
  const recovery = operation(genesis, middle, data('back'))
  const tombstone = signOperation(tombstoneValue(genesis.cid), weak)
  const odd = new Map([['10', weak.did], ['9', middle.did], ['', strong.did], ['__proto__', 'did:key:zabc'], ['é', weak.did]])
  const legacyFields: [string, CborValue][] = [
    ['type', 'create'],
    ['signingKey', weak.did],
    ['recoveryKey', strong.did],
    ['handle', 'old.example'],
    ['service', 'pds.example'],
    ['prev', null],
  ]
  const legacy = signOperation(new Map(legacyFields), strong)
  const at = (operation: Operation, ms: number): Step => ({ operation, at: START_MS + ms })
  const base58 = 'z' // a prev of history may be spelled in base58btc
  return {
    'valid/genesis': [at(genesis, 0)],
    'valid/update': [at(genesis, 0), at(update, HOUR_MS)],
    'valid/same-millisecond': [at(genesis, 0), at(update, 0)],
    'valid/recovery': [at(genesis, 0), at(theft, HOUR_MS), at(more, 2 * HOUR_MS), at(recovery, 3 * HOUR_MS)],
    'valid/recovery-at-72-hours': [at(genesis, 0), at(theft, HOUR_MS), at(recovery, HOUR_MS + RECOVERY_WINDOW_MS)],
    'valid/recovery-undone': [at(genesis, 0), at(theft, 1), at(recovery, 2), at(operation(genesis, strong, data('stronger')), 3)],
    'valid/tombstone': [at(genesis, 0), at(tombstone, HOUR_MS)],
    'valid/tombstone-undone': [at(genesis, 0), at(tombstone, HOUR_MS), at(operation(genesis, strong, data('alive')), 2 * HOUR_MS)],
    'valid/odd-identifiers': [at(operation(null, strong, data('odd', { verificationMethods: odd })), 0)],
    'valid/legacy-create': [at(legacy, 0), at(operation(legacy, weak, data('new')), HOUR_MS)],
    'invalid/genesis-signature': [at(operation(null, stranger, data('alice')), 0)],
    'invalid/genesis-tombstone': [at(signOperation(tombstoneValue(genesis.cid), strong), 0)],
    'invalid/high-s': [at(resigned(genesis, highS), 0)],
    'invalid/padded-signature': [at(resigned(genesis, (signature) => `${base64url.encode(signature)}==`), 0)],
    'invalid/long-signature': [at(resigned(genesis, (signature) => base64url.encode(Uint8Array.of(...signature, 0))), 0)],
    'invalid/update-by-stranger': [at(genesis, 0), at(operation(genesis, stranger, data('x')), 1)],
    'invalid/unknown-prev': [at(genesis, 0), at(operation(recovery, strong, data('x')), 1)],
    'invalid/misspelled-prev': [at(genesis, 0), at(operation(genesis.cid.toUpperCase(), strong, data('x')), 1)],
    'invalid/prev-no-cid': [at(genesis, 0), at(operation(base58, strong, data('x')), 1)],
    'invalid/second-genesis': [at(genesis, 0), at(operation(null, strong, data('other')), 1)],
    'invalid/after-tombstone': [at(genesis, 0), at(tombstone, 1), at(operation(tombstone, strong, data('x')), 2)],
    'invalid/recovery-by-same-key': [at(genesis, 0), at(theft, 1), at(operation(genesis, weak, data('x')), 2)],
    'invalid/recovery-by-weaker-key': [at(genesis, 0), at(update, 1), at(operation(genesis, weak, data('x')), 2)],
    'invalid/recovery-after-72-hours': [at(genesis, 0), at(theft, HOUR_MS), at(recovery, HOUR_MS + RECOVERY_WINDOW_MS + 1)],
    'invalid/recovery-not-later': [at(genesis, 0), at(theft, HOUR_MS), at(recovery, HOUR_MS)],
    'invalid/prev-nullified': [at(genesis, 0), at(theft, 1), at(recovery, 2), at(operation(theft, strong, data('x')), 3)],
    'invalid/nullified-again': [at(genesis, 0), at(theft, 1), at(recovery, 2), at(theft, 3)],
  }
}

// A history as a file: the audit log (of an invalid one all operations, the last of which is refused), and the outcome.
function historyVector(steps: readonly Step[]): string {
  const [first] = steps
  if (first === undefined) throw new Error('a history has a beginning')
  const did = didOf(first.operation.bytes)
  let chain: Chain = emptyChain(did)
  let code: string | null = null
  for (const { operation, at } of steps) {
    if (code !== null) throw new Error('only the last operation of a history may be refused')
    const { value, verdict } = verdictOf(() => applyOperation(chain, operation, at, findSigner(signatureQuestion(operation, chain))))
    if (verdict === null) ({ chain } = value)
    else ({ code } = verdict)
  }
  const records = steps.map(({ operation, at }, i): LedgerRecord => ({ did, operation, cid: operation.cid, createdAt: at, nullified: chain.links[i]?.nullified ?? false }))
  const head = headOf(chain)
  const current = head === null ? null : dataOf(head.operation)
  const document = current === null ? null : (JSON.parse(renderDocument(did, current)) as unknown)
  const outcome = code === null ? { document } : { refused: code }
  return pretty({ log: JSON.parse(renderAuditLog(records)) as unknown, signers: chain.links.map((link) => link.signer), ...outcome })
}

// Identities of every kind; two entries that replay rejects, and three after what the map is derived from.
function mapLog(): MapVectorLog {
  const genesis = operation(null, strong, data('alice'))
  const other = operation(null, middle, data('bob'))
  const theft = operation(other, weak, data('thief'))
  const legacy = signOperation(new Map<string, CborValue>([['type', 'create'], ['signingKey', weak.did], ['recoveryKey', strong.did], ['handle', 'old.example'], ['service', 'pds.example'], ['prev', null]]), strong)
  const ended = operation(null, strong, data('carol'))
  const plain = operation(null, strong, data('dave'))
  const of = (genesis: Operation, operation: Operation, source: string | null = null): Omit<Entry, 'createdAt'> => ({ did: didOf(genesis.bytes), operation, source })
  const entries = [
    of(legacy, legacy, 'elsewhere.example'),
    of(genesis, genesis),
    of(other, other),
    of(ended, ended),
    of(other, theft),
    of(plain, plain),
    of(genesis, operation(genesis, middle, data('alice2'))),
    of(plain, operation(plain, stranger, data('x'))),
    of(other, operation(other, strong, data('back'))),
    of(ended, signOperation(tombstoneValue(ended.cid), weak)),
    of(genesis, operation(other, strong, data('y'))),
    of(genesis, operation(operation(genesis, middle, data('alice2')), strong, data('alice3'))),
    of(plain, operation(plain, strong, data('dave2'))),
    of(ended, ended),
    of(other, operation(theft, strong, data('z'))),
  ].map((entry, i): Entry => ({ ...entry, createdAt: START_MS + HOUR_MS * i }))
  const did = (genesis: Operation): string => didOf(genesis.bytes)
  const absent = did(operation(null, strong, data('nobody')))
  return { entries, remarkable: { single: did(plain), updated: did(genesis), recovered: did(other), deactivated: did(ended), legacy: did(legacy), absent } }
}

function logVectors(): [string, string][] {
  const logKey = makeSigningKey('vectors.example/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
  const entries = Array.from({ length: 7 }, (_, i): Entry => {
    const genesis = operation(null, strong, data(`person${i}`))
    return { did: didOf(genesis.bytes), createdAt: START_MS + 1000 * i, operation: genesis, source: i < 2 ? 'elsewhere.example' : null }
  })
  const leaves = entries.map(encodeEntry)
  const hashes = leaves.map(leafHash)
  const { root, tiles } = grow(EMPTY_EDGE, leaves)
  const [tile] = tiles
  if (tile === undefined) throw new Error('seven entries make a tile')
  const checkpoint = signCheckpoint({ origin: logKey.name, size: entries.length, root }, [logKey])
  const proofOf = (plan: ReturnType<typeof inclusionPlan>): Uint8Array[] => proofFromTiles(plan, entries.length, () => tile.hashes)
  const described = entries.map((entry, i) => ({
    operation: JSON.parse(renderJson(entry.operation.value)) as unknown,
    did: entry.did,
    source: entry.source,
    bytes: hex.encode(leaves[i] ?? new Uint8Array()),
    leafHash: hex.encode(hashes[i] ?? new Uint8Array()),
    inclusion: proofOf(inclusionPlan(i, entries.length)).map((hash) => base64.encode(hash)),
    receipt: formatReceipt(entry, i, proofOf(inclusionPlan(i, entries.length)), checkpoint),
  }))
  const consistency = Array.from({ length: entries.length + 1 }, (_, size) => {
    const growth = grow(EMPTY_EDGE, leaves.slice(0, size))
    return { size, root: base64.encode(growth.root), proof: size === 0 ? [] : proofOf(consistencyPlan(size, entries.length)).map((hash) => base64.encode(hash)) }
  })
  return [
    ['log/log.vkey', `${formatVerifierKey(logKey)}\n`],
    ['log/checkpoint', checkpoint],
    ['log/entries.json', pretty(described)],
    ['log/consistency.json', pretty(consistency)],
    ['log/tiles.json', pretty({ [tilePath({ level: 0, index: 0, width: 7 })]: hex.encode(tile.hashes), [bundlePath(0, 7)]: hex.encode(encodeBundle(leaves)) })],
  ]
}

// Two logs under one key that part after their fourth entry, and what a log must not hold.
function evidenceVectors(): [string, string][] {
  const logKey = makeSigningKey('vectors.example/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
  const keys = [logKey]
  const text = (word: string, count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => utf8Encode(`${i < 4 ? 'entry' : word} ${i}`))
  const [left, right] = [text('left', 7), text('right', 9)]
  const note = (leaves: readonly Uint8Array[]): string => signCheckpoint({ origin: logKey.name, size: leaves.length, root: grow(EMPTY_EDGE, leaves).root }, keys)
  const proofOf = (plan: ReturnType<typeof inclusionPlan>, leaves: readonly Uint8Array[]): Uint8Array[] => {
    const [tile] = grow(EMPTY_EDGE, leaves).tiles
    return proofFromTiles(plan, leaves.length, () => tile?.hashes ?? new Uint8Array())
  }
  const rootAt = (leaves: readonly Uint8Array[], size: number): Uint8Array => grow(EMPTY_EDGE, leaves.slice(0, size)).root

  const genesis = operation(null, strong, data('alice'))
  const did = didOf(genesis.bytes)
  const other = operation(null, middle, data('bob'))
  const update = operation(genesis, weak, data('alice2'))
  const later = operation(update, weak, data('alice3'))
  const recovery = operation(genesis, middle, data('back'))
  const at = (operation: Operation, ms: number, who = did, source: string | null = null): Uint8Array => encodeEntry({ did: who, createdAt: START_MS + ms, operation, source })
  const start = at(genesis, 0)
  const broken: readonly (readonly [name: string, leaves: readonly Uint8Array[]])[] = [
    ['entry', [start, utf8Encode('no entry')]],
    ['genesis', [start, at(other, 1)]],
    ['prev', [start, at(operation(genesis.cid.toUpperCase(), strong, data('x')), 1)]],
    ['signature', [start, at(operation(genesis, stranger, data('x')), 1)]],
    ['twice', [start, at(update, 1), at(update, 2)]],
    ['place', [start, at(later, 1), at(update, 2)]],
    ['time', [start, at(other, 9, didOf(other.bytes)), at(update, 8)]],
    ['recovery', [start, at(update, HOUR_MS), at(operation(genesis, strong, data('late')), 2 * HOUR_MS + 2 * RECOVERY_WINDOW_MS)]],
    ['nullified', [start, at(update, 1), at(later, 2), at(recovery, 3), at(operation(later, weak, data('x')), 4)]],
  ]
  const files = new Map<string, string>([
    ['two-roots', formatEvidence(twoRoots(note(left), note(right.slice(0, 7)), keys))],
    ['fork', formatEvidence(fork(note(left), note(right), rootAt(right, 7), proofOf(consistencyPlan(7, 9), right), keys))],
  ])
  for (const [name, leaves] of broken) {
    const placed = leaves.map((entry, index) => ({ index, entry }))
    const breach = placed.toReversed().map((leaf) => findBreach(leaf, placed)).find((breach) => breach?.rule === name)
    if (breach === null || breach === undefined) throw new Error(`${name} is not broken`)
    const proofs = breach.leaves.map(({ index }) => proofOf(inclusionPlan(index, leaves.length), leaves))
    files.set(`broken-${name}`, formatEvidence(brokenRule(breach, proofs, note(leaves), keys)))
  }
  const file = (name: string): string => files.get(name) ?? ''
  const byStranger = (text: string): string => signCheckpoint(parseCheckpoint(text), [makeSigningKey(logKey.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(7))])
  const [first, second] = broken.find(([name]) => name === 'time')?.[1] ?? []
  if (first === undefined || second === undefined) throw new Error('there are entries')
  const invalid: readonly (readonly [name: string, text: string])[] = [
    ['one-root', formatEvidence({ kind: 'two-roots', checkpoints: [note(left), note(left)] })],
    ['two-sizes', formatEvidence({ kind: 'two-roots', checkpoints: [note(left), note(right)] })],
    ['unknown-key', formatEvidence({ kind: 'two-roots', checkpoints: [note(left), byStranger(parseNote(note(right.slice(0, 7))).text)] })],
    ['no-fork', formatEvidence({ kind: 'fork', checkpoints: [note(left.slice(0, 4)), note(right)], root: rootAt(right, 4), proof: proofOf(consistencyPlan(4, 9), right) })],
    ['fork-by-a-wrong-root', formatEvidence({ kind: 'fork', checkpoints: [note(right.slice(0, 7)), note(right)], root: rootAt(left, 7), proof: proofOf(consistencyPlan(7, 9), right) })],
    ['fork-larger-first', formatEvidence({ kind: 'fork', checkpoints: [note(right), note(left)], root: rootAt(right, 7), proof: proofOf(consistencyPlan(7, 9), right) })],
    ['rule-kept', formatEvidence({ kind: 'broken-rule', rule: 'time', leaves: [first, second].map((entry, index) => ({ index, entry, proof: proofOf(inclusionPlan(index, 2), [first, second]) })), operations: [], checkpoints: [note([first, second])] })],
    ['recovery-with-room-between', lateRecovery(2)],
    ['not-included', file('broken-entry').replace(/^entry 1 .*$/m, `entry 1 ${base64.encode(utf8Encode('not entry'))}`)],
    ['unordered', file('broken-time').replace(/^entry 1 /m, 'entry 3 ')],
    ['unknown-rule', file('broken-time').replace('broken-rule time', 'broken-rule tide')],
    ['another-version', file('two-roots').replace('v1', 'v2')],
    ['no-last-newline', file('two-roots').slice(0, -1)],
    ['three-checkpoints', `${file('two-roots')}\n${note(left)}`],
    ['unused-bits', file('fork').replace(/=$/m, '').replace(/^(root .{42})./m, '$1B')],
  ]
  const mapKey = makeSigningKey(mapOrigin(logKey.name), KEY_TYPES.ed25519, new Uint8Array(32).fill(2))
  const version = (size: number, root = rootAt(right, size)): Uint8Array => encodeMapLeaf({ mapRoot: new Uint8Array(32).fill(size), size, root })
  const wrongLeaf = { leaf: utf8Encode('no version of a map\n'), order: version(4), tree: version(7, rootAt(left, 7)), root: version(7) }
  const wrongMaps = MAP_FAULTS.map((fault): [string, string] => {
    const leaves = [version(2), version(4), wrongLeaf[fault]]
    const shown = (fault === 'order' ? [1, 2] : [2]).map((index) => ({ index, entry: leaves[index] ?? new Uint8Array(), proof: proofOf(inclusionPlan(index, 3), leaves) }))
    const tree = fault === 'tree' || fault === 'root' ? { root: rootAt(right, 7), proof: proofOf(consistencyPlan(7, 9), right) } : null
    const mapNote = signCheckpoint({ origin: mapKey.name, size: 3, root: grow(EMPTY_EDGE, leaves).root }, [mapKey])
    return [`evidence/map/${fault}.evidence`, formatEvidence(wrongMap(fault, shown, tree, tree === null ? [mapNote] : [mapNote, note(right)], [logKey, mapKey]))]
  })
  const seen = formatAlarm({ origin: logKey.name, time: START_MS, words: 'witness.example answered 409: it has seen 9 entries', parts: [alarmPart('request', `old 9\n\n${note(left)}`), alarmPart('response', '9\n')] })
  const refused = invalid.map(([name, text]) => [name, verdictOf(() => verifyEvidence(utf8Encode(text), keys)).verdict?.code ?? null])
  return [
    ['evidence/log.vkey', `${formatVerifierKey(logKey)}\n`],
    ...[...files].map(([name, text]): [string, string] => [`evidence/valid/${name}.evidence`, text]),
    ...invalid.map(([name, text]): [string, string] => [`evidence/invalid/${name}.evidence`, text]),
    ['evidence/map.vkey', `${formatVerifierKey(mapKey)}\n`],
    ...wrongMaps,
    ['evidence/refused.json', pretty(Object.fromEntries(refused))],
    ['evidence/seen.alarm', seen],
  ]

  // The strongest key undoes what the weakest signed: a recovery by the one between may have come first.
  function lateRecovery(hours: number): string {
    const leaves = [start, at(update, HOUR_MS), at(operation(genesis, strong, data('late')), hours * HOUR_MS + RECOVERY_WINDOW_MS)]
    const placed = leaves.map((entry, index) => ({ index, entry, proof: proofOf(inclusionPlan(index, 3), leaves) })).slice(1)
    return formatEvidence({ kind: 'broken-rule', rule: 'recovery', leaves: placed, operations: [genesis], checkpoints: [note(leaves)] })
  }
}

function pretty(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
