// A small generator of pseudo-random numbers: every draw is a function of a key, so that any one input can be made again.

/** Draws. */
export interface Random {
  /** An integer, 0 to n - 1. */
  below(n: number): number
  /** True once in `n` draws. */
  oneIn(n: number): boolean
  pick<T>(items: readonly T[]): T
}

/** The draws that belong to a key: always the same. */
export function randomOf(...key: readonly (string | number)[]): Random {
  let state = hash(key.join('/'))
  // mulberry32
  function next(): number {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
  return {
    below: (n) => next() % n,
    oneIn: (n) => next() % n === 0,
    pick(items) {
      const item = items[next() % items.length]
      if (item === undefined) throw new Error('nothing to pick from')
      return item
    },
  }
}

// FNV-1a
function hash(text: string): number {
  let state = 0x811c9dc5
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193)
  return state
}
