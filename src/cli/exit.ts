// Exit codes: the same for every command, unless its help says more. README.md#run-one

export const EXIT = {
  /** Done. */
  ok: 0,
  /** It failed: stderr says why. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** Done, but something found on the way needs a look. */
  remarks: 3,
} as const

/** What was asked for is not done, though the command line is right: words for the person at the terminal. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
}
