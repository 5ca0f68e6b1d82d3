// Changing the keys that sign for a log: one comes, and signs beside the others; one goes. The guard stays as it is.
// spec/log.md#rotation

import { verdictOf } from '../core/errors.ts'
import { openCheckpoint } from '../core/tlog/checkpoint.ts'
import { inSigningOrder, MAX_LOG_KEYS_OF_TYPE, MAX_RETIRED_KEYS, openKeyStatement, signKeyStatement } from '../core/tlog/key-statement.ts'
import { formatNote, formatVerifierKey, KEY_TYPES, parseVerifierKey, signText, type SigningKey, type VerifierKey } from '../core/tlog/note.ts'
import type { Publication, SignedLog } from '../storage/store.ts'
import type { Guard } from './guard.ts'
import { checkLog, OpenLogError, requireSigner, wordsForKey } from './open-log.ts'

/** What a change works on. Whoever holds the guard open is alone: no directory signs meanwhile. */
export interface KeyChange {
  readonly store: SignedLog
  readonly guard: Guard
  /** The keys whose secrets are at hand. */
  readonly keys: readonly SigningKey[]
  /** Must have stored these keys durably, in place of those at hand, when it returns. */
  readonly keep: (keys: readonly SigningKey[]) => void
}

/**
 * Has a key sign from now on, beside those that do. It is kept; the published checkpoint gets its signature; the database names it, and
 * the log's statement too, signed by the old keys and the new one. Cut short anywhere, it can be called again, and until then no
 * directory starts that would leave the key out. Throws OpenLogError, GuardError or ContradictionError, and changes nothing,
 * where the log does not agree with itself, or the key cannot be added.
 */
export async function addKey({ store, guard, keys, keep }: KeyChange, added: SigningKey): Promise<void> {
  const { vkeys } = await requireSigner(store, guard)
  const isAdded = (key: VerifierKey): boolean => formatVerifierKey(key) === formatVerifierKey(added)
  const old = secretsOf(vkeys, keys).filter((key) => !isAdded(key))
  const missing = vkeys.map(parseVerifierKey).find((key) => !isAdded(key) && !old.some((one) => one.id === key.id))
  if (missing !== undefined) throw new OpenLogError(`the key ${wordsForKey(missing)} is not at hand: bring it back, or retire it first`)
  if (added.name !== guard.origin) throw new OpenLogError(`the key is of ${added.name}, not of ${guard.origin}`)
  if (old.filter((key) => key.type === added.type).length >= MAX_LOG_KEYS_OF_TYPE) {
    throw new OpenLogError(`the log has ${MAX_LOG_KEYS_OF_TYPE} keys of this kind, as many as can sign at a time: retire one first`)
  }
  await checkLog(store, old.length > 0 ? old : [added], guard)
  const next = inSigningOrder([...old, added])
  keep(next)
  await signPublished(store, next, added)
  const retired = (await retiredKeys(store, vkeys)).filter((key) => !isAdded(key))
  await record(store, guard, next, retired, next)
}

/**
 * Has a key, by its id, sign no more. `accepted` is called with the published checkpoint and the keys that remain, before anything is
 * changed, and throws where whoever must accept their signatures does not. The key's secret may be lost; where it is at
 * hand, it signs the statement that names the others, and is kept no longer. Cut short anywhere, it can be called again.
 * Throws as `addKey`.
 */
export async function retireKey(
  { store, guard, keys, keep }: KeyChange,
  id: string,
  accepted: (publication: Publication, remaining: readonly SigningKey[]) => Promise<void>,
): Promise<void> {
  const { vkeys } = await requireSigner(store, guard)
  const going = vkeys.map(parseVerifierKey).filter((key) => key.id === id)
  const remaining = secretsOf(vkeys, keys).filter((key) => key.id !== id)
  const missing = vkeys.map(parseVerifierKey).find((key) => key.id !== id && !remaining.some((one) => one.id === key.id))
  if (missing !== undefined) throw new OpenLogError(`the key ${wordsForKey(missing)} is not at hand, and would have to sign without the one that goes: bring it back`)
  if (!remaining.some((key) => key.type === KEY_TYPES.ed25519)) throw new OpenLogError('a log always signs with an Ed25519 key: add its successor first')
  const earlier = await retiredKeys(store, vkeys)
  if (going.length === 0 && !earlier.some((key) => key.id === id)) throw new OpenLogError(`the database names no key of this log with the id ${id}`)
  await checkLog(store, remaining, guard)
  if (going.length > 0) {
    const publication = await store.publication()
    if (publication !== null) await accepted(publication, remaining)
    await record(store, guard, remaining, [...earlier, ...going], inSigningOrder(keys.filter((key) => vkeys.includes(formatVerifierKey(key)))))
  }
  keep(remaining)
}

/** The secrets at hand of the keys that the database names, in their order. */
function secretsOf(vkeys: readonly string[], keys: readonly SigningKey[]): SigningKey[] {
  return inSigningOrder(keys.filter((key) => vkeys.includes(formatVerifierKey(key))))
}

// The log has signed this tree already, so this is no new promise: the newcomer repeats it, and whoever knows it alone
// can open what is published.
async function signPublished(store: SignedLog, keys: readonly SigningKey[], added: SigningKey): Promise<void> {
  const publication = await store.publication()
  if (publication === null) return
  const { note, verified } = openCheckpoint(publication.note, keys)
  if (verified.some(({ key }) => key.id === added.id)) return
  const isOwn = ({ name, id }: { readonly name: string; readonly id: string }): boolean => keys.some((key) => key.name === name && key.id === id)
  const own = [...note.signatures.filter(isOwn), signText(note.text, added, added.type === KEY_TYPES.ed25519 ? null : 0)]
  const signatures = [...own, ...note.signatures.filter((signature) => !isOwn(signature))]
  await store.publish({ ...publication, note: formatNote({ text: note.text, signatures }) })
}

async function record(store: SignedLog, guard: Guard, signing: readonly SigningKey[], retired: readonly VerifierKey[], signers: readonly SigningKey[]): Promise<void> {
  const newest = retired.filter((key, i) => retired.findLastIndex((other) => other.id === key.id) === i).slice(-MAX_RETIRED_KEYS)
  const statement = signKeyStatement({ origin: guard.origin, signing, retired: newest }, signers.filter((key) => key.type === KEY_TYPES.ed25519))
  await store.setSigner(guard.id, { guardId: guard.id, vkeys: signing.map(formatVerifierKey), statement })
}

// Of the statement that is stored, where the keys that sign now vouch for it.
async function retiredKeys(store: SignedLog, vkeys: readonly string[]): Promise<readonly VerifierKey[]> {
  const note = await store.keyStatement()
  if (note === null) return []
  return verdictOf(() => openKeyStatement(note, vkeys.map(parseVerifierKey))).value?.retired ?? []
}
