// Policies: which logs are accepted, and which witnesses must have seen a checkpoint. spec/log.md#policies

import { bytesEqual, parseDecimal } from '../encoding/text.ts'
import { DirectoryError } from '../errors.ts'
import { isLogKeyType, openCheckpoint, type OpenedCheckpoint } from './checkpoint.ts'
import { isCosignerKeyType } from './cosignature.ts'
import { parseVerifierKey, type VerifiedSignature, type VerifierKey, verifyNote } from './note.ts'
import { readAs } from './strict.ts'

/** A log that is accepted. */
export interface PolicyLog {
  readonly key: VerifierKey
  /** The key as the policy spells it. */
  readonly vkey: string
  readonly url: string | null
}

/** A witness, by its name in the policy. */
export interface PolicyWitness extends PolicyLog {
  readonly name: string
}

/** A group has seen a checkpoint where at least `threshold` of its members, witnesses and groups, have. */
export interface PolicyGroup {
  readonly name: string
  /** 1 to the number of members. */
  readonly threshold: number
  readonly members: readonly string[]
}

/** A policy; everything in the order of its lines. */
export interface Policy {
  readonly logs: readonly PolicyLog[]
  readonly witnesses: readonly PolicyWitness[]
  /** Each after the members that it names. */
  readonly groups: readonly PolicyGroup[]
  /** Name of the witness or group that must have seen a checkpoint; null where none must. */
  readonly quorum: string | null
}

/** Longest policy that is read, in UTF-16 units. */
export const MAX_POLICY_LENGTH = 1_048_576

/** Most logs, most witnesses and most groups of a policy. */
export const MAX_POLICY_ITEMS = 256

/**
 * The policy in a text. Throws MALFORMED_POLICY, with the number of the line, for a line that is none, a name that
 * is not defined before its use, defined twice, or a member of two groups, a key listed twice or of a type that
 * does not fit its use, a threshold out of range, and unless there is exactly one quorum line. spec/log.md#policies
 */
export function parsePolicy(text: string): Policy {
  if (text.length > MAX_POLICY_LENGTH) throw new DirectoryError('MALFORMED_POLICY', 'too long')
  const draft: Draft = { logs: [], witnesses: [], groups: [], quorum: undefined, members: new Set() }
  for (const [i, line] of text.split('\n').entries()) {
    const [keyword, ...items] = itemsOf(line, i + 1)
    if (keyword === undefined) continue
    const reader = LINES.get(keyword)
    if (reader === undefined) throw malformed(i + 1, 'unknown keyword')
    reader(draft, items, i + 1)
  }
  const { logs, witnesses, groups, quorum } = draft
  if (quorum === undefined) throw new DirectoryError('MALFORMED_POLICY', 'no quorum line')
  return { logs, witnesses, groups, quorum }
}

/** The witnesses of a policy, in its order, whose signatures are among the verified; each with the newest time that it states. */
export function witnessesOf(policy: Policy, verified: readonly VerifiedSignature[]): { readonly witness: PolicyWitness; readonly timestamp: number }[] {
  return policy.witnesses.flatMap((witness) => {
    const own = verified.filter(({ key }) => isSameKey(key, witness.key))
    return own.length === 0 ? [] : [{ witness, timestamp: Math.max(...own.map(({ timestamp }) => timestamp ?? 0)) }]
  })
}

/**
 * Whether signatures that `verifyNote` found valid meet the quorum. Those by keys that are no witness's count for
 * nothing, and a witness counts once however often it signed. A policy of `quorum none` is always met.
 */
export function meetsQuorum(policy: Policy, verified: readonly Pick<VerifiedSignature, 'key'>[]): boolean {
  if (policy.quorum === null) return true
  const seen = new Set(policy.witnesses.filter((witness) => verified.some(({ key }) => isSameKey(key, witness.key))).map(({ name }) => name))
  for (const group of policy.groups) {
    if (group.members.filter((member) => seen.has(member)).length >= group.threshold) seen.add(group.name)
  }
  return seen.has(policy.quorum)
}

/** The witnesses that can count for the quorum, directly or in groups, in the order of the policy. */
export function quorumWitnesses({ witnesses, groups, quorum }: Policy): PolicyWitness[] {
  const names = new Set([quorum])
  for (const group of groups.toReversed()) if (names.has(group.name)) for (const member of group.members) names.add(member)
  return witnesses.filter(({ name }) => names.has(name))
}

/**
 * Opens a note as a checkpoint that the policy accepts: signed by one of its logs, seen by its quorum. `verified`
 * holds the log's signatures and the witnesses'. Cosignatures that state a time before `notBefore`, in seconds since 1970,
 * do not count for the quorum. Throws what `openCheckpoint` throws, INVALID_NOTE_SIGNATURE where a witness's signature
 * does not verify, QUORUM_NOT_MET.
 */
export function openUnderPolicy(note: string, policy: Policy, notBefore = 0): OpenedCheckpoint {
  const logKeys = policy.logs.map((log) => log.key)
  const opened = openCheckpoint(note, logKeys)
  const { origin } = opened.checkpoint
  const known = [...logKeys.filter((key) => key.name === origin), ...policy.witnesses.map((witness) => witness.key)]
  const verified = verifyNote(opened.note, known)
  const recent = verified.filter(({ timestamp }) => (timestamp ?? 0) >= notBefore)
  if (!meetsQuorum(policy, recent)) throw new DirectoryError('QUORUM_NOT_MET', origin)
  return { ...opened, verified }
}

interface Draft {
  readonly logs: PolicyLog[]
  readonly witnesses: PolicyWitness[]
  readonly groups: PolicyGroup[]
  /** undefined before its line. */
  quorum: string | null | undefined
  /** Names that are a member of a group. */
  readonly members: Set<string>
}

type LineReader = (draft: Draft, items: readonly string[], line: number) => void

/** Predefined: as a quorum it asks for no witness; it names nothing else. */
const NONE = 'none'

const LINES: ReadonlyMap<string, LineReader> = new Map([
  ['log', readLog],
  ['witness', readWitness],
  ['group', readGroup],
  ['quorum', readQuorum],
])

function readLog(draft: Draft, items: readonly string[], line: number): void {
  const [vkey, url = null] = items
  if (vkey === undefined || items.length > 2) throw malformed(line, 'log <vkey> [<url>]')
  const key = readAs('MALFORMED_POLICY', () => parseVerifierKey(vkey))
  if (!isLogKeyType(key.type)) throw malformed(line, `a key of type ${key.type} does not sign for a log`)
  addTo(draft.logs, { key, vkey, url }, line)
}

function readWitness(draft: Draft, items: readonly string[], line: number): void {
  const [name, vkey, url = null] = items
  if (name === undefined || vkey === undefined || items.length > 3) throw malformed(line, 'witness <name> <vkey> [<url>]')
  checkNewName(draft, name, line)
  const key = readAs('MALFORMED_POLICY', () => parseVerifierKey(vkey))
  if (!isCosignerKeyType(key.type)) throw malformed(line, `a key of type ${key.type} does not cosign`)
  addTo(draft.witnesses, { name, key, vkey, url }, line)
}

function readGroup(draft: Draft, items: readonly string[], line: number): void {
  const [name, count, ...members] = items
  if (name === undefined || count === undefined || members.length === 0) throw malformed(line, 'group <name> all|any|<k> <member>...')
  checkNewName(draft, name, line)
  const threshold = count === 'all' ? members.length : count === 'any' ? 1 : readAs('MALFORMED_POLICY', () => parseDecimal(count))
  if (threshold < 1 || threshold > members.length) throw malformed(line, 'threshold out of range')
  for (const member of members) {
    if (!isDefined(draft, member)) throw malformed(line, `${member} is not defined`)
    if (draft.members.has(member)) throw malformed(line, `${member} is a member already`)
    draft.members.add(member)
  }
  if (draft.groups.length === MAX_POLICY_ITEMS) throw malformed(line, 'too many')
  draft.groups.push({ name, threshold, members })
}

function readQuorum(draft: Draft, items: readonly string[], line: number): void {
  const [name] = items
  if (name === undefined || items.length > 1) throw malformed(line, 'quorum <name>|none')
  if (draft.quorum !== undefined) throw malformed(line, 'a second quorum line')
  if (name !== NONE && !isDefined(draft, name)) throw malformed(line, `${name} is not defined`)
  draft.quorum = name === NONE ? null : name
}

/** The items of a line, which only spaces and tabs separate; none where it is empty or a comment. */
function itemsOf(line: string, number: number): readonly string[] {
  for (let i = 0; i < line.length; i++) {
    const unit = line.charCodeAt(i)
    if ((unit < 0x20 && unit !== 0x09) || unit === 0x7f) throw malformed(number, 'control characters')
  }
  const items = line.split(/[ \t]+/).filter((item) => item !== '')
  return items[0]?.startsWith('#') ? [] : items
}

/** Two keys are duplicates where the public key is the same, whatever their names. */
function addTo<T extends PolicyLog>(list: T[], item: T, line: number): void {
  if (list.some(({ key }) => bytesEqual(key.publicKey, item.key.publicKey))) throw malformed(line, 'a key listed before')
  if (list.length === MAX_POLICY_ITEMS) throw malformed(line, 'too many')
  list.push(item)
}

function checkNewName(draft: Draft, name: string, line: number): void {
  if (name === NONE || isDefined(draft, name)) throw malformed(line, `${name} is defined already`)
}

function isDefined(draft: Draft, name: string): boolean {
  return draft.witnesses.some((witness) => witness.name === name) || draft.groups.some((group) => group.name === name)
}

function isSameKey(a: VerifierKey, b: VerifierKey): boolean {
  return a.name === b.name && a.type === b.type && bytesEqual(a.publicKey, b.publicKey)
}

function malformed(line: number, reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_POLICY', `line ${line}: ${reason.slice(0, 200)}`)
}
