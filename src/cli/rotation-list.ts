// Rotation keys as a list that its owner edits, strongest first. docs/identities.md#rotating

import { UsageError } from '../config.ts'
import { verdictOf } from '../core/errors.ts'
import { ADMISSION_LIMITS } from '../core/plc/admission.ts'
import { parseDidKey } from '../core/plc/did-key.ts'
import { RefusedError } from './exit.ts'
import { say } from './terminal.ts'

/** What is done to a list. */
export interface Edit {
  /** did:keys. */
  readonly add: readonly string[]
  /** Priority of the first that is added, from 1; null for after all others. */
  readonly at: number | null
  /** did:keys. */
  readonly remove: readonly string[]
}

/** The list after removing and then adding; a key that is added with `at` and stands there already moves. Throws UsageError for what cannot be done. */
export function editRotationKeys(keys: readonly string[], { add, at, remove }: Edit): readonly string[] {
  for (const key of remove) {
    if (!keys.includes(key)) throw new UsageError(`--remove: ${key} is none of the rotation keys`)
  }
  const left = keys.filter((key) => !remove.includes(key))
  for (const key of at === null ? add : []) {
    if (left.includes(key)) throw new UsageError(`--add: ${key} is rotation key ${keys.indexOf(key) + 1} already; --at N moves it`)
  }
  const others = left.filter((key) => !add.includes(key))
  const position = at === null ? others.length : at - 1
  if (position > others.length) throw new UsageError(`--at: ${at} is beyond the end: there are ${others.length} other rotation keys`)
  return others.toSpliced(position, 0, ...add)
}

/**
 * Refuses a list with which the owner could not go on. `held` are the did:keys whose secrets the owner named.
 * Throws RefusedError; with `force` only for a list that no directory accepts.
 */
export function checkRotationKeys(keys: readonly string[], held: ReadonlySet<string>, force: boolean): void {
  if (keys.length > ADMISSION_LIMITS.rotationKeys) throw new RefusedError(`these are ${keys.length} rotation keys, and directories accept at most ${ADMISSION_LIMITS.rotationKeys}: remove some. Nothing was submitted`)
  const broken = keys.find((key) => verdictOf(() => parseDidKey(key)).verdict !== null)
  if (broken !== undefined) throw new RefusedError(`${broken} cannot be parsed, and directories accept no such rotation key any more: --remove it. Nothing was submitted`)
  const problem = problemOf(keys, held)
  if (problem === null) return
  if (!force) throw new RefusedError(`${problem}. Nothing was submitted; --force does it all the same`)
  say(`warning: ${problem}`)
}

/** Says a list, one key a line with its priority; `notes` says more of some keys. */
export function sayRotationKeys(title: string, keys: readonly string[], notes: (key: string) => string): void {
  say(title)
  for (const [index, key] of keys.entries()) say(`  ${index + 1}  ${key}${notes(key) === '' ? '' : `  (${notes(key)})`}`)
  if (keys.length === 0) say('  none')
}

function problemOf(keys: readonly string[], held: ReadonlySet<string>): string | null {
  if (keys.length === 0) return 'no rotation key would be left: nobody could ever change the identity again'
  const twice = keys.find((key, at) => keys.indexOf(key) !== at)
  if (twice !== undefined) return `${twice} would stand twice; only its first place counts`
  if (!keys.some((key) => held.has(key))) {
    return 'you may be locked out: no rotation key would be left whose secret you named. Name one that stays by its file, with --rotation-key or --add'
  }
  return null
}
