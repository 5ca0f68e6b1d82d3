// The verifier of commands that check many signatures.

import { createVerifier, type Verifier } from '../native/verifier.ts'
import { say } from './terminal.ts'

/** Opens it; says where one of its threads fails, which changes no answer. */
export function openVerifier(): Promise<Verifier> {
  return createVerifier({ onIncident: ({ message }) => say(`a thread that checks signatures failed; its work is done all the same: ${message}`) })
}
