// What a log says of its keys, believed because a key that is known has signed it. spec/log.md#key-statements

import { utf8Decode } from '../core/encoding/text.ts'
import { mapOrigin } from '../core/map/map-leaf.ts'
import { openKeyStatement, type KeyStatement } from '../core/tlog/key-statement.ts'
import { formatVerifierKey, MAX_NOTE_LENGTH, type VerifierKey } from '../core/tlog/note.ts'
import type { Policy } from '../core/tlog/policy.ts'
import { request, type RequestOptions } from './request.ts'

/** The statement that the directory at `baseUrl` serves, of its log, or of the log of its map (`map/keys`). Throws as `request` does, and the verdicts of `openKeyStatement`. */
export async function readKeyStatement(baseUrl: string, known: readonly VerifierKey[], options: RequestOptions = {}, path: 'log/keys' | 'map/keys' = 'log/keys'): Promise<KeyStatement> {
  const { body } = await request({ url: `${baseUrl.replace(/\/+$/, '')}/${path}`, maxBytes: MAX_NOTE_LENGTH }, options)
  return openKeyStatement(utf8Decode(body), known)
}

/** Those of `keys` that are not among the known ones. */
export function keysBeyond(known: readonly VerifierKey[], keys: readonly VerifierKey[]): readonly VerifierKey[] {
  const names = new Set(known.map(formatVerifierKey))
  return keys.filter((key) => !names.has(formatVerifierKey(key)))
}

/** The keys of the logs of a policy, and apart from them those of the maps of these logs, which it may list beside them. */
export function keysOfPolicy(policy: Policy | null): { readonly logKeys: readonly VerifierKey[]; readonly mapKeys: readonly VerifierKey[] } {
  return partKeys((policy?.logs ?? []).map(({ key }) => key))
}

/** The keys of logs, and apart from them those of the maps of these logs. */
export function partKeys(keys: readonly VerifierKey[]): { readonly logKeys: readonly VerifierKey[]; readonly mapKeys: readonly VerifierKey[] } {
  const maps = new Set(keys.map(({ name }) => mapOrigin(name)))
  return { logKeys: keys.filter(({ name }) => !maps.has(name)), mapKeys: keys.filter(({ name }) => maps.has(name)) }
}
