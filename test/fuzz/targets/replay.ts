// Fuzz target of replay: whole logs, described in JSON so that a change anywhere does not break every hash after it.
// Signatures are answers that the description gives, so that the rules behind them are reached.

import { encodeCbor, type CborValue } from '../../../src/core/encoding/dag-cbor.ts'
import { fromJson } from '../../../src/core/encoding/json.ts'
import { base32, base58btc } from '../../../src/core/encoding/text.ts'
import { formatTimestamp } from '../../../src/core/encoding/timestamp.ts'
import { DirectoryError } from '../../../src/core/errors.ts'
import type { Entry } from '../../../src/core/entry.ts'
import { checkRate } from '../../../src/core/plc/admission.ts'
import { headOf } from '../../../src/core/plc/chain.ts'
import { didOf } from '../../../src/core/plc/did.ts'
import { cidOf, normalizeCid } from '../../../src/core/encoding/cid.ts'
import type { Operation } from '../../../src/core/plc/operation.ts'
import type { SignatureAnswer } from '../../../src/core/plc/signature.ts'
import { chainsFromRows, EMPTY_CLOCK, planQuestions, planReplay, replay, type EntryRow, type ReplayState } from '../../../src/core/replay.ts'
import { edgeRoot, EMPTY_EDGE } from '../../../src/core/tlog/edge.ts'
import { naiveLeafHash, naiveRoot } from '../../support/naive-tree.ts'
import { accepted, bytesOfAll, must, mustEqual, mustEqualBytes, type Target } from '../target.ts'
import { textOf } from '../tree.ts'
import { parsedJson } from './encoding.ts'

/** One entry. `#n` as its DID or `prev` is that of the nth entry's operation; `#nz` its CID in base58btc. */
interface Step {
  readonly did: string
  /** Milliseconds since 2026 began. */
  readonly createdAt: number
  readonly source?: string
  /** What the signature says; 0 where it is absent. */
  readonly answer?: SignatureAnswer
  readonly operation: Readonly<Record<string, unknown>>
}

const START: ReplayState = { edge: EMPTY_EDGE, clock: EMPTY_CLOCK }
const WINDOW_MS = 72 * 3_600_000

const BEGIN_MS = Date.UTC(2026, 0, 1)
const data = (handle: string) => ({ type: 'plc_operation', rotationKeys: ['x'], verificationMethods: {}, alsoKnownAs: [`at://${handle}`], services: {}, sig: 'A' })
const update = (prev: string | null, handle = 'a') => ({ ...data(handle), prev })
const tombstone = (prev: string) => ({ type: 'plc_tombstone', prev, sig: 'A' })
const create = { type: 'create', signingKey: 'x', recoveryKey: 'y', handle: 'a', service: 'b', prev: null, sig: 'A' }

const LOGS: readonly (readonly Step[])[] = [
  // An update, a recovery, one more, and a tombstone.
  [
    { did: '#0', createdAt: 0, answer: 2, operation: update(null) },
    { did: '#0', createdAt: 1, answer: 2, operation: update('#0', 'b') },
    { did: '#0', createdAt: 2, answer: 1, operation: update('#0', 'c') },
    { did: '#0', createdAt: WINDOW_MS + 2, answer: 0, operation: update('#0', 'd') },
    { did: '#0', createdAt: WINDOW_MS + 2, answer: 1, operation: update('#3', 'e') },
    { did: '#0', createdAt: WINDOW_MS + 3, answer: 2, operation: tombstone('#3') },
    { did: '#0', createdAt: WINDOW_MS + 4, answer: 0, operation: update('#3', 'f') },
    { did: '#0', createdAt: WINDOW_MS + 5, answer: 0, operation: update('#1', 'g') },
  ],
  // Two identities, from elsewhere and then from here.
  [
    { did: '#0', createdAt: 50, source: 'old.example', operation: update(null) },
    { did: '#1', createdAt: 40, source: 'old.example', answer: 1, operation: create },
    { did: '#0', createdAt: 30, source: 'old.example', answer: 3, operation: update('#0z', 'b') },
    { did: '#1', createdAt: 60, answer: 2, operation: update('#1', 'c') },
    { did: '#0', createdAt: 60, answer: 1, operation: update('#2', 'c') },
    { did: '#0', createdAt: 70, answer: 0, operation: update('#0z', 'd') },
    { did: '#1', createdAt: 70, operation: tombstone('#3') },
    { did: '#1', createdAt: 71, operation: update('#6', 'e') },
  ],
  // Recoveries from elsewhere, whose times need not go forward, and operations that come again.
  [
    { did: '#0', createdAt: 10, source: 'old.example', operation: { ...update(null), alsoKnownAs: [] }, answer: null },
    { did: '#0', createdAt: 10, source: 'old.example', operation: { ...update(null), alsoKnownAs: [] }, answer: 2 },
    { did: '#0', createdAt: 5, source: 'old.example', answer: 2, operation: update('#1', 'b') },
    { did: '#0', createdAt: 5, source: 'old.example', answer: 0, operation: update('#1', 'c') },
    { did: '#0', createdAt: 6, source: 'old.example', answer: 1, operation: update('#1', 'd') },
    { did: '#0', createdAt: 6, source: 'old.example', answer: 0, operation: update('#1', 'e') },
    { did: '#0', createdAt: 20, source: 'old.example', answer: 0, operation: update('#1', 'e') },
    { did: '#0', createdAt: 20, answer: 0, operation: update('#6', 'f') },
    { did: '#0', createdAt: 21, answer: 0, operation: update('#6', 'f') },
  ],
  // A long chain that forks ever earlier.
  [
    { did: '#0', createdAt: 0, answer: 9, operation: update(null) },
    ...[0, 1, 2, 3].map((n) => ({ did: '#0', createdAt: n + 1, answer: 8 - n, operation: update(`#${n}`, `h${n}`) })),
    ...[2, 1, 0].map((n) => ({ did: '#0', createdAt: 20 - n, answer: 7 - n, operation: update(`#${n}`, `f${n}`) })),
    { did: '#0', createdAt: 30, answer: 0, operation: update('#0', 'last') },
  ],
]

const WORDS = [
  '#0', '#1', '#2', '#3', '#4', '#5', '#6', '#0z', '#1z', 'answer', 'source', 'old.example', 'createdAt', '2026-01-01T00:00:00.000Z',
  'plc_tombstone', 'sig', 'prev',
]

export const REPLAY_TARGETS: readonly Target[] = [
  {
    name: 'replay',
    form: 'json',
    seeds: bytesOfAll(LOGS.map((log) => JSON.stringify(log))),
    words: WORDS,
    hostile: bytesOfAll([JSON.stringify(Array.from(
      { length: 300 },
      (_, i) => ({ did: '#0', createdAt: i, answer: 300 - i, operation: update(
        i === 0 ? null : i % 3 === 0 ? `#${i - 3}` : `#${i - 1}`, String(i),
      ) }),
    ))]),
    run(input) {
      const json = parsedJson(textOf(input))?.value
      if (!Array.isArray(json)) return false
      const { leaves, answers } = readLog(json)
      const plan = planReplay(leaves)
      const whole = replay(START, plan, new Map(), answers)

      must(whole.state.edge.size === leaves.length && whole.rows.length === leaves.length, 'the tree grows by every leaf')
      mustEqualBytes(edgeRoot(whole.state.edge), naiveRoot(leaves.map(naiveLeafHash)), 'the root is that of the leaves')
      mustEqualBytes(whole.growth.root, edgeRoot(whole.state.edge), 'growth says the same')
      mustEqual(
        whole.rows.map((row) => [row.signer === null, row.rejected]),
        whole.rows.map((row) => [row.rejected !== null, whole.verdicts.get(row.index)?.code ?? null]),
        'a rejected entry has a verdict and no signer',
      )
      mustEqual(whole.rows.map((row) => row.index), leaves.map((_, i) => i), 'rows stand in the order of their leaves')
      const naive = judge(plan.decoded, answers)
      mustEqual(whole.rows.map((row) => row.rejected === null), naive.map(({ accepted }) => accepted), 'what breaks a rule is rejected, nothing else')
      mustEqual(whole.rows.map((row) => row.nullified), naive.map(({ nullified }) => nullified), 'what a recovery undoes is nullified, nothing else')
      const newest = plan.decoded.findLast((entry) => !(entry instanceof DirectoryError))
      if (newest !== undefined && !(newest instanceof DirectoryError)) checkHeads(whole.rows, newest.operation)
      checkQuestions(plan.decoded, whole.rows)
      if (input.length % 2 === 1) checkRuns(leaves, answers, whole.rows, whole.state, input.length)
      return leaves.length > 0 && whole.rows.every((row) => row.rejected !== 'MALFORMED_ENTRY')
    },
  },
]

/** The leaves that a description means, and the answers to their signatures. A leaf that cannot be written is rubbish. */
function readLog(steps: readonly unknown[]): { leaves: Uint8Array[]; answers: SignatureAnswer[] } {
  const written: { did: string; cid: string }[] = []
  const named = (value: unknown, what: 'did' | 'cid'): unknown => {
    const [, nth, spelling] = typeof value === 'string' ? (/^#(\d{1,3})(z?)$/.exec(value) ?? []) : []
    const other = nth === undefined ? undefined : written[Number(nth)]
    if (other === undefined) return value
    return spelling === 'z' && what === 'cid' ? `z${base58btc.encode(base32.decode(other.cid.slice(1)))}` : other[what]
  }
  const answers: SignatureAnswer[] = []
  const leaves = steps.map((step) => {
    const members = new Map<string, unknown>(typeof step === 'object' && step !== null ? Object.entries(step) : [])
    const answer = members.get('answer') ?? 0
    answers.push(typeof answer === 'number' && Number.isSafeInteger(answer) && answer >= 0 ? answer : null)
    members.delete('answer')
    const createdAt = members.get('createdAt')
    if (typeof createdAt === 'number') members.set('createdAt', accepted(() => formatTimestamp(BEGIN_MS + createdAt))?.value ?? String(createdAt))
    const operation = members.get('operation')
    const fields = typeof operation === 'object' && operation !== null ? Object.entries(operation).map(([key, value]) => [
      key, key === 'prev' ? named(value, 'cid') : value,
    ]) : []
    const encoded = accepted(() => encodeCbor(fromJson(Object.fromEntries(fields))))?.value ?? new Uint8Array()
    written.push({ did: didOf(encoded), cid: cidOf(encoded) })
    members.set('did', named(members.get('did'), 'did'))
    members.set('operation', Object.fromEntries(fields))
    return accepted(() => encodeCbor(new Map([...members].map(([key, value]): [string, CborValue] => [key, fromJson(value)]))))?.value ?? encoded
  })
  return { leaves, answers }
}

interface Judged {
  accepted: boolean
  nullified: boolean
}

/** The rules, told once more: an identity is the path of its operations in effect, which a recovery cuts. spec/log.md#replay */
function judge(decoded: readonly (Entry | DirectoryError)[], answers: readonly SignatureAnswer[]): Judged[] {
  interface Known extends Judged { readonly entry: Entry; readonly signer: number }
  const judged: Judged[] = []
  const paths = new Map<string, Known[]>()
  const all = new Map<string, Known[]>()
  let lastNative = -Infinity
  for (const [i, entry] of decoded.entries()) {
    const verdict: Judged = { accepted: false, nullified: false }
    judged.push(verdict)
    if (entry instanceof DirectoryError) continue
    const { did, createdAt, operation, source } = entry
    const [path, known, signer] = [paths.get(did) ?? [], all.get(did) ?? [], answers[i] ?? null]
    if (source !== null && lastNative !== -Infinity) continue
    if (source === null && (createdAt < lastNative || known.some((other) => other.entry.createdAt >= createdAt))) continue
    if (signer === null || known.some((other) => other.entry.operation.cid === operation.cid)) continue
    const prev = operation.prev === null ? null : (accepted(() => normalizeCid(operation.prev ?? ''))?.value ?? 'none')
    const parent = path.findIndex((other) => other.entry.operation.cid === prev)
    const undone = path.slice(parent + 1)
    const [first, head] = [undone[0], undone.at(-1)]
    if (path.length === 0) {
      if (prev !== null || operation.type === 'plc_tombstone' || didOf(operation.bytes) !== did) continue
    } else {
      if (parent < 0 || path[parent]?.entry.operation.type === 'plc_tombstone') continue
      if (first !== undefined && head !== undefined) {
        if (signer >= first.signer || createdAt <= head.entry.createdAt || createdAt - first.entry.createdAt > WINDOW_MS) continue
      }
    }
    for (const other of undone) other.nullified = true
    const kept: Known = Object.assign(verdict, { accepted: true, entry, signer })
    paths.set(did, [...path.slice(0, parent + 1), kept])
    all.set(did, [...known, kept])
    if (source === null) lastNative = createdAt
  }
  return judged.map(({ accepted, nullified }) => ({ accepted, nullified }))
}

function checkHeads(rows: readonly EntryRow[], newest: Operation): void {
  const chains = chainsFromRows(rows)
  mustEqual(
    [...chains.keys()], [...new Set(rows.filter((row) => row.rejected === null).map((row) => row.did))],
    'every identity that has operations has a chain',
  )
  for (const { chain } of chains.values()) {
    const followed = chain.links.filter((link) => !link.nullified).map(({ operation }) => operation.prev === null ? null : normalizeCid(operation.prev))
    const inEffect = chain.links.filter((link) => !link.nullified).map(({ operation }) => operation.cid)
    mustEqual(followed, [null, ...inEffect.slice(0, -1)], 'each operation in effect follows the one before it')
    mustEqual(headOf(chain)?.operation.cid, inEffect.at(-1), 'and the last one is the head')
    must(new Set(chain.links.map((link) => link.operation.cid)).size === chain.links.length, 'no operation is there twice')
    accepted(() => checkRate(chain, newest, BEGIN_MS)) // a verdict or none
    must(chain.links.at(-1)?.nullified === false, 'nothing is nullified but by what comes later')
  }
}

// A question may be asked before it is known which entries are accepted: every one that is has had its question.
function checkQuestions(decoded: readonly (Entry | DirectoryError)[], rows: readonly EntryRow[]): void {
  const asked = decoded.flatMap((entry, i) => (entry instanceof DirectoryError ? [] : [{ entry, row: rows[i] }]))
  const questions = planQuestions(asked.map(({ entry }) => entry), new Map())
  for (const [i, { row }] of asked.entries()) must(row?.rejected !== null || questions[i] !== null, 'whoever is accepted was asked about')
}

// In two runs, over chains read back from rows, what came of one.
function checkRuns(leaves: readonly Uint8Array[], answers: readonly SignatureAnswer[], expected: readonly EntryRow[], end: ReplayState, salt: number): void {
  const cut = leaves.length === 0 ? 0 : salt % leaves.length
  const first = replay(START, planReplay(leaves.slice(0, cut)), new Map(), answers.slice(0, cut))
  const plan = planReplay(leaves.slice(cut))
  const second = replay(first.state, plan, chainsFromRows(first.rows.filter((row) => plan.dids.includes(row.did))), answers.slice(cut))
  must(second.nullified.every((index) => index < cut && first.rows[index]?.nullified === false), 'a run nullifies what is below it and in effect')
  const rows = [...first.rows.map((row) => (second.nullified.includes(row.index) ? { ...row, nullified: true } : row)), ...second.rows]
  mustEqual(rows.map(withoutBytes), expected.map(withoutBytes), 'two runs give the rows of one')
  must(rows.every((row, i) => row.entry === leaves[i]), 'with the bytes of the leaves')
  mustEqual(second.state, end, 'and end where it ends')
}

function withoutBytes({ index, did, cid, createdAt, signer, nullified, rejected }: EntryRow): unknown[] {
  return [index, did, cid, createdAt, signer, nullified, rejected]
}
