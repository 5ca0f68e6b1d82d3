// What the program writes: results to stdout, words to stderr, and nothing that others wrote can move the cursor.

import { escapeControls } from '../escape.ts'

export { escapeControls }

/** A stream that may be a terminal. */
export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean
}

/** Text for one line: as `escapeControls`, with newlines and tabs written out too, cut at 2,000 characters. */
export function escapeLine(text: string): string {
  const short = text.length > 2_000 ? `${text.slice(0, 2_000)}...` : text
  return escapeControls(short).replaceAll('\n', '\\n').replaceAll('\t', '\\t')
}

/** Writes a result, a line of its own: escaped on a terminal, as it is into a file or a pipe. */
export function print(text: string, output: Output = process.stdout): void {
  output.write(`${output.isTTY === true ? escapeControls(text) : text}\n`)
}

/** Writes JSON that others made: indented and escaped on a terminal, as it is into a file or a pipe. */
export function printJson(json: string, output: Output = process.stdout): void {
  if (output.isTTY !== true) print(json, output)
  else print(JSON.stringify(JSON.parse(json), null, 2), output)
}

/** Writes words for the person at the terminal: one line on stderr, always escaped. */
export function say(words: string, output: Output = process.stderr): void {
  output.write(`${escapeLine(words)}\n`)
}
