// The trees that were signed lately, each with the cosignatures that came for it. spec/log.md#witnesses

import { verdictOf } from '../core/errors.ts'
import { formatNote, parseNote, verifyNote, type NoteSignature, type VerifiedSignature, type VerifierKey } from '../core/tlog/note.ts'
import type { Policy } from '../core/tlog/policy.ts'
import type { Publication } from '../storage/store.ts'
import { WRITER_LIMITS } from './limits.ts'
import type { SignedCheckpoint } from './witness-client.ts'
import { servedOf } from './witness-policy.ts'

/** What is remembered of one tree. */
export interface CosignedTree {
  /** Its checkpoint that was published, with the log's own signatures alone. */
  published: SignedCheckpoint | null
  /** By the witness's name. */
  readonly cosignatures: Map<string, VerifiedSignature>
}

/** The newest `WRITER_LIMITS.cosignedTrees` trees of a log under a policy. */
export class CosignedTrees {
  readonly #policy: Policy
  readonly #keys: readonly VerifierKey[]
  /** By size. */
  readonly #trees = new Map<number, CosignedTree>()

  /** `keys` are the log's own. */
  constructor(policy: Policy, keys: readonly VerifierKey[]) {
    this.#policy = policy
    this.#keys = keys
  }

  /** That of this size; null where nothing is known of it, or it is long ago. */
  find(size: number): CosignedTree | null {
    return this.#trees.get(size) ?? null
  }

  /** That of this size, for more to be known of it. */
  at(size: number): CosignedTree {
    const known = this.#trees.get(size) ?? { published: null, cosignatures: new Map<string, VerifiedSignature>() }
    this.#trees.set(size, known)
    const oldest = [...this.#trees.keys()].sort((a, b) => b - a).slice(WRITER_LIMITS.cosignedTrees)
    for (const size of oldest) this.#trees.delete(size)
    return known
  }

  /** Takes what was published before this process began, with its valid cosignatures; returns its checkpoint. */
  remember(publication: Publication): SignedCheckpoint {
    const { witnesses } = this.#policy
    const checkpoint = ownCheckpoint(publication, this.#keys)
    const tree = this.at(publication.size)
    tree.published ??= checkpoint
    const { value } = verdictOf(() => verifyNote(parseNote(publication.note), witnesses.map(({ key }) => key)))
    for (const cosignature of value ?? []) {
      const name = witnesses.find(({ key }) => key === cosignature.key)?.name ?? ''
      if (!tree.cosignatures.has(name)) tree.cosignatures.set(name, cosignature)
    }
    return checkpoint
  }

  /** The note of a checkpoint as it is served: with the cosignatures of its tree, those first that the policy names first. */
  noteOf(checkpoint: SignedCheckpoint): string {
    const { text, signatures } = parseNote(checkpoint.note)
    const known = this.find(checkpoint.size)?.cosignatures
    const lines = this.#policy.witnesses.flatMap(({ name }) => known?.get(name) ?? [])
    return formatNote({ text, signatures: [...signatures, ...servedOf(this.#policy, lines, WRITER_LIMITS.signatureLines - signatures.length).map(({ signature }) => signature)] })
  }
}

/** The checkpoint of a publication with the log's own signatures alone. */
export function ownCheckpoint({ size, root, note, publishedAt }: Publication, keys: readonly VerifierKey[]): SignedCheckpoint {
  const { text, signatures } = parseNote(note)
  const isOwn = ({ name, id }: NoteSignature): boolean => keys.some((key) => key.name === name && key.id === id)
  const origin = text.slice(0, text.indexOf('\n'))
  return { origin, size, root, note: formatNote({ text, signatures: signatures.filter(isOwn) }), signedAt: publishedAt }
}
