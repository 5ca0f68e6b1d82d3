// An auditor's look at a log: fsck, what its witnesses signed, and what they hold, from where the last look ended. docs/following.md#audit

import { base64, bytesEqual } from '../core/encoding/text.ts'
import { encodeEntry, type Entry } from '../core/entry.ts'
import { DirectoryError, verdictOf } from '../core/errors.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Sha256 } from '../core/map/hash.ts'
import type { EntryRow, ReplayState } from '../core/replay.ts'
import { openCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { decodeEdge, edgeRoot, encodeEdge } from '../core/tlog/edge.ts'
import type { KeyStatement } from '../core/tlog/key-statement.ts'
import { formatVerifierKey, parseNote, parseVerifierKey, verifyNote, type VerifierKey } from '../core/tlog/note.ts'
import { openUnderPolicy, witnessesOf, type Policy } from '../core/tlog/policy.ts'
import { mapStartFields, openMapCheck, wentBack, readMapStart, type MapCheckStart, type MapReport } from './check-map.ts'
import { answerAll, type CheckStart, type Problem } from './check-tree.ts'
import { CursorError } from './cursor.ts'
import { findFork, findWrongMap, type ServedTree } from './fork.ts'
import { fsck, orNothing, type FsckOptions, type FsckReport } from './fsck.ts'
import { readChainBefore, type ReadHistory } from './judge.ts'
import { parseJson } from './json.ts'
import { keysBeyond } from './keys.ts'
import { MismatchError } from './mismatch.ts'
import { openProvenTree, type ProvenTree } from './proven-tree.ts'
import { ServerError, sleep, type RequestOptions } from './request.ts'
import { NotServedError, type TileReader } from './tile-reader.ts'
import { readHeld, type Held } from './witness-held.ts'

/** Where an audit ended. */
export interface AuditState {
  readonly state: ReplayState
  /** The checkpoint of that tree, as it was signed. */
  readonly note: string
  readonly keys: readonly VerifierKey[]
  /** Of the map's log; null where there was none. */
  readonly map: (MapCheckStart & { readonly keys: readonly VerifierKey[] }) | null
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
  /** What the log says of its keys, to whoever knows some: a log that has changed its key is followed. Default: it is held to the keys that are known. */
  readonly readStatement?: (known: readonly VerifierKey[]) => Promise<KeyStatement>
  /** The log's map; null, the default, for none. */
  readonly map?: AuditedMap | null
  /** Whether the whole log is read although there is `since`, and the map derived from it. Default: where there is no `since`. */
  readonly whole?: boolean
  readonly request?: RequestOptions
}

/** A map to audit. */
export interface AuditedMap {
  /** Of the map's log. */
  readonly reader: TileReader
  readonly keys: readonly VerifierKey[]
  /** As of the log. */
  readonly readStatement?: (known: readonly VerifierKey[]) => Promise<KeyStatement>
  /** Default: the portable one. */
  readonly sha256?: Sha256
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

/** What was found of a log's map. Its problems and contradictions are with those of the log. */
export interface MapInspection extends Pick<Inspection, 'quorum' | 'witnesses'> {
  readonly report: MapReport
}

/** What an audit found. */
export interface Inspection {
  readonly report: FsckReport
  /** null where there is no map. */
  readonly map: MapInspection | null
  /** Keys that were learned of the log itself, and of that of its map. */
  readonly learned: readonly VerifierKey[]
  /** Entries before the first that was read. */
  readonly from: number
  /** All of the report's, and those of checkpoints and cosignatures. */
  readonly problems: readonly Problem[]
  /** Whether the quorum of the policy is met; null without one. */
  readonly quorum: boolean | null
  readonly witnesses: readonly WitnessFinding[]
  /** That the log, or that of its map, contradicted itself, or that a version of the map is wrong. */
  readonly contradictions: readonly Evidence[]
  /** That an entry breaks a rule. */
  readonly brokenRules: readonly Evidence[]
  /** For the next audit; null where something is wrong. */
  readonly next: AuditState | null
}

/** How often the log is asked again where a witness is ahead of it: it may be about to publish. */
const AHEAD = { times: 5, waitMs: 1_000 }

/** Audits the log behind `reader`, and its map. What throws is an incident of the reader, or CursorError: nothing is found then. */
export async function inspectLog(reader: TileReader, options: InspectOptions): Promise<Inspection> {
  const { policy, notBefore, since, history, verifyAnswers = answerAll, signal } = options
  const ofLog = await learnKeys(reader, options)
  const keys = [...options.keys, ...ofLog]
  const given = options.map ?? null
  const ofMap = given === null ? [] : await learnKeys(given.reader, given)
  const map = given === null ? null : { ...given, keys: [...given.keys, ...ofMap] }
  const whole = since === null || options.whole === true
  // First what witnesses hold, and then the log, which must not be behind them; first the map, and then the log that it is of.
  const heldOfMap = map === null ? [] : await heldBy(map.reader, map.keys, options)
  const held = await heldBy(reader, keys, options)
  const check = map === null ? null : await openMapCheck(map.reader, { ...map, start: whole ? null : since.map, derive: whole, ...(signal === undefined ? {} : { signal }) })
  const start = since === null ? {} : { ...(whole ? {} : { start: startOf(since, history, verifyAnswers) }), kept: [{ note: since.note, where: 'the checkpoint of the last audit' }] }
  const report = await fsck(reader, keys, { ...pick(options), verifyAnswers, ...start, ...(check === null || !whole ? {} : { onReplayed: (replayed) => check.replayed(replayed) }) })
  const problems = [...report.problems]
  const contradictions = report.evidence.filter(({ kind }) => kind !== 'broken-rule')
  const { checkpoint, note } = report
  const size = checkpoint?.size ?? 0
  if (since !== null && size < since.state.edge.size) {
    problems.push({ kind: 'checkpoint', where: 'checkpoint', words: `it is of ${size} entries, and one of ${since.state.edge.size} was audited before: what is shown is old, or entries were taken back` })
  }
  const seen = await compareHeld(reader, keys, checkpoint, note, held, policy, notBefore, '')
  let mapSeen: Seen | null = null
  let mapReport: MapReport | null = null
  if (map !== null && (check !== null || since?.map !== null)) {
    mapReport = check === null ? UNSHOWN : await check.finish(whole ? null : await treeOf(reader, report), report.problems.some(({ kind }) => kind === 'withheld'))
    mapSeen = await compareHeld(map.reader, map.keys, mapReport.checkpoint, mapReport.note, heldOfMap, policy, notBefore, ' of the map')
    problems.push(...mapReport.problems)
    const before = whole ? (since?.map?.edge.size ?? 0) : 0
    if (mapReport.checkpoint !== null && mapReport.checkpoint.size < before) problems.push({ kind: 'checkpoint', where: 'map/checkpoint', words: wentBack(mapReport.checkpoint.size, before) })
    contradictions.push(...(await mapEvidence(map, mapReport, { reader, note, keys }, since)))
  }
  for (const one of mapSeen === null ? [seen] : [seen, mapSeen]) {
    problems.push(...one.problems)
    contradictions.push(...one.contradictions)
  }
  const clean = problems.length === 0 && contradictions.length === 0 && checkpoint !== null
  const mapNext = mapReport?.next ?? null
  return {
    report,
    map: mapReport === null || mapSeen === null ? null : { report: mapReport, quorum: mapSeen.quorum, witnesses: mapSeen.witnesses },
    learned: [...ofLog, ...ofMap],
    from: whole ? 0 : since.state.edge.size,
    problems,
    quorum: seen.quorum,
    witnesses: seen.witnesses,
    contradictions,
    brokenRules: report.evidence.filter(({ kind }) => kind === 'broken-rule'),
    next: clean ? { state: report.state, note, keys, map: mapNext === null || map === null ? null : { ...mapNext, keys: map.keys } } : null,
  }
}

const UNSHOWN: MapReport = {
  checkpoint: null, note: '', from: 0, versions: 0, derived: false, wrong: null, next: null,
  problems: [{ kind: 'checkpoint', where: 'map/checkpoint', words: 'it is missing, and the map was audited before' }],
}

// Keys of a log that none of its known ones is any more, as one of them has signed. spec/log.md#key-statements
async function learnKeys(reader: TileReader, { keys, readStatement }: Pick<InspectOptions, 'keys' | 'readStatement'>): Promise<readonly VerifierKey[]> {
  if (readStatement === undefined) return []
  const note = await orNothing(reader.checkpoint())
  if (note === null || verdictOf(() => openCheckpoint(note, keys)).verdict?.code !== 'UNTRUSTED_NOTE') return []
  const { signing } = await readStatement(keys).catch((error: unknown) => {
    // What is wrong with the checkpoint is fsck's to tell.
    if (error instanceof DirectoryError || error instanceof ServerError) return { signing: [] }
    throw error
  })
  return keysBeyond(keys, signing)
}

async function heldBy(reader: TileReader, keys: readonly VerifierKey[], { policy, request = {}, signal }: InspectOptions): Promise<readonly Held[]> {
  const held = await Promise.all((policy?.witnesses ?? []).map((witness) => readHeld(witness, keys[0]?.name ?? '', keys, request)))
  await untilReached(reader, keys, Math.max(0, ...held.map(({ checkpoint }) => checkpoint?.size ?? 0)), signal)
  return held
}

interface Seen extends Pick<Inspection, 'quorum' | 'witnesses' | 'problems' | 'contradictions'> {}

// What witnesses hold of a log, against what it shows.
async function compareHeld(reader: TileReader, keys: readonly VerifierKey[], checkpoint: Checkpoint | null, note: string, held: readonly Held[], policy: Policy | null, notBefore: number, of: string): Promise<Seen> {
  const logs = keys.map((key) => ({ key, vkey: formatVerifierKey(key), url: null }))
  const cosigned = cosignaturesOf(note, policy === null ? null : { ...policy, logs }, notBefore, of)
  const problems = [...cosigned.problems]
  const contradictions: Evidence[] = []
  const witnesses: WitnessFinding[] = []
  for (const one of held) {
    const finding = checkpoint === null ? unproven(one, 'the log shows no checkpoint') : await compare(reader, one, checkpoint, note, keys)
    if (finding.evidence !== null) contradictions.push(finding.evidence)
    if (finding.standing === 'contradicts' || finding.standing === 'unproven') problems.push({ kind: 'checkpoint', where: `the checkpoint${of} that witness ${one.witness.name} holds`, words: finding.words })
    const cosignedAt = cosigned.times.get(one.witness.name) ?? null
    witnesses.push({ name: one.witness.name, standing: finding.standing, size: one.checkpoint?.size ?? null, cosignedAt, words: finding.words })
  }
  return { quorum: cosigned.quorum, witnesses, problems, contradictions }
}

// The tree of the log's checkpoint, where fsck found it to be signed.
async function treeOf(reader: TileReader, { checkpoint, problems }: FsckReport): Promise<ProvenTree | null> {
  if (checkpoint === null || problems.some(({ kind }) => kind === 'checkpoint')) return null
  return openProvenTree((use) => use(reader), checkpoint).catch((error: unknown) => {
    if (error instanceof MismatchError || error instanceof NotServedError) return null
    throw error
  })
}

// What a stranger can be shown: that the map's log contradicts what was audited before, or that a version is wrong.
async function mapEvidence({ reader, keys }: AuditedMap, { checkpoint, note, wrong }: MapReport, log: ServedTree, since: AuditState | null): Promise<readonly Evidence[]> {
  if (checkpoint === null) return []
  const found = [
    since === null || since.map === null ? null : await orNothing(findFork(reader, since.map.note, note, keys)),
    wrong === null ? null : await orNothing(findWrongMap({ reader, note, keys }, log, wrong)),
  ]
  return found.filter((evidence) => evidence !== null)
}

/** The text of a state. */
export function formatAuditState({ state: { edge, clock }, note, keys, map }: AuditState): string {
  const ofMap = map === null ? {} : { map: { ...mapStartFields(map), keys: map.keys.map(formatVerifierKey) } }
  return JSON.stringify({ stele: MAGIC, size: edge.size, root: base64.encode(edgeRoot(edge)), edge: base64.encode(encodeEdge(edge)), lastNative: clock.lastNative, note, keys: keys.map(formatVerifierKey), ...ofMap })
}

/** The state in a text. Throws CursorError for another one. */
export function parseAuditState(text: string): AuditState {
  try {
    const fields = parseJson(text) as { stele: unknown; size: number; root: string; edge: string; lastNative: number | null; note: string; keys: readonly string[]; map?: Parameters<typeof readMapStart>[0] & { readonly keys: readonly string[] } }
    if (fields.stele !== MAGIC) throw new Error('another version')
    const edge = decodeEdge(fields.size, base64.decode(fields.edge))
    const keys = fields.keys.map((key) => parseVerifierKey(key))
    const { checkpoint } = openCheckpoint(fields.note, keys)
    if (checkpoint.size !== edge.size || !bytesEqual(checkpoint.root, edgeRoot(edge))) throw new Error('the edge is not that of the checkpoint')
    if (fields.lastNative !== null && !Number.isSafeInteger(fields.lastNative)) throw new Error('lastNative')
    const mapKeys = (fields.map?.keys ?? []).map(parseVerifierKey)
    const map = fields.map === undefined ? null : { ...readMapStart(fields.map, mapKeys), keys: mapKeys }
    return { state: { edge, clock: { lastNative: fields.lastNative } }, note: fields.note, keys, map }
  } catch (cause) {
    throw new CursorError('the state of the last audit cannot be read: it is damaged, or was written by another version', { cause })
  }
}

const MAGIC = 'audit v1'

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

function cosignaturesOf(note: string, policy: Policy | null, notBefore: number, of: string): { readonly quorum: boolean | null; readonly times: ReadonlyMap<string, number>; readonly problems: readonly Problem[] } {
  const times = new Map<string, number>()
  if (policy === null) return { quorum: null, times, problems: [] }
  const problem = (words: string): Problem => ({ kind: 'checkpoint', where: `the cosignatures on the checkpoint${of}`, words })
  const problems: Problem[] = []
  for (const { name, key } of policy.witnesses) {
    try {
      for (const { timestamp } of witnessesOf(policy, verifyNote(parseNote(note), [key]))) times.set(name, timestamp)
    } catch (error) {
      if (!(error instanceof DirectoryError)) throw error
      // Whoever has not signed spoils nothing, where the quorum is met.
      if (error.code !== 'UNTRUSTED_NOTE') problems.push(problem(`that of witness ${name}: ${error.message}`))
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
