// What a policy must be for a log to work under it, and which of its witnesses' signatures a checkpoint carries. spec/log.md#witnesses

import { bytesEqual } from '../core/encoding/text.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import { meetsQuorum, type Policy } from '../core/tlog/policy.ts'
import { WRITER_LIMITS } from './limits.ts'

/** The policy cannot be used by this log: words for the operator. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError'
}

/**
 * Throws PolicyError where a policy is another log's than the one with these keys, or its quorum can never be met for every checkpoint.
 * `rates` are those of `WitnessSettings`.
 */
export function checkPolicy(policy: Policy, keys: readonly VerifierKey[], rates: ReadonlyMap<string, number>): void {
  const { logs, witnesses, quorum } = policy
  const isOurs = (vkey: VerifierKey): boolean => keys.some((key) => key.name === vkey.name && bytesEqual(key.publicKey, vkey.publicKey))
  if (logs.length > 0 && !logs.some(({ key }) => isOurs(key))) {
    throw new PolicyError(`the policy is of ${logs.map(({ key }) => key.name).join(', ')} and names no key of this log, ${keys.map(({ name, id }) => `${name}+${id}`).join(', ')}`)
  }
  for (const { name, url } of witnesses) {
    if (url !== null && !(URL.canParse(url) && /^https?:$/.test(new URL(url).protocol))) throw new PolicyError(`the witness ${name} of the policy has no http:// or https:// address: ${url}`)
  }
  const stranger = [...rates.keys()].find((name) => !witnesses.some((witness) => witness.name === name))
  if (stranger !== undefined) throw new PolicyError(`a rate is set for ${stranger}, which is no witness of the policy`)
  const slow = new Set(witnesses.flatMap(({ name, url }) => (rates.has(name) ? [url] : [])))
  const prompt = witnesses.filter(({ url }) => url !== null && !slow.has(url))
  if (!meetsQuorum(policy, prompt)) {
    throw new PolicyError(`the quorum ${quorum} can never be met for every checkpoint: it needs witnesses that have no address in the policy, or a rate of their own`)
  }
  const lines = WRITER_LIMITS.signatureLines - keys.length
  if (quorum !== null && servedOf(policy, prompt, lines).length > lines) throw new PolicyError(`the quorum ${quorum} needs more than ${lines} witnesses, and a checkpoint carries no more signatures`)
}

/** At most `most` of these cosignatures: the last are left out first, but never one without which the quorum is not met. */
export function servedOf<T extends { readonly key: VerifierKey }>(policy: Policy, cosignatures: readonly T[], most: number): readonly T[] {
  let served = cosignatures
  for (const cosignature of cosignatures.toReversed()) {
    if (served.length <= most) break
    const rest = served.filter((other) => other !== cosignature)
    if (meetsQuorum(policy, rest) || !meetsQuorum(policy, served)) served = rest
  }
  return served
}
