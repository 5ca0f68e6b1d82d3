// The chains of the identities that changed last: an identity that is made is often changed soon. spec/mirror.md#limits

import type { IndexedChain } from './replay.ts'

/**
 * Chains as they stand at one size of a log. Whoever writes the log notes each change; after one that was not noted
 * nothing is known any more.
 */
export class RecentChains {
  readonly #most: number
  readonly #chains = new Map<string, IndexedChain>()
  #operations = 0
  #size = -1

  /** `most`: operations of the identities that are remembered, those that changed last. */
  constructor(most: number) {
    this.#most = most
  }

  /** Those of `dids` that are known at this size of the log. */
  at(size: number, dids: readonly string[]): Map<string, IndexedChain> {
    const known = new Map<string, IndexedChain>()
    if (size !== this.#size) return known
    for (const did of dids) {
      const identity = this.#chains.get(did)
      if (identity !== undefined) known.set(did, identity)
    }
    return known
  }

  /** Notes a change of the log from one size to another, and the chains of all identities that it changed. Of a change that is more than is remembered, nothing is. */
  note(from: number, to: number, changed: ReadonlyMap<string, IndexedChain>): void {
    if (from !== this.#size || to - from > this.#most) this.forget()
    this.#size = to
    if (to - from > this.#most) return
    for (const [did, identity] of changed) {
      this.#drop(did)
      this.#chains.set(did, ownBytes(identity))
      this.#operations += identity.chain.links.length
    }
    for (const oldest of this.#chains.keys()) {
      if (this.#operations <= this.#most) break
      this.#drop(oldest)
    }
  }

  /** Forgets everything: what was written is not certain. */
  forget(): void {
    this.#size = -1
    this.#operations = 0
    this.#chains.clear()
  }

  #drop(did: string): void {
    this.#operations -= this.#chains.get(did)?.chain.links.length ?? 0
    this.#chains.delete(did)
  }
}

// Bytes may be a piece of far more, which would be kept with them.
function ownBytes({ chain, indices }: IndexedChain): IndexedChain {
  const links = chain.links.map((link) => {
    const { bytes } = link.operation
    return bytes.byteLength === bytes.buffer.byteLength ? link : { ...link, operation: { ...link.operation, bytes: bytes.slice() } }
  })
  return { chain: { ...chain, links }, indices }
}
