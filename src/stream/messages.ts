// WebSocket messages as a server sends them, unmasked and whole: the same bytes for every subscriber. RFC 6455, 5.2

import type { ByteWriter } from '../core/encoding/transcode.ts'

/** What a message holds. */
export type MessageKind = 'text' | 'binary'

/** Writes one message, whose payload is what `write` writes, and gives the payload's length. */
export function writeMessage(out: ByteWriter, kind: MessageKind, write: () => void): number {
  const begun = out.length
  // Most payloads are as long as this header can say; the others are moved.
  out.reserve(MAX_HEADER_BYTES)
  out.length += USUAL_HEADER_BYTES
  write()
  const payload = begun + USUAL_HEADER_BYTES
  const length = out.length - payload
  const width = length < 126 ? 0 : length < 0x10000 ? 2 : 8
  const header = 2 + width
  if (header !== USUAL_HEADER_BYTES) {
    out.reserve(MAX_HEADER_BYTES)
    out.bytes.copyWithin(begun + header, payload, out.length)
    out.length = begun + header + length
  }
  const { bytes } = out
  bytes[begun] = kind === 'text' ? 0x81 : 0x82
  bytes[begun + 1] = width === 0 ? length : width === 2 ? 126 : 127
  for (let at = begun + header - 1, rest = length; at > begun + 1; at--, rest = Math.floor(rest / 256)) bytes[at] = rest % 256
  return length
}

const USUAL_HEADER_BYTES = 4
const MAX_HEADER_BYTES = 10
