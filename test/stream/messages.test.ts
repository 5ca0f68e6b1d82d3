import { describe, expect, it } from 'vitest'
import * as ws from 'ws'
import { ByteWriter } from '../../src/core/encoding/transcode.ts'
import { writeMessage } from '../../src/stream/messages.ts'

/** What the package sends with: missing from its types. */
const { Sender } = ws as unknown as { Sender: new (socket: unknown) => { send(payload: Buffer, options: Record<string, boolean>): void } }

describe('a WebSocket message', () => {
  it.each([0, 1, 125, 126, 65_535, 65_536, 70_000])('of %i bytes is what the ws package sends', (length) => {
    for (const kind of ['text', 'binary'] as const) {
      const payload = Buffer.alloc(length, 0x61)
      const expected: Buffer[] = []
      const socket = { cork() {}, uncork() {}, write: (chunk: Buffer) => expected.push(Buffer.from(chunk)) }
      new Sender(socket).send(payload, { binary: kind === 'binary', fin: true, mask: false, compress: false })
      // Behind another message too, and in a writer that grows meanwhile.
      const out = new ByteWriter(1)
      for (let i = 0; i < 2; i++) {
        const written = writeMessage(out, kind, () => {
          out.reserve(length)
          out.bytes.set(payload, out.length)
          out.length += length
        })
        expect(written).toBe(length)
      }
      const message = Buffer.concat(expected)
      expect(Buffer.compare(out.written(), Buffer.concat([message, message]))).toBe(0)
    }
  })
})
