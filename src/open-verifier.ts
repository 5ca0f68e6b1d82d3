// The verifier of a process that goes on for long. docs/operations.md

import type { LogLine } from './log/ports.ts'
import type { BackEnds } from './native/back-ends.ts'
import { createVerifier, type Verifier } from './native/verifier.ts'

/** Starts threads that check signatures, and are ended with the stack; what happens to one is a line of the log. They may start while other things do, and all but one when there is much to check. */
export function openVerifier(stack: AsyncDisposableStack, backEnds: BackEnds, log: LogLine): Promise<Verifier> {
  const opening = createVerifier({ backEnds, atFirst: 1, onIncident: (error) => log('error', { error }, 'a thread that checks signatures failed; its work is done all the same') })
  opening.catch(() => undefined) // it is thrown where it is awaited
  stack.defer(() => opening.then((verifier) => verifier[Symbol.asyncDispose](), () => undefined))
  return opening
}
