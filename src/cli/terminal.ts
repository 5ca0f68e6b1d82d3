// What the program writes: results to stdout, words to stderr, and nothing that others wrote can move the cursor.

/** A stream that may be a terminal. */
export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean
}

// C0 but tab and newline, DEL, C1, and the marks that reorder what is read.
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Text with its control characters written out as `\uXXXX`; tabs and newlines stay. */
export function escapeControls(text: string): string {
  return text.replaceAll(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
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
