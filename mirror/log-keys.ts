// The keys of the log that is mirrored: the first ones as an operator or an upstream names them, later ones as the log itself
// says, signed by one that is known. spec/mirror.md#keys

import { request, ServerError, type RequestOptions } from '../src/client/request.ts'
import { utf8Decode } from '../src/core/encoding/text.ts'
import { openKeyStatement, type KeyStatement } from '../src/core/tlog/key-statement.ts'
import { MAX_NOTE_LENGTH, parseVerifierKey, type VerifierKey } from '../src/core/tlog/note.ts'
import { MIRROR_LIMITS } from './limits.ts'

/** What a log says of its keys. */
export interface ReadStatement {
  readonly statement: KeyStatement
  /** As it was served. */
  readonly note: string
}

/** The keys that an upstream says are its log's, believed by nobody yet. Throws as `request`, and the verdicts of `parseVerifierKey`. */
export async function readShownKeys(url: string, signal: AbortSignal, path = 'log/vkey', reach: Pick<RequestOptions, 'fetch'> = {}): Promise<readonly VerifierKey[]> {
  const { body } = await request({ url: `${url}/${path}`, maxBytes: MAX_NOTE_LENGTH }, { ...optionsOf(signal), ...reach })
  return utf8Decode(body).split('\n').filter((line) => line !== '').map(parseVerifierKey)
}

/** The log's statement about its keys; null where the upstream has none. Throws as `request`, and the verdicts of `openKeyStatement`. */
export async function readStatement(url: string, known: readonly VerifierKey[], signal: AbortSignal, reach: Pick<RequestOptions, 'fetch'> = {}, path = 'log/keys'): Promise<ReadStatement | null> {
  try {
    const { body } = await request({ url: `${url}/${path}`, maxBytes: MAX_NOTE_LENGTH }, { ...optionsOf(signal), ...reach })
    const note = utf8Decode(body)
    return { statement: openKeyStatement(note, known), note }
  } catch (error) {
    if (error instanceof ServerError && error.status === 404) return null
    throw error
  }
}

function optionsOf(signal: AbortSignal): Parameters<typeof request>[1] {
  return { attempts: 1, timeoutMs: MIRROR_LIMITS.requestMs, signal }
}
