// Fuzz targets of what a witness is asked: the two forms of its requests, and what it decides about them.

import { formatCheckpoint } from '../../../src/core/tlog/checkpoint.ts'
import { formatSignatureLine, KEY_TYPES, makeSigningKey, parseNote } from '../../../src/core/tlog/note.ts'
import { formatAddCheckpoint, formatSignSubtree, parseAddCheckpoint, parseSignSubtree } from '../../../src/core/tlog/witness-request.ts'
import { createCosigner } from '../../../src/witness/cosigner.ts'
import { WitnessRefusal } from '../../../src/witness/refusal.ts'
import type { Cosigned, WitnessState } from '../../../src/witness/state.ts'
import { createWitness } from '../../../src/witness/witness.ts'
import { naiveRoot, naiveSubtreeProof } from '../../support/naive-tree.ts'
import { leafLog } from '../../support/witness.ts'
import { accepted, bytesOfAll, must, mustEqual, type Target } from '../target.ts'
import { textOf } from '../tree.ts'

const log = leafLog('log.example/é')
const fork = leafLog('log.example/é', { forkAt: 4 })
const key = makeSigningKey('w.example', KEY_TYPES.cosignature, new Uint8Array(32).fill(9))
// A real signature of a subtree takes milliseconds.
const ALIKE = { name: key.name, id: key.id, signature: new Uint8Array(72) }
const COSIGNERS = [{ ...createCosigner(key), cosignSubtree: () => ALIKE }]

const OLD = 7
const signedOnce = COSIGNERS.map((cosigner) => cosigner.cosign(log.checkpoint(OLD), 1_800_000_000))
const ADD = [[7, 8], [7, 13], [7, 7], [7, 200]].map(([oldSize = 0, size = 0]) => log.body(oldSize, size))
const SUBTREES = [[0, 7], [4, 7], [6, 7], [0, 4]].map(([start = 0, end = 0], i) =>
  formatSignSubtree({
    start, end, hash: naiveRoot(log.leaves.slice(start, end)), proof: naiveSubtreeProof(start, end, log.leaves.slice(0, OLD)),
    cosignatures: i === 1 ? signedOnce : [], text: formatCheckpoint(log.checkpoint(OLD)), signatures: i === 0 ? [] : signedOnce,
  }),
)
const WORDS = ['old ', 'subtree ', '\n\n', '\n', '\u2014 ', ' 7', '7', log.origin, `${'A'.repeat(43)}=\n`]
const HOSTILE = bytesOfAll([
  '\n'.repeat(65_000), `old 0\n${'A\n'.repeat(30_000)}\n`, `old ${'1'.repeat(60_000)}\n\n`, `subtree ${'1 '.repeat(30_000)}\n\n`,
  `old 0\n\n${'\u2014 a AAAAAAAA\n'.repeat(4_000)}`, `subtree 0 1\n${'\u2014 a AAAAAAAA\n'.repeat(4_000)}\n\n`, fork.body(7, 7), fork.body(7, 9), log.body(0, 5), log.body(3, 9), log.body(6, 5),
])

export const WITNESS_TARGETS: readonly Target[] = [
  {
    name: 'requests to a witness',
    form: 'text',
    seeds: bytesOfAll([...ADD, ...SUBTREES]),
    words: WORDS,
    hostile: HOSTILE,
    run(input) {
      const text = textOf(input)
      const add = accepted(() => parseAddCheckpoint(text))
      const subtree = accepted(() => parseSignSubtree(text))
      must(add === null || subtree === null, 'a body is one request')
      if (add !== null) mustEqual(formatAddCheckpoint(add.value), text, 'a request has one form')
      if (subtree !== null) mustEqual(formatSignSubtree(subtree.value), text, 'a request has one form')
      return add !== null || subtree !== null
    },
  },
  {
    name: 'a witness',
    form: 'text',
    seeds: bytesOfAll([...ADD, ...SUBTREES]),
    words: WORDS,
    hostile: HOSTILE,
    run(input) {
      const before: Cosigned = { ...log.checkpoint(OLD), timestamp: 1_800_000_000, note: log.note(OLD) }
      let after = before
      const state: WitnessState = {
        latest: (origin) => (origin === log.origin ? before : null),
        latestById: () => before,
        keep: () => true,
        suspects: () => [],
        advance: (_, to) => (after = to),
      }
      const witness = createWitness({ state, cosigners: COSIGNERS, logKeys: [log.key], now: () => 1_800_000_005_000, elapsed: () => 0, log: () => undefined })
      const text = textOf(input)
      const added = unlessRefused(() => witness.addCheckpoint(text))
      if (added !== null) {
        must(after !== before && after.size >= OLD && after.timestamp === 1_800_000_005, 'what is cosigned is remembered first')
        mustEqual(after.root, log.checkpoint(after.size).root, 'only what continues the tree is cosigned')
        mustEqual(parseNote(after.note).signatures.length, 2, 'the log and the witness have signed')
      } else must(after === before, 'what is refused changes nothing')
      const signed = unlessRefused(() => witness.signSubtree(text))
      must(signed === null || signed === `${formatSignatureLine(ALIKE)}\n`, 'the answer is a line')
      return added !== null || signed !== null
    },
  },
]

function unlessRefused(work: () => string): string | null {
  try {
    return work()
  } catch (error) {
    if (error instanceof WitnessRefusal) return null
    throw error
  }
}
