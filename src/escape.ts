// What others wrote, made harmless to whoever reads it on a terminal: in words, and in log lines.

// C0 but tab and newline, DEL, C1, and the marks that reorder what is read.
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Text with its control characters written out as `\uXXXX`, as JSON writes them; tabs and newlines stay. */
export function escapeControls(text: string): string {
  return text.replaceAll(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
