// One code for each format: what goes wrong inside a parser is a fact about the format that it reads.
// spec/log.md#conventions

import { DirectoryError, type ErrorCode } from '../errors.ts'

/** What `read` returns. A verdict that it throws becomes one of `code`, with the first one's message as detail. */
export function readAs<T>(code: ErrorCode, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof DirectoryError && error.code !== code) throw new DirectoryError(code, error.message)
    throw error
  }
}
