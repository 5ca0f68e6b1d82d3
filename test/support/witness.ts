// A log of numbered leaves that signs what it is told to, forks included, and what it asks of a witness.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { signCheckpoint, type Checkpoint } from '../../src/core/tlog/checkpoint.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote, parseSignatureLine, verifyNote, type SigningKey, type VerifiedSignature, type VerifierKey } from '../../src/core/tlog/note.ts'
import { formatAddCheckpoint } from '../../src/core/tlog/witness-request.ts'
import { naiveConsistency, naiveLeaves, naiveLeafHash, naiveRoot } from './naive-tree.ts'

/** Leaves of the longest tree. */
export const MAX_LEAVES = 300

const LEAVES = naiveLeaves(MAX_LEAVES)

/** A log whose tree is known at every size. */
export interface LeafLog {
  readonly origin: string
  readonly key: SigningKey
  readonly vkey: string
  readonly leaves: readonly Uint8Array[]
  checkpoint(size: number): Checkpoint
  /** The signed note of a size. */
  note(size: number, keys?: readonly SigningKey[]): string
  proof(oldSize: number, size: number): readonly Uint8Array[]
  /** The body of a request to go from one size to another. */
  body(oldSize: number, size: number, keys?: readonly SigningKey[]): string
}

/** A log; its leaves from `forkAt` on are those of no other log. */
export function leafLog(origin: string, { forkAt = MAX_LEAVES, seed = 1 }: { readonly forkAt?: number; readonly seed?: number } = {}): LeafLog {
  const leaves = LEAVES.map((leaf, i) => (i < forkAt ? leaf : naiveLeafHash(Buffer.from(`fork at ${forkAt}, leaf ${i}`))))
  const key = makeSigningKey(origin, KEY_TYPES.ed25519, new Uint8Array(32).fill(seed))
  const roots = new Map<number, Uint8Array>()
  const rootOf = (size: number): Uint8Array => {
    const root = roots.get(size) ?? naiveRoot(leaves.slice(0, size))
    roots.set(size, root)
    return root
  }
  const checkpoint = (size: number): Checkpoint => ({ origin, size, root: rootOf(size) })
  const note = (size: number, keys: readonly SigningKey[] = [key]): string => signCheckpoint(checkpoint(size), keys)
  const proof = (oldSize: number, size: number): readonly Uint8Array[] => (oldSize === 0 || oldSize > size ? [] : naiveConsistency(oldSize, leaves.slice(0, size)))
  return {
    origin, key, leaves, checkpoint, note, proof,
    vkey: formatVerifierKey(key),
    body: (oldSize, size, keys) => formatAddCheckpoint({ oldSize, proof: proof(oldSize, size), note: parseNote(note(size, keys)) }),
  }
}

/** What the signature lines of an answer prove about a checkpoint: one cosignature by each of the keys, of one time. */
export function openAnswer(answer: string, checkpoint: string, keys: readonly VerifierKey[]): readonly VerifiedSignature[] {
  const { text } = parseNote(checkpoint)
  return verifyNote({ text, signatures: answer.trimEnd().split('\n').map(parseSignatureLine) }, keys)
}

/** A new empty folder; disposing it deletes it. */
export function newFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'stele-witness-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) }
}
