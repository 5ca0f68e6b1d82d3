// What a witness holds of a log: the newest checkpoint that it has cosigned. spec/witness.md#monitors

import { hex, utf8Encode } from '../core/encoding/text.ts'
import { DirectoryError } from '../core/errors.ts'
import { openCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { MAX_NOTE_LENGTH, parseNote, verifyNote, type VerifierKey } from '../core/tlog/note.ts'
import type { PolicyWitness } from '../core/tlog/policy.ts'
import { request, ServerError, UnreachableError, type RequestOptions } from './request.ts'

/** What a witness showed. */
export interface Held {
  readonly witness: PolicyWitness
  readonly note: string | null
  readonly checkpoint: Checkpoint | null
  /** Where there is none. */
  readonly standing: 'never' | 'silent' | 'invalid' | null
  readonly words: string
}

/** Asks a witness for the checkpoint of the log `origin` that it holds, which a key of the log has signed too. What it does not show is data; the signal's reason is thrown. */
export async function readHeld(witness: PolicyWitness, origin: string, keys: readonly VerifierKey[], options: RequestOptions): Promise<Held> {
  const none = (standing: 'never' | 'silent' | 'invalid', words: string): Held => ({ witness, note: null, checkpoint: null, standing, words })
  if (witness.url === null) return none('silent', 'the policy gives no address of it')
  const id = hex.encode(new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.from(utf8Encode(origin)))))
  try {
    const { body } = await request({ url: `${witness.url.replace(/\/+$/, '')}/${id}/checkpoint`, maxBytes: MAX_NOTE_LENGTH }, { attempts: 3, ...options })
    const note = new TextDecoder('utf-8', { ignoreBOM: true }).decode(body)
    const { checkpoint } = openCheckpoint(note, keys)
    if (checkpoint.origin !== origin) throw new DirectoryError('WRONG_ORIGIN', checkpoint.origin)
    if (verifyNote(parseNote(note), [witness.key]).length === 0) throw new DirectoryError('UNTRUSTED_NOTE')
    return { witness, note, checkpoint, standing: null, words: '' }
  } catch (error) {
    if (error instanceof DirectoryError) return none('invalid', `what it shows is not a checkpoint of this log with its cosignature: ${error.message}`)
    if (error instanceof ServerError && error.status === 404) return none('never', 'it has cosigned nothing of this log')
    if (error instanceof ServerError || error instanceof UnreachableError) return none('silent', error.message)
    throw error
  }
}
