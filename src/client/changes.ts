// What an operation changed, in plain words, and which key signed it. docs/identities.md#keys-and-their-priorities

import { assert } from '../core/errors.ts'
import { findLink, prevCid, type Chain, type Link } from '../core/plc/chain.ts'
import { dataOf, rotationKeysOf, type IdentityData, type Operation, type ServiceEndpoint } from '../core/plc/operation.ts'

/** One thing that an operation changed. */
export interface Change {
  readonly what: ChangedThing
  /** Words that follow "it ...": no capital, no full stop. What the operation holds is quoted unless it is plain ASCII, so it is always one line; escape it for a terminal all the same. */
  readonly words: string
}

/** What can change. `identity` is its beginning, its end, or nothing at all; `recovery` that earlier operations were undone. */
export type ChangedThing = 'identity' | 'recovery' | 'handle' | 'names' | 'server' | 'services' | 'signing-key' | 'verification-methods' | 'rotation-keys'

/** Who signed an operation. */
export interface SignedBy {
  /** did:key. */
  readonly key: string
  /** From 1, the strongest. */
  readonly priority: number
  /** How many rotation keys there were to sign with. */
  readonly of: number
}

const NOTHING: IdentityData = { rotationKeys: [], verificationMethods: new Map(), alsoKnownAs: [], services: new Map() }

const NO_CHANGE = 'changed nothing'

/** Longest text of an operation that is shown whole: that of the longest name that is admitted. */
const MAX_SHOWN = 258

/** What an operation changed against the one before it (null for a genesis): never empty. */
export function describeOperation(operation: Operation, before: Operation | null): readonly Change[] {
  const after = dataOf(operation)
  if (after === null) return [{ what: 'identity', words: 'ended the identity with a tombstone' }]
  const changes = describeData(after, (before === null ? null : dataOf(before)) ?? NOTHING)
  if (before === null) return [{ what: 'identity', words: 'created the identity' }, ...changes]
  return changes.length === 0 ? [{ what: 'identity', words: NO_CHANGE }] : changes
}

/**
 * What the operation at a position of a chain changed against the one that it follows, with what it undid: never
 * empty. The position must exist.
 */
export function describeLink(chain: Chain, position: number): readonly Change[] {
  const { operation } = linkAt(chain, position)
  const parent = parentOf(chain, operation)
  const changes = describeOperation(operation, parent?.operation ?? null)
  if (!isRecovery(chain, position)) return changes
  const others = changes.filter(({ words }) => words !== NO_CHANGE)
  return [{ what: 'recovery', words: `undid what had followed the operation ${prevCid(operation) ?? ''}` }, ...others]
}

/** Which key signed the operation at a position of a chain. The position must exist. spec/did-plc.md#signatures */
export function signedBy(chain: Chain, position: number): SignedBy {
  const { operation, signer } = linkAt(chain, position)
  const keys = rotationKeysOf(parentOf(chain, operation)?.operation ?? operation)
  const key = keys[signer]
  assert(key !== undefined, 'the signer is an index in the keys that it was judged by')
  return { key, priority: signer + 1, of: keys.length }
}

/** Whether the operation at a position undid others when it was accepted. The position must exist. spec/did-plc.md#recovery */
export function isRecovery(chain: Chain, position: number): boolean {
  const prev = prevCid(linkAt(chain, position).operation)
  return chain.links.slice(0, position).some(({ operation }) => prevCid(operation) === prev)
}

/** `rotation key 2 of 3, did:key:z...`. */
export function describeSigner({ key, priority, of }: SignedBy): string {
  return `rotation key ${priority} of ${of}, ${show(key)}`
}

/** What is different between two states of an identity; nothing where they are equal. */
export function describeData(after: IdentityData, before: IdentityData): readonly Change[] {
  return [
    ...namesChanges(after.alsoKnownAs, before.alsoKnownAs),
    ...mapChanges(after.services, before.services, sameService, serviceChange),
    ...mapChanges(after.verificationMethods, before.verificationMethods, (one, other) => one === other, methodChange),
    ...rotationChanges(after.rotationKeys, before.rotationKeys),
  ]
}

/** The handle among an identity's names: its first at:// name, without the prefix; null where there is none. */
export function handleOf(names: readonly string[]): string | null {
  return names.find((name) => name.startsWith('at://'))?.slice('at://'.length) ?? null
}

/** A text that others chose, for the middle of a sentence: as it is where it is short and plain, else quoted and cut. */
export function show(text: string): string {
  if (text.length <= MAX_SHOWN && /^[!#-~]+$/.test(text)) return text
  return JSON.stringify(text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}...`)
}

function namesChanges(after: readonly string[], before: readonly string[]): Change[] {
  const changes: Change[] = []
  const [now, was] = [handleOf(after), handleOf(before)]
  let [added, removed] = [without(after, before), without(before, after)]
  if (now !== was) {
    const kept = was !== null && after.includes(`at://${was}`) ? ', which stays as another name' : ''
    changes.push({ what: 'handle', words: handleWords(now, was) + kept })
    added = added.filter((name) => name !== `at://${now}`)
    removed = removed.filter((name) => name !== `at://${was}`)
  }
  for (const name of added) changes.push({ what: 'names', words: `added the name ${show(name)}` })
  for (const name of removed) changes.push({ what: 'names', words: `removed the name ${show(name)}` })
  if (changes.length === 0 && !sameList(after, before)) changes.push({ what: 'names', words: 'put its names in another order' })
  return changes
}

function handleWords(now: string | null, was: string | null): string {
  if (now === null) return `removed the handle ${show(was ?? '')}`
  return was === null ? `took the handle ${show(now)}` : `changed the handle to ${show(now)} from ${show(was)}`
}

type Describe<T> = (id: string, after: T | undefined, before: T | undefined) => Change

function mapChanges<T>(after: ReadonlyMap<string, T>, before: ReadonlyMap<string, T>, same: (one: T, other: T) => boolean, describe: Describe<T>): Change[] {
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((id) => {
    const [now, was] = [after.get(id), before.get(id)]
    return now !== undefined && was !== undefined && same(now, was) ? [] : [describe(id, now, was)]
  })
}

function serviceChange(id: string, after: ServiceEndpoint | undefined, before: ServiceEndpoint | undefined): Change {
  if (id === 'atproto_pds' && isServer(after) && isServer(before)) return { what: 'server', words: serverWords(after?.endpoint, before?.endpoint) }
  return { what: id === 'atproto_pds' ? 'server' : 'services', words: changeWords(`the service ${show(id)}`, serviceText(after), serviceText(before)) }
}

function serverWords(after: string | undefined, before: string | undefined): string {
  if (after === undefined) return `left the server ${show(before ?? '')}`
  return before === undefined ? `named the server ${show(after)}` : `moved to the server ${show(after)} from ${show(before)}`
}

function methodChange(id: string, after: string | undefined, before: string | undefined): Change {
  const [now, was] = [shown(after), shown(before)]
  return id === 'atproto'
    ? { what: 'signing-key', words: changeWords('the signing key', now, was) }
    : { what: 'verification-methods', words: changeWords(`the verification method ${show(id)}`, now, was) }
}

function changeWords(thing: string, after: string | null, before: string | null): string {
  if (after === null) return `removed ${thing}, ${before ?? ''}`
  return before === null ? `added ${thing}, ${after}` : `changed ${thing} to ${after} from ${before}`
}

function rotationChanges(after: readonly string[], before: readonly string[]): Change[] {
  const words: string[] = []
  for (const key of without(after, before)) words.push(`added the rotation key ${show(key)} as ${after.indexOf(key) + 1} of ${after.length}`)
  for (const key of without(before, after)) words.push(`removed the rotation key ${show(key)}, which was ${before.indexOf(key) + 1} of ${before.length}`)
  const [kept, keptBefore] = [after.filter((key) => before.includes(key)), before.filter((key) => after.includes(key))]
  if (!sameList(kept, keptBefore)) words.push(`put its rotation keys in another order: ${after.map(show).join(', ')}`)
  if (after.length === 0 && before.length > 0) words.push('left no rotation key, so that nobody can sign after it')
  return words.map((words) => ({ what: 'rotation-keys', words }))
}

function isServer(service: ServiceEndpoint | undefined): boolean {
  return service === undefined || service.type === 'AtprotoPersonalDataServer'
}

function sameService(one: ServiceEndpoint, other: ServiceEndpoint): boolean {
  return one.type === other.type && one.endpoint === other.endpoint
}

function serviceText(service: ServiceEndpoint | undefined): string | null {
  return service === undefined ? null : `${show(service.type)} at ${show(service.endpoint)}`
}

function shown(text: string | undefined): string | null {
  return text === undefined ? null : show(text)
}

function without(texts: readonly string[], others: readonly string[]): string[] {
  return [...new Set(texts)].filter((text) => !others.includes(text))
}

function sameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, at) => text === other[at])
}

function parentOf(chain: Chain, operation: Operation): Link | null {
  const prev = prevCid(operation)
  const parent = prev === null ? null : findLink(chain, prev)
  return parent === null ? null : linkAt(chain, parent)
}

function linkAt(chain: Chain, position: number): Link {
  const link = chain.links[position]
  assert(link !== undefined, 'the position is one of the chain')
  return link
}
