// What a witness keeps of logs that contradict themselves, as files for others: evidence where it convinces a stranger, else an
// alarm. spec/witness.md#contradictions

import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { alarmPart, formatAlarm } from '../core/alarm.ts'
import { hex } from '../core/encoding/text.ts'
import { verdictOf } from '../core/errors.ts'
import { fork, formatEvidence, twoRoots, type Evidence } from '../core/evidence.ts'
import { parseCheckpoint } from '../core/tlog/checkpoint.ts'
import { EMPTY_ROOT } from '../core/tlog/hash.ts'
import { parseNote, type VerifierKey } from '../core/tlog/note.ts'
import { impliedRoot } from '../core/tlog/proof.ts'
import { formatAddCheckpoint } from '../core/tlog/witness-request.ts'
import { replaceSecretFile } from '../secret-file.ts'
import { logId, type Suspect } from './state.ts'

/** Where the files are in the data folder: in a folder for each log. */
export const EVIDENCE_FOLDER = 'evidence'

/**
 * Writes the files that are missing of `suspects`, all that is kept of the log `origin`, and removes alarms about what is kept no
 * more. A file that is there is never written again. Returns where each suspect's file is, in their order. Throws what the system says.
 */
export function showSuspects(folder: string, origin: string, suspects: readonly Suspect[], keys: readonly VerifierKey[]): readonly string[] {
  const place = join(folder, EVIDENCE_FOLDER, logId(origin))
  const files = suspects.map((suspect) => {
    const path = join(place, `${suspect.size}-${hex.encode(suspect.root).slice(0, 16)}`)
    const evidence = `${path}.evidence`
    if (suspect.kind === 'contradiction' && existsSync(evidence)) return evidence
    const { value: proved } = verdictOf(() => evidenceOf(suspect, keys))
    const file = proved === null ? `${path}.alarm` : evidence
    if (!existsSync(file)) replaceSecretFile(file, (proved === null ? alarmOf(suspect) : formatEvidence(proved)).trimEnd())
    return file
  })
  if (!existsSync(place)) return files
  for (const name of readdirSync(place)) {
    if (name.endsWith('.alarm') && !files.includes(join(place, name))) rmSync(join(place, name))
  }
  return files
}

/** null, or a verdict is thrown, where the notes and the proof do not convince a stranger. */
function evidenceOf({ kind, known, size, root, submitted, proof }: Suspect, keys: readonly VerifierKey[]): Evidence | null {
  if (kind !== 'contradiction' || known === null) return null
  const { size: knownSize } = parseCheckpoint(parseNote(known).text)
  if (knownSize === size) return twoRoots(known, submitted, keys)
  if (size === 0) return fork(submitted, known, EMPTY_ROOT, [], keys)
  const implied = impliedRoot({ oldSize: knownSize, newSize: size, newRoot: root, proof })
  return implied === null ? null : fork(known, submitted, implied, proof, keys)
}

function alarmOf({ kind, origin, at, known, size, submitted, oldSize, proof }: Suspect): string {
  const words =
    kind === 'contradiction'
      ? `the log signed a tree of ${size} entries that cannot be true, but not all that proves it to others is at hand`
      : `a tree of ${size} entries that the log signed came without a proof that it continues the tree of ${oldSize} entries that was cosigned last`
  const parts = [alarmPart('request', formatAddCheckpoint({ oldSize, proof, note: parseNote(submitted) })), ...(known === null ? [] : [alarmPart('witness-checkpoint', known)])]
  return formatAlarm({ origin, time: at, words, parts })
}
