import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { MAX_ENTRY_BYTES } from '../../../src/core/tlog/bundle.ts'
import { MAX_CHECKPOINT_LENGTH, MAX_ORIGIN_BYTES } from '../../../src/core/tlog/checkpoint.ts'
import { MAX_KEY_LENGTH, MAX_NOTE_LENGTH, MAX_NOTE_SIGNATURES } from '../../../src/core/tlog/note.ts'
import { MAX_POLICY_ITEMS, MAX_POLICY_LENGTH, openUnderPolicy, parsePolicy } from '../../../src/core/tlog/policy.ts'
import { MAX_PROOF_HASHES } from '../../../src/core/tlog/proof.ts'
import { MAX_TILE_PATH_LENGTH } from '../../../src/core/tlog/tile.ts'
import { MAX_EXTRA_BYTES, parseTlogProof } from '../../../src/core/tlog/tlog-proof.ts'
import { entryExamples } from '../../support/entry-examples.ts'
import { logExamples } from '../../support/log-examples.ts'

const page = readFileSync(new URL('../../../spec/log.md', import.meta.url), 'utf8')
const examples = new Map([...logExamples(), ...entryExamples()])

describe('spec/log.md', () => {
  it.each([...examples])('shows the example %s as the code makes it', (_, example) => {
    expect(page).toContain(`\`\`\`\n${example.replace(/\n$/, '')}\n\`\`\``)
  })

  it('shows a proof that its own policy accepts', () => {
    const { checkpoint } = parseTlogProof(examples.get('tlog-proof') ?? '')
    expect(openUnderPolicy(checkpoint, parsePolicy(examples.get('policy') ?? '')).checkpoint.size).toBe(7)
  })

  it('names the bounds that the code has', () => {
    const bounds = page.slice(page.indexOf('**Bounds.**'), page.indexOf('- Worked examples'))
    const numbers = [...bounds.matchAll(/\d[\d,]*(?= |\.)/g)].map(([number]) => Number(number.replaceAll(',', ''))).filter((n) => n !== 16)
    expect(numbers).toEqual([
      MAX_NOTE_LENGTH, MAX_NOTE_SIGNATURES, MAX_KEY_LENGTH, MAX_ORIGIN_BYTES, MAX_CHECKPOINT_LENGTH, MAX_TILE_PATH_LENGTH,
      MAX_ENTRY_BYTES, MAX_PROOF_HASHES, MAX_EXTRA_BYTES, MAX_POLICY_LENGTH, MAX_POLICY_ITEMS,
    ])
  })
})
