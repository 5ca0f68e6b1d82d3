// WebSocket messages as a server sends them, unmasked and whole: the same bytes for every subscriber. RFC 6455, 5.2

import type { ByteWriter } from '../core/encoding/transcode.ts'

/** What a message holds. */
export type MessageKind = 'text' | 'binary'

/** Writes one message. */
export function writeMessage(out: ByteWriter, kind: MessageKind, payload: Uint8Array): void {
  const { length } = payload
  out.reserve(length + MAX_HEADER_BYTES)
  const { bytes } = out
  bytes[out.length++] = kind === 'text' ? 0x81 : 0x82
  const width = length < 126 ? 0 : length < 0x10000 ? 2 : 8
  bytes[out.length++] = width === 0 ? length : width === 2 ? 126 : 127
  for (let at = out.length + width - 1, rest = length; at >= out.length; at--, rest = Math.floor(rest / 256)) bytes[at] = rest % 256
  out.length += width
  bytes.set(payload, out.length)
  out.length += length
}

const MAX_HEADER_BYTES = 10
