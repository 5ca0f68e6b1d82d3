// Why an answer does not count, or no level was reached: one union of codes. docs/client.md#codes

/** What is wrong with one server's answer. It is named, and skipped. */
const SERVER_TEXTS = {
  UNREACHABLE: 'It gave no answer in time',
  REFUSED: 'It answered with an error, or does not serve what its checkpoint says',
  NOT_FOUND: 'It says that there is no such identity',
  INVALID_HISTORY: 'The operations that it gives break the rules',
  INVALID_CHECKPOINT: 'Its checkpoint is malformed, or a signature on it does not verify',
  OTHER_LOG: 'Its checkpoint is of another log: of another name, or signed by none of the keys of this one',
  STALE: 'Its tree is smaller than one that was verified before, or than its own receipts say',
  INCONSISTENT: 'It does not prove that its tree continues the one that was verified before',
  NOT_PUBLISHED: 'No checkpoint of it covers every operation yet',
  NOT_INCLUDED: 'It does not prove that every operation is in the tree of its checkpoint',
  NOT_WITNESSED: 'Its checkpoint does not meet the quorum of the policy',
  NOT_RECENT: 'Too few of the cosignatures on its checkpoint are recent enough',
  OMITTED: 'It leaves out an operation that is in its own tree',
  BEHIND: 'Its tree ends before the newest operation that another proved',
  INVALID_STATE_PROOF: 'Its state proof is malformed, or does not prove what it says',
  NOT_DERIVED: 'No mirror of the quorum says that the map is the one that the log leads to',
} as const

/** Why there is no answer at all. */
const OVERALL_TEXTS = {
  UNPROVABLE: 'The level cannot be proved with what was given',
  NO_ANSWER: 'No server gave an answer that reaches the level',
  NOT_LATEST: 'Nothing shows that nothing newer was left out',
  CONTRADICTED: 'The log contradicted itself, and is not believed any more',
  BROKEN_STORE: 'What the store kept is no checkpoint of this log',
} as const

const TEXTS = { ...SERVER_TEXTS, ...OVERALL_TEXTS }

/** The code of what is wrong with one server's answer. */
export type ServerFaultCode = keyof typeof SERVER_TEXTS

/** The code of a resolution that failed: that of its servers, where all have the same one. Stable, for machines. */
export type ResolveCode = keyof typeof TEXTS

/** What every code means. */
export const RESOLVE_TEXTS: Readonly<Record<ResolveCode, string>> = TEXTS

/** A server whose answer was not used. */
export interface SkippedServer {
  readonly server: string
  readonly code: ServerFaultCode
  /** They may quote what the server answered, which is not to be trusted. */
  readonly words: string
}

/** A level was not reached: there is no answer, and never a weaker one. */
export class ResolveError extends Error {
  override readonly name = 'ResolveError'
  readonly code: ResolveCode
  /** What is behind the code's own text. */
  readonly words: string
  /** Every server that was asked and what was wrong. */
  readonly skipped: readonly SkippedServer[]
  /** Of CONTRADICTED: what convinces a stranger, as `formatEvidence` writes it; else null. */
  readonly evidence: string | null

  constructor(code: ResolveCode, words: string, skipped: readonly SkippedServer[] = [], evidence: string | null = null) {
    super(words === '' ? TEXTS[code] : `${TEXTS[code]}: ${words}`)
    this.code = code
    this.words = words
    this.skipped = skipped
    this.evidence = evidence
  }
}

/** One server's answer does not count; whoever asked it goes on with the others. */
export class ServerFault extends Error {
  override readonly name = 'ServerFault'
  readonly code: ServerFaultCode

  constructor(code: ServerFaultCode, words: string, cause?: unknown) {
    super(words === '' ? TEXTS[code] : `${TEXTS[code]}: ${words}`, { cause })
    this.code = code
  }
}
