// A synthetic ledger of any size, the same for the same seed, shaped like the real one: mostly accounts with one
// operation, a few with hundreds, both curves, rotation keys that hosts share, some legacy genesis operations,
// recoveries, tombstones and operations of the largest size. As export lines.
//
// node bench/ledger.ts --operations 100000 --seed 1 > ledger.jsonl

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import secp256k1 from 'secp256k1'
import type { CborMap, CborValue } from '../src/core/encoding/dag-cbor.ts'
import { base64url } from '../src/core/encoding/text.ts'
import { didOf } from '../src/core/plc/did.ts'
import { operationValue, tombstoneValue, type IdentityData, type Operation } from '../src/core/plc/operation.ts'
import { renderSequenced, type LedgerRecord } from '../src/core/plc/records.ts'
import { signerFromSecret, signOperation, type OperationSigner } from '../src/core/plc/signature.ts'

/** Shares of one in so many. */
const SHAPE = {
  /** Of all operations, those that are no genesis: 1.25 operations an identity. */
  updateShare: 0.2,
  /** Of all identities, those that go on for hundreds of operations. */
  longShare: 1 / 10_000,
  longLength: 300,
  p256Share: 0.05,
  legacyShare: 0.01,
  recoveryShare: 0.005,
  tombstoneShare: 0.01,
  largeShare: 0.005,
  hosts: 50,
  accountKeys: 500,
  startMs: Date.parse('2022-11-17T00:00:00.000Z'),
  stepMs: 60,
} as const

interface Account {
  readonly did: string
  readonly host: OperationSigner
  readonly own: OperationSigner
  readonly name: string
  /** Operations in effect, oldest first; the last two are enough. */
  readonly chain: Operation[]
  headAt: number
  rest: number
}

/** The records of a ledger of `operations` operations, in order. */
export function* ledger(operations: number, seed: number): Generator<LedgerRecord> {
  const random = prng(seed)
  const hosts = Array.from({ length: SHAPE.hosts }, (_, i) => makeSigner(`host ${seed} ${i}`, false))
  const keys = Array.from({ length: SHAPE.accountKeys }, (_, i) => makeSigner(`account ${seed} ${i}`, i < SHAPE.accountKeys * SHAPE.p256Share))
  const pick = <T>(items: readonly T[]): T => {
    const item = items[Math.floor(random() * items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }
  const open: Account[] = []
  let now: number = SHAPE.startMs
  for (let seq = 1; seq <= operations; seq++) {
    now += 1 + Math.floor(random() * 2 * SHAPE.stepMs)
    const going = random() < SHAPE.updateShare ? takeOne(open, random) : null
    if (going === null) {
      const account = newAccount(seq, pick(hosts), pick(keys), random)
      account.headAt = now
      if (account.rest > 0) open.push(account)
      yield record(account, account.chain[0], seq, now)
    } else {
      const operation = nextOperation(going, seq, now, random)
      going.headAt = now
      going.rest--
      if (going.rest > 0 && operation.type !== 'plc_tombstone') open.push(going)
      yield record(going, operation, seq, now)
    }
  }
}

function newAccount(seq: number, host: OperationSigner, own: OperationSigner, random: () => number): Account {
  const name = `user${seq.toString(36)}.example`
  const genesis = random() < SHAPE.legacyShare ? signOperation(legacyValue(name, host, own), own) : signOperation(operationValue({ ...dataOf(name, host, own), prev: null }), host)
  const long = random() < SHAPE.longShare
  return { did: didOf(genesis.bytes), host, own, name, chain: [genesis], headAt: 0, rest: long ? SHAPE.longLength : 1 }
}

function nextOperation(account: Account, seq: number, now: number, random: () => number): Operation {
  const { chain, host, own, name } = account
  const [head, before] = [chain.at(-1), chain.at(-2)]
  if (head === undefined) throw new Error('an account has a genesis')
  const chance = random()
  const legacy = chain[0]?.type === 'create'
  if (chance < SHAPE.recoveryShare && before !== undefined && !legacy && now - account.headAt < 3 * 86_400_000) {
    chain.splice(-1, 1, signOperation(operationValue({ ...dataOf(name, host, own), prev: before.cid }), own))
  } else if (chance < SHAPE.recoveryShare + SHAPE.tombstoneShare) {
    chain.push(signOperation(tombstoneValue(head.cid), legacy ? own : host))
  } else {
    const large = random() < SHAPE.largeShare ? Array.from({ length: 9 }, (_, i) => `at://${String(i).repeat(240)}.example`) : []
    const data = { ...dataOf(name, host, own), alsoKnownAs: [`at://${seq.toString(36)}.${name}`, ...large] }
    chain.push(signOperation(operationValue({ ...data, prev: head.cid }), chain.length === 1 && legacy ? own : host))
  }
  const operation = chain.at(-1)
  if (operation === undefined) throw new Error('an operation was made')
  return operation
}

// The account's own key is the stronger one, so that it can undo what its host did.
function dataOf(name: string, host: OperationSigner, own: OperationSigner): IdentityData {
  return {
    rotationKeys: [own.did, host.did],
    verificationMethods: new Map([['atproto', own.did]]),
    alsoKnownAs: [`at://${name}`],
    services: new Map([['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: `https://host-${host.did.slice(-6)}.example` }]]),
  }
}

function legacyValue(name: string, host: OperationSigner, own: OperationSigner): CborMap {
  return new Map<string, CborValue>([
    ['type', 'create'],
    ['signingKey', own.did],
    ['recoveryKey', host.did],
    ['handle', name],
    ['service', 'https://host.example'],
    ['prev', null],
  ])
}

function record({ did }: Account, operation: Operation | undefined, seq: number, createdAt: number): LedgerRecord {
  if (operation === undefined) throw new Error('a record has an operation')
  return { did, operation, cid: operation.cid, createdAt, seq }
}

function takeOne(open: Account[], random: () => number): Account | null {
  const at = Math.floor(random() * open.length)
  const account = open[at]
  const last = open.pop()
  if (account === undefined || last === undefined) return null
  if (account !== last) open[at] = last
  return account
}

// Deterministic nonces on both curves; libsecp256k1 only makes it faster.
function makeSigner(name: string, p256: boolean): OperationSigner {
  const secret = createHash('sha256').update(name).digest()
  const signer = signerFromSecret(p256 ? 'p256' : 'k256', new Uint8Array(secret))
  if (p256) return signer
  return { did: signer.did, sign: (message) => base64url.encode(secp256k1.ecdsaSign(createHash('sha256').update(message).digest(), secret).signature) }
}

function prng(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { operations: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' } } })
  for (const line of ledger(Number(values.operations), Number(values.seed))) {
    if (!process.stdout.write(`${renderSequenced(line)}\n`)) await once(process.stdout, 'drain')
  }
}
