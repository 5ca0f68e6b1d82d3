// Generated histories of one identity, applied step by step to our chain rules and to those of the published library
// `@did-plc/lib`. Every difference is either one that spec/did-plc.md#differences names, or a failure.

import { createRequire } from 'node:module'
import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { assureValidNextOp, type CompatibleOpOrTombstone, type IndexedOperation } from '@did-plc/lib'
import fc from 'fast-check'
import { vi } from 'vitest'
import { verdictOf } from '../../src/core/errors.ts'
import { encodeCbor, type CborMap, type CborValue } from '../../src/core/encoding/dag-cbor.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { base32, base58btc, base64url } from '../../src/core/encoding/text.ts'
import { emptyChain, headOf, RECOVERY_WINDOW_MS, type Chain, type Link } from '../../src/core/plc/chain.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { operationValue, parseOperation, rotationKeysOf, tombstoneValue } from '../../src/core/plc/operation.ts'
import { accept, createValue, identityData, testKey, type TestKey } from './identities.ts'

const KEYS = [0, 1, 2, 3].map(testKey)
const ED25519 = 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'
const UNPARSABLE = 'did:key:zQ3shunparsable'

/** Rotation keys of one operation: names of test keys, or what stands in their place. */
const ROTATIONS = ['012', '102', '01', '0', '1', '321', '00', '110', '', '012301', 'x0', '0x'] as const
const TIMES = ['next', 'later', 'same', 'earlier', 'window', 'window+1', 'window-1'] as const
const SIGNATURES = ['good', 'wrong key', 'high s', 'DER', 'padded', 'padding bits', 'truncated', 'extended', 'empty', 'garbage'] as const
const PREVS = ['base32', 'base58btc', 'upper case', 'raw codec', 'unknown', 'garbage', 'empty', 'null'] as const
const KINDS = ['update', 'tombstone', 'create', 'repeat'] as const
const EXTRAS = ['none', 'field', 'ed25519 method'] as const

/** One proposal, to be read against the chain as it is then. */
interface Step {
  readonly kind: (typeof KINDS)[number]
  /** How many operations in effect it would nullify, if there are as many; -1: it follows a nullified one, if there is one. */
  readonly back: number
  /** Which of the parent's rotation keys signs; null: the strongest for a recovery, the weakest for an update. */
  readonly signer: number | null
  readonly rotation: (typeof ROTATIONS)[number]
  readonly time: (typeof TIMES)[number]
  readonly signature: (typeof SIGNATURES)[number]
  readonly prev: (typeof PREVS)[number]
  readonly extra: (typeof EXTRAS)[number]
}

// A history: its first step is the genesis.
const histories: fc.Arbitrary<Step[]> = fc.tuple(stepOf(true), fc.array(stepOf(false), { minLength: 1, maxLength: 5 })).map(([first, rest]) => [first, ...rest])

function stepOf(genesis: boolean): fc.Arbitrary<Step> {
  return fc.record({
    kind: mostly(KINDS, genesis ? 30 : 24),
    back: fc.constantFrom(...(genesis ? [0] : [0, 0, 0, 1, 1, 2, 3, -1])),
    signer: fc.constantFrom(null, null, null, 0, 1, 2),
    rotation: mostly(ROTATIONS, genesis ? 80 : 32),
    time: mostly(TIMES, 6),
    signature: mostly(SIGNATURES, genesis ? 150 : 50),
    prev: mostly(PREVS, 60),
    extra: mostly(EXTRAS, 40),
  })
}

/** The first choice `weight` times as often as each. */
function mostly<T>(choices: readonly T[], weight: number): fc.Arbitrary<T> {
  return fc.oneof(...choices.map((value, i) => ({ arbitrary: fc.constant(value), weight: i === 0 ? weight : 1 })))
}

/** What became of one proposal. */
interface Outcome {
  /** `accepted`, `recovery`, or the code of our verdict. */
  readonly ours: string
  /** Which of the named differences showed; null where both agreed. */
  readonly difference: Difference | null
}

/** The differences that spec/did-plc.md#differences names, with who is the stricter. */
export const DIFFERENCES = {
  'high s on P-256': 'ours',
  'DER on secp256k1': 'ours',
  'padded base64url': 'ours',
  'unknown fields': 'ours',
  'recovery not later than the head': 'ours',
  'number of rotation keys': 'lib',
  'unparsable keys': 'lib',
} as const

type Difference = keyof typeof DIFFERENCES

/** Compares generated histories; how often each verdict of ours and each named difference came up. */
export async function compareHistories(numRuns: number, seed: number): Promise<ReadonlyMap<string, number>> {
  const seen = new Map<string, number>()
  const clock = vi.spyOn(Date, 'now') // the library reads the time of a recovery there
  try {
    await fc.assert(
      fc.asyncProperty(histories, async (steps) => {
        for (const { ours, difference } of await compareHistory(steps, (now) => clock.mockReturnValue(now))) {
          const what = difference ?? ours
          seen.set(what, (seen.get(what) ?? 0) + 1)
        }
      }),
      { numRuns, seed },
    )
  } finally {
    clock.mockRestore()
  }
  return seen
}

/** Applies a history to both; throws where they differ and no named difference explains it. */
async function compareHistory(steps: readonly Step[], clock: (now: number) => void): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  let chain = emptyChain('')
  for (const step of steps) {
    const proposal = propose(chain, step)
    if (chain.links.length === 0) chain = emptyChain(didOf(encodeCbor(proposal.value)))
    const ours = verdictOf(() => accept(chain, parseOperation(proposal.value), proposal.createdAt))
    clock(proposal.createdAt)
    const theirs = await askLibrary(chain, proposal.value)
    const mine = ours.value === null ? null : ours.value.nullified.map((at) => chain.links[at]?.operation.cid ?? '')
    const difference = explain(chain, step, proposal, mine !== null, theirs !== null)
    if (difference === null && JSON.stringify(mine) !== JSON.stringify(theirs)) {
      throw new Error(`${step.kind}: ours ${ours.verdict?.code ?? String(mine)}, the library's ${String(theirs)}\n${renderJson(proposal.value)}`)
    }
    outcomes.push({ ours: ours.verdict?.code ?? (mine !== null && mine.length > 0 ? 'recovery' : 'accepted'), difference })
    if (ours.value === null && chain.links.length === 0) return outcomes
    chain = ours.value?.chain ?? chain
  }
  return outcomes
}

interface Proposal {
  readonly value: CborMap
  readonly createdAt: number
  readonly key: TestKey
}

function propose(chain: Chain, step: Step): Proposal {
  const inEffect = chain.links.filter((link) => !link.nullified)
  const lost = step.back < 0 ? chain.links.findLast((link) => link.nullified) : undefined
  const at = Math.max(0, inEffect.length - 1 - Math.max(0, step.back))
  const [parent, disputed] = lost === undefined ? inEffect.slice(at, at + 2) : [lost]
  const createdAt = timeOf(step, headOf(chain), disputed)
  const keys = parent === undefined ? keysOf(step.rotation) : rotationKeysOf(parent.operation)
  const signer = step.signer ?? (disputed === undefined ? keys.length - 1 : 0)
  const signerKey = KEYS.find((key) => key.did === keys[signer % Math.max(1, keys.length)]) ?? KEYS[0]
  const key = step.signature === 'wrong key' ? testKey(9) : signerKey
  if (key === undefined) throw new Error('there are keys')
  if (step.kind === 'repeat') {
    const again = chain.links[signer % Math.max(1, chain.links.length)]
    if (again !== undefined) return { value: again.operation.value, createdAt, key }
  }
  const unsigned = new Map(unsignedOf(step, prevOf(step, parent)))
  if (step.extra === 'field') unsigned.set('note', 'hello')
  return { value: new Map([...unsigned, ['sig', signatureOf(step, key, encodeCbor(unsigned))]]), createdAt, key }
}

function unsignedOf(step: Step, prev: string | null): CborMap {
  if (step.kind === 'tombstone') return tombstoneValue(prev ?? 'null')
  const [first = '', second = first] = keysOf(step.rotation)
  if (step.kind === 'create') {
    return createValue({ signingKey: second, recoveryKey: first, handle: 'alice.example', service: 'pds.example' })
  }
  const data = identityData(keysOf(step.rotation), `${step.time.replace(/\W/g, '')}.example`)
  const methods = step.extra === 'ed25519 method' ? new Map([['atproto', ED25519]]) : data.verificationMethods
  return operationValue({ ...data, verificationMethods: methods, prev })
}

function keysOf(rotation: string): string[] {
  return rotation.split('').map((name) => (name === 'x' ? UNPARSABLE : (KEYS[Number(name)]?.did ?? '')))
}

function timeOf(step: Step, head: Link | null, disputed: Link | undefined): number {
  const last = head?.createdAt ?? 1_700_000_000_000
  if (step.time.startsWith('window') && disputed !== undefined) {
    return disputed.createdAt + RECOVERY_WINDOW_MS + Number(step.time.slice('window'.length))
  }
  return { same: last, earlier: last - 1, later: last + RECOVERY_WINDOW_MS / 2 }[step.time as 'same'] ?? last + 1000
}

function prevOf(step: Step, parent: Link | undefined): string | null {
  if (parent === undefined) return step.prev === 'garbage' ? 'garbage' : null
  const { cid } = parent.operation
  const bytes = base32.decode(cid.slice(1))
  switch (step.prev) {
    case 'base32':
      return cid
    case 'base58btc':
      return `z${base58btc.encode(bytes)}`
    case 'upper case':
      return cid.toUpperCase()
    case 'raw codec':
      return `b${base32.encode(bytes.with(1, 0x55))}`
    case 'unknown':
      return `b${base32.encode(bytes.with(9, (bytes[9] ?? 0) ^ 1))}`
    case 'garbage':
      return 'garbage'
    case 'empty':
      return ''
    case 'null':
      return null
  }
  throw new Error('a spelling of prev')
}

function signatureOf(step: Step, key: TestKey, message: Uint8Array): string {
  const sig = key.sign(message)
  const bytes = base64url.decode(sig)
  const { Signature } = key.curve === 'k256' ? secp256k1 : p256
  switch (step.signature) {
    case 'high s': {
      const { r, s } = Signature.fromBytes(bytes, 'compact')
      const order = key.curve === 'k256' ? secp256k1.Point.Fn.ORDER : p256.Point.Fn.ORDER
      return base64url.encode(new Signature(r, order - s).toBytes('compact'))
    }
    case 'DER':
      return base64url.encode(Signature.fromBytes(bytes, 'compact').toBytes('der'))
    case 'padded':
      return `${sig}==`
    case 'padding bits':
      return sig.slice(0, -1) + nextDigit(sig.at(-1) ?? 'A')
    case 'truncated':
      return base64url.encode(bytes.subarray(0, 63))
    case 'extended':
      return base64url.encode(Uint8Array.of(...bytes, 0))
    case 'empty':
      return ''
    case 'garbage':
      return '!!!!'
    default:
      return sig
  }
}

// 64 bytes leave four unused bits in the last of 86 digits.
function nextDigit(digit: string): string {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return digits[digits.indexOf(digit) + 1] ?? 'B'
}

/** The named difference that two verdicts show; null where they are the same. */
function explain(chain: Chain, step: Step, { value, createdAt, key }: Proposal, ours: boolean, lib: boolean): Difference | null {
  if (ours === lib) return null
  const found = (Object.keys(DIFFERENCES) as Difference[]).find((difference) => {
    if (DIFFERENCES[difference] !== (ours ? 'lib' : 'ours')) return false
    switch (difference) {
      case 'high s on P-256':
        return step.signature === 'high s' && key.curve === 'p256'
      case 'DER on secp256k1':
        return step.signature === 'DER' && key.curve === 'k256'
      case 'padded base64url':
        return step.signature === 'padded'
      case 'unknown fields':
        return value.has('note')
      case 'recovery not later than the head':
        return step.back > 0 && createdAt <= (headOf(chain)?.createdAt ?? 0)
      case 'number of rotation keys': {
        const keys = value.get('rotationKeys')
        return Array.isArray(keys) && (keys.length === 0 || keys.length > 5)
      }
      case 'unparsable keys':
        return renderJson(value).includes(UNPARSABLE) || renderJson(value).includes(ED25519)
    }
    return false
  })
  return found ?? null
}

const require = createRequire(createRequire(import.meta.url).resolve('@did-plc/lib'))
const { CID } = require('multiformats/cid') as { CID: { parse(text: string): IndexedOperation['cid'] } }

/** The CIDs that the library would nullify; null where it refuses. It knows operations in effect only. */
async function askLibrary(chain: Chain, value: CborMap): Promise<string[] | null> {
  const ops = chain.links
    .filter((link) => !link.nullified)
    .map(({ operation, createdAt }) => ({
      did: chain.did,
      operation: plain(operation.value),
      cid: CID.parse(operation.cid),
      nullified: false,
      createdAt: new Date(createdAt),
    }))
  try {
    const { nullified } = await assureValidNextOp(chain.did, ops, plain(value))
    return nullified.map(String)
  } catch {
    return null
  }
}

function plain(value: CborValue): CompatibleOpOrTombstone {
  return JSON.parse(renderJson(value)) as CompatibleOpOrTombstone
}
