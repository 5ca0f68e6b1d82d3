// Whether a database is what its entries lead to: tiles, head, publication, and the derived columns of every row.
// spec/log.md#fsck

import { bytesEqual } from '../core/encoding/text.ts'
import { verdictOf } from '../core/errors.ts'
import type { EntryRow, Replayed } from '../core/replay.ts'
import { openCheckpoint, parseCheckpoint } from '../core/tlog/checkpoint.ts'
import { encodeEdge } from '../core/tlog/edge.ts'
import { parseNote, type VerifierKey } from '../core/tlog/note.ts'
import { checkTree, type KnownRoot, type Problem, type TreeCheckOptions } from '../client/check-tree.ts'
import type { FsckReport } from '../client/fsck.ts'
import type { Head, Publication, Store } from '../storage/store.ts'
import { requireHead } from './database.ts'
import { storeReader } from './store-reader.ts'

/** What a check of a database may be given. */
export interface DatabaseCheckOptions extends Pick<TreeCheckOptions, 'verifyAnswers' | 'signal'> {
  /** Called after each bundle with the number of entries done, and of all. */
  readonly onProgress?: (done: number, size: number) => void
}

/**
 * Checks all that a store holds, up to its durable head, beyond what is published too. Without keys (null) nobody
 * has vouched for the published checkpoint. A writer may be at work meanwhile. Throws NoLogError where there is no
 * log, and incidents of the store.
 */
export async function checkDatabase(store: Store, logKeys: readonly VerifierKey[] | null, options: DatabaseCheckOptions = {}): Promise<FsckReport> {
  const { onProgress, ...rest } = options
  const publication = await store.publication()
  const head = await requireHead(store)
  const known: KnownRoot[] = [{ size: head.size, root: head.root, where: 'head' }]
  if (publication !== null) known.push({ size: publication.size, root: publication.root, where: 'publication' })
  const rows = compareRows(store)
  const report = await checkTree(storeReader(store), head.size, {
    ...rest,
    known,
    onReplayed: rows.compare,
    ...(onProgress === undefined ? {} : { onProgress: (done: number) => onProgress(done, head.size) }),
  })
  const problems = [...checkPublication(publication, head, logKeys), ...report.problems, ...(await rows.finish(head.size))]
  if (report.state.edge.size === head.size) {
    if (!bytesEqual(encodeEdge(report.state.edge), encodeEdge(head.edge))) problems.push(wrong('head', 'its edge is not the one that the entries lead to'))
    if (report.state.clock.lastNative !== head.clock.lastNative) problems.push(wrong('head', 'its time of the last native entry is not that of the entries'))
  }
  return {
    ...report,
    problems,
    entries: report.state.edge.size,
    checkpoint: { origin: head.origin, size: head.size, root: head.root },
    note: publication?.note ?? '',
    evidence: [],
  }
}

// Rows as stored and rows as derived. Later entries nullify earlier ones, so that only the end tells about that.
function compareRows(store: Store): { compare: (replayed: Replayed) => Promise<void>; finish: (size: number) => Promise<Problem[]> } {
  const problems: Problem[] = []
  const derived = new Set<number>()
  const stored = new Set<number>()
  return {
    async compare({ rows, nullified }) {
      for (const index of nullified) derived.add(index)
      const first = rows[0]?.index ?? 0
      const kept = new Map((await store.entries(first, first + rows.length)).map((row) => [row.index, row]))
      for (const row of rows) {
        if (row.nullified) derived.add(row.index)
        const own = kept.get(row.index)
        if (own?.nullified) stored.add(row.index)
        const differing = own === undefined ? ['index'] : COLUMNS.filter((column) => own[column] !== row[column])
        if (differing.length > 0) problems.push(wrong(`entry ${row.index}`, `${differing.join(', ')}: not what the entry leads to`))
      }
    },
    async finish(size) {
      for (const index of [...derived].filter((index) => !stored.has(index))) problems.push(wrong(`entry ${index}`, 'nullified: the database says no, the rules yes'))
      for (const index of [...stored].filter((index) => !derived.has(index))) {
        if (!(await hasGrown(store, index, size))) problems.push(wrong(`entry ${index}`, 'nullified: the database says yes, the rules no'))
      }
      return problems
    },
  }
}

const COLUMNS = ['did', 'cid', 'createdAt', 'signer', 'rejected'] as const satisfies readonly (keyof EntryRow)[]

// Whether an identity has entries from `size` on, which may be what nullified the one at `index`.
async function hasGrown(store: Store, index: number, size: number): Promise<boolean> {
  const [row] = await store.entries(index, index + 1)
  return row !== undefined && (await store.history([row.did], size)).length > 0
}

function checkPublication(publication: Publication | null, head: Head, logKeys: readonly VerifierKey[] | null): Problem[] {
  if (publication === null) return [wrong('publication', 'nothing has been published')]
  const opened = verdictOf(() => (logKeys === null ? parseCheckpoint(parseNote(publication.note).text) : openCheckpoint(publication.note, logKeys).checkpoint))
  if (opened.verdict !== null) return [{ kind: 'checkpoint', where: 'publication', words: opened.verdict.message }]
  const { origin, size, root } = opened.value
  if (origin !== head.origin) return [wrong('publication', `it is of the log ${origin}, the head of ${head.origin}`)]
  if (size !== publication.size || !bytesEqual(root, publication.root)) return [wrong('publication', 'its size and root are not those of its note')]
  return []
}

function wrong(where: string, words: string): Problem {
  return { kind: 'database', where, words }
}
