// Fuzz targets of the streams' messages.

import { decodeFrame, encodeFrame, formatCredit, MAX_FRAME_BYTES, parseCredit, type Frame } from '../../../src/core/frame.ts'
import { encodeEntry } from '../../../src/core/entry.ts'
import { signCheckpoint } from '../../../src/core/tlog/checkpoint.ts'
import { EMPTY_ROOT } from '../../../src/core/tlog/hash.ts'
import { KEY_TYPES, makeSigningKey } from '../../../src/core/tlog/note.ts'
import { exampleLog } from '../../support/entry-examples.ts'
import { accepted, bytesOfAll, must, mustEqualBytes, type Target } from '../target.ts'
import { textOf } from '../tree.ts'

const LEAVES = exampleLog().entries.map(encodeEntry)
const LOG = makeSigningKey('log.example', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
const NOTE = signCheckpoint({ origin: LOG.name, size: 0, root: EMPTY_ROOT }, [LOG])
const PROOF = Array.from({ length: 5 }, (_, i) => new Uint8Array(32).fill(i))

const FRAMES: readonly Frame[] = [
  { type: 'entries', start: 0, entries: LEAVES, provisional: true },
  { type: 'entries', start: 2 ** 33, entries: LEAVES.slice(0, 1), provisional: false },
  { type: 'checkpoint', note: NOTE, consistency: null },
  { type: 'checkpoint', note: NOTE, consistency: PROOF },
  ...LEAVES.slice(0, 1).map((entry): Frame => ({ type: 'match', index: 300, entry, proof: PROOF })),
]

export const FRAME_TARGETS: readonly Target[] = [
  {
    name: 'frames',
    form: 'bytes',
    seeds: FRAMES.map(encodeFrame),
    words: ['type', 'start', 'entries', 'provisional', 'note', 'checkpoint', 'consistency', 'match', 'entry', 'index', 'proof'],
    hostile: [new Uint8Array(MAX_FRAME_BYTES + 1), new Uint8Array(MAX_FRAME_BYTES).fill(0xa4), Uint8Array.of(0xa4, 0x64, 0x74, 0x79, 0x70, 0x65, 0x9b, 0, 0x1f, 255, 255, 255, 255, 255, 255)],
    run(input) {
      const frame = accepted(() => decodeFrame(input))
      if (frame === null) return false
      mustEqualBytes(encodeFrame(frame.value), input, 'what is accepted encodes to the same bytes')
      return true
    },
  },
  {
    name: 'credit',
    form: 'text',
    seeds: bytesOfAll(['1', '65536', '4194304', '9007199254740991']),
    words: ['0', '-', '9'],
    run(input) {
      const text = textOf(input)
      const count = accepted(() => parseCredit(text))
      if (count === null) return false
      must(formatCredit(count.value) === text && count.value > 0, 'what is accepted is written the same way')
      return true
    },
  },
]
