// What spec/stream.md says is what the code does: its tables, and its examples byte for byte.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { encodeFrame, MAX_FRAME_BYTES } from '../../src/core/frame.ts'
import { MAX_ENTRY_BYTES } from '../../src/core/tlog/bundle.ts'
import { MAX_PROOF_HASHES } from '../../src/core/tlog/proof.ts'
import { STREAM_LIMITS } from '../../src/stream/limits.ts'
import { CLOSE_CODES, REFUSALS } from '../../src/stream/refusal.ts'
import { EXAMPLE, openExampleLog } from '../support/example-log.ts'
import { subscribe } from '../support/subscriber.ts'

const SPEC = readFileSync(join(import.meta.dirname, '../../spec/stream.md'), 'utf8')

/** The rows of the table that has this header, without backquotes. */
function tableOf(header: string): string[][] {
  const [, text = ''] = SPEC.split(`\n${header}\n`)
  const lines = text.split('\n')
  return lines.slice(1, lines.findIndex((line) => !line.startsWith('|'))).map((row) => row.slice(2, -2).split(' | ').map((cell) => cell.replaceAll('`', '')))
}

const blocks = (language: string): string[] => [...SPEC.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\n\`\`\``, 'g'))].map(([, block = '']) => block)
const hex = (message: string | Uint8Array | undefined): string => Buffer.from(message as Uint8Array).toString('hex')

describe('the specification', () => {
  it('gives limits, refusals and reasons as they are', () => {
    expect(tableOf('| limit | value | what |').map(([name, value]) => [name, Number(value)])).toEqual(Object.entries(STREAM_LIMITS))
    expect(tableOf('| code | status | message |')).toEqual(Object.entries(REFUSALS).map(([code, [status, message]]) => [code, String(status), message]))
    expect(tableOf('| reason | code | when |').map(([reason, code]) => [reason, Number(code)])).toEqual(Object.entries(CLOSE_CODES))
    for (const bound of [MAX_FRAME_BYTES, MAX_ENTRY_BYTES]) expect(SPEC).toContain(bound.toLocaleString('en'))
    expect(SPEC).toContain(`at most ${MAX_PROOF_HASHES} byte strings`)
  })

  it('takes a frame apart as it is', () => {
    const bytes = (blocks('bytes')[0] ?? '').split('\n').map((line) => line.slice(0, 32).replaceAll(' ', '')).join('')
    expect(hex(encodeFrame({ type: 'entries', start: 300, entries: [Uint8Array.of(1, 2), Uint8Array.of(3)], provisional: true }))).toBe(bytes)
  })

  it('shows what is sent', async () => {
    await using counter = await openExampleLog()
    using events = await subscribe(counter.url, '/export/stream?cursor=0')
    using log = await subscribe(counter.url, '/log/stream?from=0')
    using matches = await subscribe(counter.url, `/log/stream?from=1&did=${EXAMPLE.did}`)
    for (const stream of [events, log, matches]) await stream.until(2)
    expect(events.messages.join('\n')).toBe(blocks('jsonl')[0])
    expect([...log.messages, ...matches.messages].map(hex)).toEqual(blocks('frame').map((block) => block.replaceAll('\n', '')))
  })
})
