// What a client does with state proofs in a benchmark, in Node and in a browser.

import { parseVerifierKey, verifyStateProof } from '../src/core/index.ts'

/** Proofs, and the verifier keys of the log and of its map. */
export interface ProofsToCheck {
  readonly proofs: readonly { readonly did: string; readonly text: string }[]
  readonly logKey: string
  readonly mapKey: string
}

/** Checks every proof after each of them once, and gives how long each took the second time, milliseconds. */
export async function checkProofs({ proofs, logKey, mapKey }: ProofsToCheck): Promise<readonly number[]> {
  const trust = { logKeys: [parseVerifierKey(logKey)], mapKeys: [parseVerifierKey(mapKey)], policy: null }
  const times: number[] = []
  for (const round of [1, 2]) {
    for (const { did, text } of proofs) {
      const began = performance.now()
      verifyStateProof(text, did, trust)
      if (round === 2) times.push(performance.now() - began)
    }
  }
  return times
}
