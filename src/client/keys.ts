// What a log says of its keys, believed because a key that is known has signed it. spec/log.md#key-statements

import { utf8Decode } from '../core/encoding/text.ts'
import { openKeyStatement, type KeyStatement } from '../core/tlog/key-statement.ts'
import { MAX_NOTE_LENGTH, type VerifierKey } from '../core/tlog/note.ts'
import { request, type RequestOptions } from './request.ts'

/** The statement that the directory at `baseUrl` serves. Throws as `request` does, and the verdicts of `openKeyStatement`. */
export async function readKeyStatement(baseUrl: string, known: readonly VerifierKey[], options: RequestOptions = {}): Promise<KeyStatement> {
  const { body } = await request({ url: `${baseUrl.replace(/\/+$/, '')}/log/keys`, maxBytes: MAX_NOTE_LENGTH }, options)
  return openKeyStatement(utf8Decode(body), known)
}
