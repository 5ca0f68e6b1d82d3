// Whether a published log is whole: its signature, every tile, its root, and every rule for every entry. spec/log.md#fsck

import { DirectoryError, verdictOf } from '../core/errors.ts'
import type { Evidence } from '../core/evidence.ts'
import { openCheckpoint, parseCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { parseNote, type VerifierKey } from '../core/tlog/note.ts'
import { checkTree, type Problem, type RejectedEntry, type TreeCheckOptions, type TreeReport } from './check-tree.ts'
import { findBrokenRule, findFork } from './fork.ts'
import { NotServedError, type TileReader } from './tile-reader.ts'

/** A checkpoint that was seen earlier. */
export interface KeptCheckpoint {
  /** The signed note. */
  readonly note: string
  /** Where it is kept, for a problem's `where`. */
  readonly where: string
}

/** What fsck may be given. `known` are roots that the caller saw earlier. */
export interface FsckOptions extends Omit<TreeCheckOptions, 'onProgress'> {
  /** Checkpoints, signed by the log, that it must continue. */
  readonly kept?: readonly KeptCheckpoint[]
  /** Called after each bundle with the number of entries done, and of all. */
  readonly onProgress?: (done: number, size: number) => void
}

/** What fsck found. */
export interface FsckReport extends TreeReport {
  /** What the published checkpoint says, signed or not; null where it is none. */
  readonly checkpoint: Checkpoint | null
  /** Entries that were replayed. */
  readonly entries: number
  /** The published note, whatever it is. */
  readonly note: string
  /** What a stranger can be shown of what was found: of each kept checkpoint that is contradicted, and of one rejected entry. */
  readonly evidence: readonly Evidence[]
}

/**
 * Checks a whole log from its published checkpoint on, under its keys; without keys (null) nobody has vouched for
 * the checkpoint, and only what follows from it is checked. What throws is an incident of the reader: the log is
 * neither found whole nor broken then.
 */
export async function fsck(reader: TileReader, logKeys: readonly VerifierKey[] | null, options: FsckOptions = {}): Promise<FsckReport> {
  const note = await reader.checkpoint()
  const { checkpoint, problems } = readNote(note, logKeys, 'checkpoint')
  const { onProgress, known = [], kept = [], ...rest } = options
  const earlier = kept.map((one) => ({ ...one, ...readNote(one.note, logKeys, one.where) }))
  const roots = earlier.flatMap(({ checkpoint, where }) => (checkpoint === null ? [] : [{ ...checkpoint, where }]))
  const size = checkpoint?.size ?? 0
  const report = await checkTree(reader, size, {
    ...rest,
    known: checkpoint === null ? [] : [{ ...checkpoint, where: 'checkpoint' }, ...known, ...roots],
    ...(onProgress === undefined ? {} : { onProgress: (done: number) => onProgress(done, size) }),
  })
  const found = [...problems, ...earlier.flatMap(({ problems }) => problems), ...report.problems]
  const evidence = logKeys === null ? [] : await findEvidence(reader, logKeys, note, kept, report.rejected)
  return { ...report, checkpoint, note, entries: report.state.edge.size, problems: found, evidence }
}

async function findEvidence(
  reader: TileReader,
  logKeys: readonly VerifierKey[],
  note: string,
  kept: readonly KeptCheckpoint[],
  rejected: readonly RejectedEntry[],
): Promise<Evidence[]> {
  const found: Evidence[] = []
  for (const one of kept) {
    const fork = await orNothing(findFork(reader, one.note, note, logKeys))
    if (fork !== null) found.push(fork)
  }
  for (const entry of rejected) {
    const broken = await orNothing(findBrokenRule(reader, note, logKeys, entry, entry.known))
    if (broken !== null) return [...found, broken]
  }
  return found
}

/** What a search for evidence comes to; null where what it stands on does not hold, or is not served: that proves nothing. */
export async function orNothing<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (error instanceof DirectoryError || error instanceof NotServedError) return null
    throw error
  }
}

function readNote(note: string, logKeys: readonly VerifierKey[] | null, where: string): { checkpoint: Checkpoint | null; problems: Problem[] } {
  const parsed = verdictOf(() => parseCheckpoint(parseNote(note).text))
  const { verdict } = logKeys === null ? parsed : verdictOf(() => openCheckpoint(note, logKeys))
  return { checkpoint: parsed.value, problems: verdict === null ? [] : [{ kind: 'checkpoint', where, words: verdict.message }] }
}
