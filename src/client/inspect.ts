// An auditor's look at a log: fsck, what its witnesses signed, and what they hold, from where the last look ended. docs/following.md#audit

import { base64, bytesEqual, hex, utf8Encode } from '../core/encoding/text.ts'
import { encodeEntry, type Entry } from '../core/entry.ts'
import { DirectoryError } from '../core/errors.ts'
import type { Evidence } from '../core/evidence.ts'
import type { EntryRow, ReplayState } from '../core/replay.ts'
import { openCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { decodeEdge, edgeRoot, encodeEdge } from '../core/tlog/edge.ts'
import { formatVerifierKey, MAX_NOTE_LENGTH, parseNote, parseVerifierKey, verifyNote, type VerifierKey } from '../core/tlog/note.ts'
import { openUnderPolicy, witnessesOf, type Policy, type PolicyWitness } from '../core/tlog/policy.ts'
import { answerAll, type CheckStart, type Problem } from './check-tree.ts'
import { CursorError } from './cursor.ts'
import { findFork } from './fork.ts'
import { fsck, type FsckOptions, type FsckReport } from './fsck.ts'
import { readChainBefore, type ReadHistory } from './judge.ts'
import { parseJson } from './json.ts'
import { request, ServerError, sleep, UnreachableError, type RequestOptions } from './request.ts'
import { NotServedError, type TileReader } from './tile-reader.ts'

/** Where an audit ended. */
export interface AuditState {
  readonly state: ReplayState
  /** The checkpoint of that tree, as it was signed. */
  readonly note: string
  readonly keys: readonly VerifierKey[]
}

/** What is given to an audit. */
export interface InspectOptions extends Pick<FsckOptions, 'verifyAnswers' | 'onProgress' | 'signal'> {
  readonly keys: readonly VerifierKey[]
  /** null where no witness is of interest. */
  readonly policy: Policy | null
  /** Cosignatures before this, in seconds since 1970, do not count for the quorum. */
  readonly notBefore: number
  /** null for an audit of the whole log. */
  readonly since: AuditState | null
  /** What the server has of identities that changed before `since`. */
  readonly history: ReadHistory
  readonly request?: RequestOptions
}

/** What a witness of the policy holds of the log. */
export interface WitnessFinding {
  readonly name: string
  /**
   * `agrees`: the log's tree continues its own. `contradicts`: it does not, and there is evidence. `ahead`: it has a larger tree than the address shows.
   * `unproven`: the tiles do not show either. `never`: it cosigned nothing of this log. `silent`: it did not answer, or has no address. `invalid`: its answer is not signed as it must be.
   */
  readonly standing: 'agrees' | 'contradicts' | 'ahead' | 'unproven' | 'never' | 'silent' | 'invalid'
  /** Of the tree that it holds; null where it showed none. */
  readonly size: number | null
  /** Of its cosignature on the log's own checkpoint, seconds since 1970; null for none that is valid. */
  readonly cosignedAt: number | null
  readonly words: string
}

/** What an audit found. */
export interface Inspection {
  readonly report: FsckReport
  /** Entries before the first that was read. */
  readonly from: number
  /** All of the report's, and those of checkpoints and cosignatures. */
  readonly problems: readonly Problem[]
  /** Whether the quorum of the policy is met; null without one. */
  readonly quorum: boolean | null
  readonly witnesses: readonly WitnessFinding[]
  /** That the log contradicted itself. */
  readonly contradictions: readonly Evidence[]
  /** That an entry breaks a rule. */
  readonly brokenRules: readonly Evidence[]
  /** For the next audit; null where something is wrong. */
  readonly next: AuditState | null
}

/** How often the log is asked again where a witness is ahead of it: it may be about to publish. */
const AHEAD = { times: 5, waitMs: 1_000 }

/** Audits the log behind `reader`. What throws is an incident of the reader, or CursorError: nothing is found then. */
export async function inspectLog(reader: TileReader, options: InspectOptions): Promise<Inspection> {
  const { keys, policy, notBefore, since, history, verifyAnswers = answerAll } = options
  const origin = keys[0]?.name ?? ''
  // First what witnesses hold, and then the log, which must not be behind them.
  const held = await Promise.all((policy?.witnesses ?? []).map((witness) => readHeld(witness, origin, keys, options.request ?? {})))
  await untilReached(reader, keys, Math.max(0, ...held.map(({ checkpoint }) => checkpoint?.size ?? 0)), options.signal)
  const start = since === null ? {} : { start: startOf(since, history, verifyAnswers), kept: [{ note: since.note, where: 'the checkpoint of the last audit' }] }
  const report = await fsck(reader, keys, { ...pick(options), verifyAnswers, ...start })
  const problems = [...report.problems]
  const { checkpoint, note } = report
  const size = checkpoint?.size ?? 0
  if (since !== null && size < since.state.edge.size) {
    problems.push({ kind: 'checkpoint', where: 'checkpoint', words: `it is of ${size} entries, and one of ${since.state.edge.size} was audited before: what is shown is old, or entries were taken back` })
  }
  const cosigned = cosignaturesOf(note, policy, notBefore)
  problems.push(...cosigned.problems)
  const contradictions = report.evidence.filter(({ kind }) => kind !== 'broken-rule')
  const witnesses: WitnessFinding[] = []
  for (const one of held) {
    const finding = checkpoint === null ? unproven(one, 'the log shows no checkpoint') : await compare(reader, one, checkpoint, note, keys)
    if (finding.evidence !== null) contradictions.push(finding.evidence)
    if (finding.standing === 'contradicts' || finding.standing === 'unproven') problems.push({ kind: 'checkpoint', where: `the checkpoint that witness ${one.witness.name} holds`, words: finding.words })
    const cosignedAt = cosigned.times.get(one.witness.name) ?? null
    witnesses.push({ name: one.witness.name, standing: finding.standing, size: one.checkpoint?.size ?? null, cosignedAt, words: finding.words })
  }
  const whole = problems.length === 0 && contradictions.length === 0 && checkpoint !== null
  return {
    report,
    from: since?.state.edge.size ?? 0,
    problems,
    quorum: cosigned.quorum,
    witnesses,
    contradictions,
    brokenRules: report.evidence.filter(({ kind }) => kind === 'broken-rule'),
    next: whole ? { state: report.state, note, keys } : null,
  }
}

/** The text of a state. */
export function formatAuditState({ state: { edge, clock }, note, keys }: AuditState): string {
  return JSON.stringify({ stele: MAGIC, size: edge.size, root: base64.encode(edgeRoot(edge)), edge: base64.encode(encodeEdge(edge)), lastNative: clock.lastNative, note, keys: keys.map(formatVerifierKey) })
}

/** The state in a text. Throws CursorError for another one. */
export function parseAuditState(text: string): AuditState {
  try {
    const fields = parseJson(text) as { stele: unknown; size: number; root: string; edge: string; lastNative: number | null; note: string; keys: readonly string[] }
    if (fields.stele !== MAGIC) throw new Error('another version')
    const edge = decodeEdge(fields.size, base64.decode(fields.edge))
    const keys = fields.keys.map((key) => parseVerifierKey(key))
    const { checkpoint } = openCheckpoint(fields.note, keys)
    if (checkpoint.size !== edge.size || !bytesEqual(checkpoint.root, edgeRoot(edge))) throw new Error('the edge is not that of the checkpoint')
    if (fields.lastNative !== null && !Number.isSafeInteger(fields.lastNative)) throw new Error('lastNative')
    return { state: { edge, clock: { lastNative: fields.lastNative } }, note: fields.note, keys }
  } catch (cause) {
    throw new CursorError('the state of the last audit cannot be read: it is damaged, or was written by another version', { cause })
  }
}

const MAGIC = 'audit v1'

interface Held {
  readonly witness: PolicyWitness
  readonly note: string | null
  readonly checkpoint: Checkpoint | null
  /** Where there is none. */
  readonly standing: 'never' | 'silent' | 'invalid' | null
  readonly words: string
}

async function readHeld(witness: PolicyWitness, origin: string, keys: readonly VerifierKey[], options: RequestOptions): Promise<Held> {
  const none = (standing: 'never' | 'silent' | 'invalid', words: string): Held => ({ witness, note: null, checkpoint: null, standing, words })
  if (witness.url === null) return none('silent', 'the policy gives no address of it')
  const id = hex.encode(new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.from(utf8Encode(origin)))))
  try {
    const { body } = await request({ url: `${witness.url.replace(/\/+$/, '')}/${id}/checkpoint`, maxBytes: MAX_NOTE_LENGTH }, { attempts: 3, ...options })
    const note = new TextDecoder('utf-8', { ignoreBOM: true }).decode(body)
    const { checkpoint } = openCheckpoint(note, keys)
    if (checkpoint.origin !== origin) throw new DirectoryError('WRONG_ORIGIN', checkpoint.origin)
    if (verifyNote(parseNote(note), [witness.key]).length === 0) throw new DirectoryError('UNTRUSTED_NOTE')
    return { witness, note, checkpoint, standing: null, words: '' }
  } catch (error) {
    if (error instanceof DirectoryError) return none('invalid', `what it shows is not a checkpoint of this log with its cosignature: ${error.message}`)
    if (error instanceof ServerError && error.status === 404) return none('never', 'it has cosigned nothing of this log')
    if (error instanceof ServerError || error instanceof UnreachableError) return none('silent', error.message)
    throw error
  }
}

async function untilReached(reader: TileReader, keys: readonly VerifierKey[], size: number, signal: AbortSignal | undefined): Promise<void> {
  if (size === 0) return
  for (let attempt = 0; attempt < AHEAD.times; attempt++) {
    const note = await reader.checkpoint()
    try {
      if (openCheckpoint(note, keys).checkpoint.size >= size) return
    } catch (error) {
      if (error instanceof DirectoryError) return // fsck says what is wrong with it
      throw error
    }
    await sleep(AHEAD.waitMs, signal)
  }
}

interface Compared {
  readonly standing: WitnessFinding['standing']
  readonly words: string
  readonly evidence: Evidence | null
}

function unproven({ standing, words }: Held, reason: string): Compared {
  return { standing: standing ?? 'unproven', words: standing === null ? reason : words, evidence: null }
}

async function compare(reader: TileReader, held: Held, checkpoint: Checkpoint, note: string, keys: readonly VerifierKey[]): Promise<Compared> {
  const own = held.checkpoint
  if (own === null || held.note === null) return unproven(held, '')
  try {
    const evidence = await findFork(reader, held.note, note, keys)
    if (evidence !== null) return { standing: 'contradicts', words: `the log signed it and its own of ${checkpoint.size} entries, and they contradict each other`, evidence }
    if (own.size > checkpoint.size) return { standing: 'ahead', words: `it has cosigned ${own.size} entries, and this address shows ${checkpoint.size} of them`, evidence: null }
    return { standing: 'agrees', words: `it has cosigned ${own.size} entries, which the log continues`, evidence: null }
  } catch (error) {
    if (!(error instanceof DirectoryError || error instanceof NotServedError)) throw error
    // The tiles of a larger tree are not there to be compared.
    if (own.size > checkpoint.size) return { standing: 'ahead', words: `it has cosigned ${own.size} entries, and this address shows ${checkpoint.size}: whether they are the same cannot be seen here`, evidence: null }
    return { standing: 'unproven', words: `the tiles do not show that the log continues its ${own.size} entries: ${error.message}`, evidence: null }
  }
}

function cosignaturesOf(note: string, policy: Policy | null, notBefore: number): { readonly quorum: boolean | null; readonly times: ReadonlyMap<string, number>; readonly problems: readonly Problem[] } {
  const times = new Map<string, number>()
  if (policy === null) return { quorum: null, times, problems: [] }
  const problem = (words: string): Problem => ({ kind: 'checkpoint', where: 'the cosignatures on the checkpoint', words })
  const problems: Problem[] = []
  for (const { name, key } of policy.witnesses) {
    try {
      for (const { timestamp } of witnessesOf(policy, verifyNote(parseNote(note), [key]))) times.set(name, timestamp)
    } catch (error) {
      if (!(error instanceof DirectoryError)) throw error
      problems.push(problem(`that of witness ${name}: ${error.message}`))
    }
  }
  try {
    openUnderPolicy(note, policy, notBefore)
    return { quorum: policy.quorum === null ? null : true, times, problems }
  } catch (error) {
    if (!(error instanceof DirectoryError)) throw error
    // A bad signature of the log is fsck's to tell, one of a witness was told.
    if (error.code === 'QUORUM_NOT_MET') problems.push(problem(error.message))
    return { quorum: policy.quorum === null ? null : false, times, problems }
  }
}

function startOf({ state }: AuditState, history: ReadHistory, verify: NonNullable<FsckOptions['verifyAnswers']>): CheckStart {
  let unknown = 0
  return {
    state,
    async historyBefore(entries: readonly Entry[]) {
      const rows: EntryRow[] = []
      for (const entry of entries) {
        const { did, links } = entry.operation.prev === null ? { did: entry.did, links: [] } : await readChainBefore(entry, history, verify)
        for (const { operation, createdAt, signer, nullified } of links) {
          rows.push({ index: --unknown, did, cid: operation.cid, createdAt, signer, nullified, rejected: null, entry: encodeEntry({ did, createdAt, operation, source: null }) })
        }
      }
      return rows
    },
  }
}

function pick({ onProgress, signal }: Pick<InspectOptions, 'onProgress' | 'signal'>): Pick<FsckOptions, 'onProgress' | 'signal'> {
  return { ...(onProgress === undefined ? {} : { onProgress }), ...(signal === undefined ? {} : { signal }) }
}
