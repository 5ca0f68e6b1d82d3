// JSON that others wrote.

import { DirectoryError } from '../core/errors.ts'

/** What a JSON text says. Throws MALFORMED_JSON, which never quotes the text: it may be a secret that was taken for JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new DirectoryError('MALFORMED_JSON')
  }
}
