// Whether a published log is whole: its signature, every tile, its root, and every rule for every entry. spec/log.md#fsck

import { verdictOf } from '../core/errors.ts'
import { openCheckpoint, parseCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { parseNote, type VerifierKey } from '../core/tlog/note.ts'
import { checkTree, type Problem, type TreeCheckOptions, type TreeReport } from './check-tree.ts'
import type { TileReader } from './tile-reader.ts'

/** What fsck may be given. `known` are roots that the caller saw earlier. */
export interface FsckOptions extends Omit<TreeCheckOptions, 'onProgress'> {
  /** Called after each bundle with the number of entries done, and of all. */
  readonly onProgress?: (done: number, size: number) => void
}

/** What fsck found. */
export interface FsckReport extends TreeReport {
  /** What the published checkpoint says, signed or not; null where it is none. */
  readonly checkpoint: Checkpoint | null
  /** Entries that were replayed. */
  readonly entries: number
}

/**
 * Checks a whole log from its published checkpoint on, under its keys; without keys (null) nobody has vouched for
 * the checkpoint, and only what follows from it is checked. What throws is an incident of the reader: the log is
 * neither found whole nor broken then.
 */
export async function fsck(reader: TileReader, logKeys: readonly VerifierKey[] | null, options: FsckOptions = {}): Promise<FsckReport> {
  const note = await reader.checkpoint()
  const { checkpoint, problems } = readNote(note, logKeys)
  const { onProgress, known = [], ...rest } = options
  const size = checkpoint?.size ?? 0
  const report = await checkTree(reader, size, {
    ...rest,
    known: checkpoint === null ? [] : [{ ...checkpoint, where: 'checkpoint' }, ...known],
    ...(onProgress === undefined ? {} : { onProgress: (done: number) => onProgress(done, size) }),
  })
  return { ...report, checkpoint, entries: report.state.edge.size, problems: [...problems, ...report.problems] }
}

function readNote(note: string, logKeys: readonly VerifierKey[] | null): { checkpoint: Checkpoint | null; problems: Problem[] } {
  const parsed = verdictOf(() => parseCheckpoint(parseNote(note).text))
  const { verdict } = logKeys === null ? parsed : verdictOf(() => openCheckpoint(note, logKeys))
  return { checkpoint: parsed.value, problems: verdict === null ? [] : [{ kind: 'checkpoint', where: 'checkpoint', words: verdict.message }] }
}
