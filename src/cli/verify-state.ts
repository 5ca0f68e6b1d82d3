// What a state proof shows, in words. spec/map.md#verification

import { headOf } from '../core/plc/chain.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { base64 } from '../core/encoding/text.ts'
import { STATE_PROOF_MAGIC, verifyStateProof, type ProvedState } from '../core/state-proof.ts'
import type { OpenedCheckpoint } from '../core/tlog/checkpoint.ts'
import { witnessesOf } from '../core/tlog/policy.ts'
import { describeSeconds } from './describe-checkpoint.ts'
import { escapeLine, print } from './terminal.ts'
import type { Trust } from './trust.ts'

/** Whether a file begins like a state proof. */
export function isStateProof(text: string): boolean {
  return text.startsWith(`${STATE_PROOF_MAGIC}\n`)
}

/** Checks the state proof for a DID. The keys are those of the log and of its map together: each opens what is named like it. Throws as `verifyStateProof`. */
export function checkState(text: string, did: string, { keys, policy, notBefore }: Trust): ProvedState {
  return verifyStateProof(text, did, { logKeys: keys, mapKeys: keys, policy, notBefore: notBefore() })
}

/** Prints what was proved, and who has seen it. */
export function tellState({ did, identity, state, leaf, map, log }: ProvedState, { policy }: Trust): void {
  const head = identity === null ? null : headOf(identity.chain)
  print(`verified   ${did}`)
  if (state === null || head === null) print('state      not in the log: no operation of it was accepted')
  else {
    print(`state      ${state.deactivated ? 'deactivated' : 'active'}, by ${head.operation.cid}, entry ${state.head}`)
    print(`accepted   ${formatTimestamp(head.createdAt)}`)
    print(`history    ${state.entries} operations, ${identity?.chain.links.filter((link) => link.nullified).length ?? 0} of them nullified; there are no others`)
  }
  print(`as of      ${leaf.size} entries of the log ${log.checkpoint.origin}, root ${base64.encode(leaf.root)}`)
  if (log.checkpoint.size > leaf.size) print(`not said   what the ${log.checkpoint.size - leaf.size} entries are that the log has had since`)
  print(`map        version ${map.checkpoint.size - 1}, the newest under its checkpoint`)
  if (policy === null) return
  for (const [what, opened] of [['map', map], ['log', log]] as const) for (const line of witnessLines(opened, policy)) print(`${what.padEnd(11)}${line}`)
  print(policy.quorum === null ? 'quorum     none: the policy asks for no witness' : `quorum     ${escapeLine(policy.quorum)}: met, for both`)
}

function witnessLines({ verified }: OpenedCheckpoint, policy: NonNullable<Trust['policy']>): string[] {
  return witnessesOf(policy, verified).map(({ witness, timestamp }) => `witnessed by ${escapeLine(witness.name)} ${describeSeconds(timestamp)}`)
}
