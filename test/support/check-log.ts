// The oracle of the writer: everything that a store says about its log, derived again from the entries alone.

import { expect } from 'vitest'
import { DirectoryError } from '../../src/core/errors.ts'
import { findSigner, type SignatureAnswer, type SignatureQuestion } from '../../src/core/plc/signature.ts'
import { EMPTY_CLOCK, planQuestions, planReplay, replay } from '../../src/core/replay.ts'
import { EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { openCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import type { VerifierKey } from '../../src/core/tlog/note.ts'
import { tilesOf } from '../../src/core/tlog/tile.ts'
import type { Store } from '../../src/storage/store.ts'
import { naiveRoot } from './naive-tree.ts'

/**
 * Fails unless head, rows, tiles and publication are what a replay of the entries and a naive tree say. `answer`
 * answers the signature questions; by default it verifies.
 */
export async function checkLog(store: Store, keys: readonly VerifierKey[], answer: (question: SignatureQuestion) => SignatureAnswer = findSigner): Promise<void> {
  const head = await store.head()
  if (head === null) throw new Error('there is no log')
  const rows = await store.entries(0, Number.MAX_SAFE_INTEGER)
  expect(rows.map((row) => row.index)).toEqual(rows.map((_, index) => index))
  expect(head.size).toBe(rows.length)

  const leaves = rows.map((row) => row.entry)
  const plan = planReplay(leaves)
  const operations = plan.decoded.flatMap((entry) => (entry instanceof DirectoryError ? [] : [entry]))
  const questions = planQuestions(operations, new Map()).values()
  const answers = plan.decoded.map((entry) => {
    const question = entry instanceof DirectoryError ? null : (questions.next().value ?? null)
    return question === null ? undefined : answer(question)
  })
  const replayed = replay({ edge: EMPTY_EDGE, clock: EMPTY_CLOCK }, plan, new Map(), answers)
  expect(replayed.rows).toEqual(rows)
  expect(replayed.state).toEqual({ edge: head.edge, clock: head.clock })

  const hashes = leaves.map(leafHash)
  expect(head.root).toEqual(naiveRoot(hashes))
  const tiles = [...tilesOf(rows.length)]
  const stored = await store.tiles(tiles)
  for (const [position, { level, index, width }] of tiles.entries()) {
    const span = 256 ** level
    const expected = Array.from({ length: width }, (_, i) => naiveRoot(hashes.slice((index * 256 + i) * span, (index * 256 + i + 1) * span)))
    expect(stored[position]).toEqual(Uint8Array.from(expected.flatMap((hash) => [...hash])))
  }

  const publication = await store.publication()
  if (publication === null) return
  const { checkpoint } = openCheckpoint(publication.note, keys)
  expect(checkpoint).toEqual({ origin: head.origin, size: publication.size, root: publication.root })
  expect(publication.size).toBeLessThanOrEqual(rows.length)
  expect(publication.root).toEqual(naiveRoot(hashes.slice(0, publication.size)))
}
