// The verifier of a process that goes on for long. docs/operations.md

import type { LogLine } from './log/ports.ts'
import type { BackEnds } from './native/back-ends.ts'
import { createVerifier, type Verifier } from './native/verifier.ts'

/** Starts threads that check signatures; what happens to one is a line of the log. */
export function openVerifier(backEnds: BackEnds, log: LogLine): Promise<Verifier> {
  return createVerifier({ backEnds, onIncident: (error) => log('error', { error }, 'a thread that checks signatures failed; its work is done all the same') })
}
