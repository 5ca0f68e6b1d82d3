// What a notary keeps, in memory. spec/mirror.md#notary

import type { Divergence, KeptAside, NotaryStore, NumberRun, UpstreamNotes, UpstreamPosition } from './notary-store.ts'

/** The notary's part of a store in memory, and how its writer notes what belongs to a round. */
export function notaryMemory(): { readonly store: NotaryStore; readonly note: (notes: UpstreamNotes) => void } {
  let upstream: UpstreamPosition | null = null
  let dropped = 0
  const runs: NumberRun[] = []
  const aside = new Map<string, KeptAside>()
  const divergences = new Map<string, Divergence>()
  const pairs = (): { index: number; number: number }[] => {
    const all = runs.flatMap(({ index, number, count }) => Array.from({ length: count }, (_, k) => ({ index: index + k, number: number + k })))
    return [...new Map(all.map((pair) => [`${pair.index} ${pair.number}`, pair])).values()]
  }
  const least = (numbers: readonly number[]): number | null => (numbers.length === 0 ? null : Math.min(...numbers))

  return {
    note({ position, runs: more, aside: lines, mostAside, settled }) {
      upstream = position
      runs.push(...more)
      for (const key of settled) if (aside.get(key)?.index === null) aside.delete(key)
      for (const line of lines) {
        if (aside.has(line.key)) continue
        const number = Math.max(0, ...[...aside.values()].map((kept) => kept.number)) + 1
        if (aside.size >= mostAside) dropped++
        else aside.set(line.key, { ...line, number })
      }
    },
    store: {
      upstream: async () => upstream,
      async begin(source) {
        upstream ??= { source, numbered: true, cursor: 0, highest: 0 }
      },
      numbers: async (from, count) =>
        pairs().filter(({ index }) => index >= from).sort((a, b) => a.index - b.index || a.number - b.number).slice(0, count),
      firstIndexAbove: async (number) => least(pairs().filter((pair) => pair.number > number).map(({ index }) => index)),
      smallestNumberFrom: async (index) => least(pairs().filter((pair) => pair.index >= index).map(({ number }) => number)),
      setAside: async (after, count) => [...aside.values()].filter(({ number }) => number > after).sort((a, b) => a.number - b.number).slice(0, count),
      setAsideCounts: async (from) => ({ kept: aside.size, recent: [...aside.values()].filter(({ seenAt }) => seenAt >= from).length, dropped }),
      async keepDivergence(divergence, most) {
        if (!divergences.has(divergence.did) && divergences.size >= most) return false
        divergences.set(divergence.did, divergence)
        return true
      },
      divergence: async (did) => divergences.get(did) ?? null,
      divergences: async (after, count, lasting = false) =>
        [...divergences.values()].filter(({ did, endedAt }) => did > after && !(lasting && endedAt !== null)).sort((a, b) => (a.did < b.did ? -1 : 1)).slice(0, count),
      openDivergences: async (from) => {
        const lasting = [...divergences.values()].filter(({ endedAt }) => endedAt === null)
        return { all: lasting.length, recent: lasting.filter(({ since }) => since >= from).length }
      },
    },
  }
}
