// What spec/witness.md says is what the code does: its tables, and its example byte for byte.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parseVerifierKey } from '../../src/core/tlog/note.ts'
import { MAX_REQUEST_PROOF, MAX_SUBTREE_SIGNATURES } from '../../src/core/tlog/witness-request.ts'
import { EVIDENCE_FOLDER } from '../../src/witness/evidence-files.ts'
import { KEY_FILES } from '../../src/witness/keys.ts'
import { WITNESS_LIMITS } from '../../src/witness/limits.ts'
import { WITNESS_REFUSALS } from '../../src/witness/refusal.ts'
import { logId, openState } from '../../src/witness/state.ts'
import { STATE_FILE, VKEYS_FILE } from '../../src/witness/open-folder.ts'
import { createCosigner } from '../../src/witness/cosigner.ts'
import { createWitness } from '../../src/witness/witness.ts'
import { KEY_TYPES, makeSigningKey } from '../../src/core/tlog/note.ts'
import { newFolder } from '../support/witness.ts'

const SPEC = readFileSync(join(import.meta.dirname, '../../spec/witness.md'), 'utf8')

/** The rows of the table with this header: their cells, without backquotes. */
function tableOf(header: string): string[][] {
  const lines = (SPEC.split(`\n${header}\n`)[1] ?? '').split('\n')
  return lines.slice(1, lines.findIndex((line) => !line.startsWith('|'))).map((row) => row.split('|').slice(1, -1).map((cell) => cell.replaceAll('`', '').trim()))
}

/** The code blocks of the worked example, in order. */
const blocks = [...(SPEC.split('\n## Worked example\n')[1] ?? '').matchAll(/```\n([\s\S]*?)```/g)].map(([, text = '']) => text)

it('gives the limits as they are', () => {
  expect(tableOf('| limit | value | what |').map(([name, value]) => [name, Number(value)])).toEqual(Object.entries(WITNESS_LIMITS))
})

it('gives every refusal its status and text', () => {
  expect(tableOf('| code | status | text | when |').map(([code, status, text]) => [code, Number(status), text])).toEqual(Object.entries(WITNESS_REFUSALS).map(([code, [status, text]]) => [code, status, text]))
})

it('names the files of the data folder, and the bounds of requests', () => {
  for (const name of [...KEY_FILES.map(({ file }) => file), STATE_FILE, VKEYS_FILE, EVIDENCE_FOLDER]) expect(SPEC).toContain(`\`${name}\``)
  expect(SPEC).toContain(`the first ${WITNESS_LIMITS.contradictions} contradictions are kept, and the last ${WITNESS_LIMITS.unproven} without proof`)
  expect(SPEC).toContain(`at most ${MAX_REQUEST_PROOF} hashes`)
  expect(SPEC).toContain(`at most ${MAX_SUBTREE_SIGNATURES} cosignatures`)
})

it('shows what a witness answers', () => {
  const [first, second, answer, shown, path] = blocks
  if (first === undefined || second === undefined) throw new Error('no example')
  const witness = makeSigningKey('witness.example', KEY_TYPES.cosignature, new Uint8Array(32).fill(2))
  const log = makeSigningKey('log.example', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
  using folder = newFolder()
  using state = openState(join(folder.path, 'state'), true)
  const server = createWitness({ state, cosigners: [createCosigner(witness)], logKeys: [log], now: () => 1_800_000_000_000, elapsed: () => 0, log: () => undefined })
  server.addCheckpoint(first)
  expect(server.addCheckpoint(second)).toBe(answer)
  expect(server.checkpoint(logId(log.name))).toBe(shown)
  expect(path).toBe(`/${logId(log.name)}/checkpoint\n`)
  expect(parseVerifierKey('witness.example+3176bd45+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU').id).toBe(witness.id)
})
