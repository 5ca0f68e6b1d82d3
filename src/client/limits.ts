// Bounds of verified resolution. docs/client.md#bounds

export const RESOLVE_LIMITS = {
  /** Most operations of one identity that are verified. */
  operations: 2_000,
  /** Receipts asked of one server at the same time. */
  receiptsAtOnce: 8,
  /** Tiles kept of one server: at most 8,192 bytes each. */
  tiles: 256,
  /** Checkpoints whose signatures are remembered. */
  notes: 32,
  /** Longest wait for one answer, milliseconds. */
  requestMs: 5_000,
  /** Longest time for all that one resolution asks of a server, milliseconds, beside waiting for it. */
  serverMs: 60_000,
  /** How long a server is waited for whose tree is not large enough yet, where nothing else is said, milliseconds. */
  patienceMs: 5_000,
  /** The shortest wait until such a server is asked again, milliseconds. */
  againMs: 250,
  /** How long a server that failed is asked last, milliseconds. */
  distrustMs: 60_000,
  /** How old a cosignature may be to count, where nothing else is said; it may be as far in the future. Milliseconds. */
  cosignatureAgeMs: 300_000,
} as const
