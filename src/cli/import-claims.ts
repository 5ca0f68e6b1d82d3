// Whether the nullified flags of what was imported are those that the rules give. A later record may nullify an
// earlier one, so that only the end tells: two bits for each entry are kept until then.

const CLAIMED = 1
const CLAIMED_NULLIFIED = 2
const NULLIFIED = 4

/** What was claimed and what came out, by log index. */
export interface Claims {
  /** An imported record says of the entry at `index` whether it is nullified. */
  claim(index: number, nullified: boolean): void
  /** By the rules, the entry at `index` is nullified. */
  settle(index: number): void
  /** Indices whose claim is not what came out, in order. */
  differing(): number[]
}

/** No claims yet. */
export function noClaims(): Claims {
  let flags = new Uint8Array(4_096)
  const add = (index: number, flag: number): void => {
    if (index >= flags.length) {
      const larger = new Uint8Array(Math.max(index + 1, flags.length * 2))
      larger.set(flags)
      flags = larger
    }
    flags[index] = (flags[index] ?? 0) | flag
  }
  return {
    claim: (index, nullified) => add(index, nullified ? CLAIMED | CLAIMED_NULLIFIED : CLAIMED),
    settle: (index) => add(index, NULLIFIED),
    differing() {
      const found: number[] = []
      for (const [index, flag] of flags.entries()) {
        const claimed = (flag & CLAIMED_NULLIFIED) !== 0
        if ((flag & CLAIMED) !== 0 && claimed !== ((flag & NULLIFIED) !== 0)) found.push(index)
      }
      return found
    },
  }
}
