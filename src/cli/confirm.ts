// Asking before what cannot be taken back.

import { createInterface } from 'node:readline'
import { UsageError } from '../config.ts'
import { RefusedError } from './exit.ts'
import { escapeLine } from './terminal.ts'

/** Where the question is asked and the answer comes from. */
export interface Asked {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean }
}

/**
 * Resolves once the person at the terminal has answered `yes`, at once where `given` says that --yes stands in for
 * it. Throws RefusedError for any other answer, and UsageError where there is no terminal to ask at.
 */
export async function confirm(question: string, given: boolean, { input, output }: Asked = { input: process.stdin, output: process.stderr }): Promise<void> {
  if (given) return
  if (input.isTTY !== true || output.isTTY !== true) throw new UsageError('this has to be confirmed: run it on a terminal, or with --yes. Nothing was submitted')
  const lines = createInterface({ input, output })
  try {
    const answer = await new Promise<string>((resolve) => {
      lines.once('close', () => resolve(''))
      lines.question(`${escapeLine(question)} (yes/no) `, resolve)
    })
    if (!/^(yes|y)$/i.test(answer.trim())) throw new RefusedError('not confirmed: nothing was submitted')
  } finally {
    lines.close()
  }
}
