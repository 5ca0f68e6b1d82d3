import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { UsageError } from '../src/config.ts'
import { LIMITS } from '../src/http/limits.ts'
import { readWithheld } from '../src/withheld-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'stele-withheld-'))
const path = join(folder, 'withheld')

const DID = `did:plc:${'a'.repeat(24)}`

function reading(text: string | Uint8Array): ReadonlyMap<number, string | null> {
  writeFileSync(path, text)
  return readWithheld(path).entries
}

describe('the file of what is withheld', () => {
  afterAll(() => rmSync(folder, { recursive: true }))

  it('has an index a line, with a reason or without, in any order', () => {
    const text = '# orders of this year\n\n12\torder 12 O 345/26 of the court of X \r\n  3\n7   two   words\n'
    expect([...reading(text)]).toEqual([[3, null], [7, 'two   words'], [12, 'order 12 O 345/26 of the court of X']])
    expect(readWithheld(null).entries.size).toBe(0)
    expect(reading('').size).toBe(0)
  })

  it('names lines that a notary set aside, and identities whose other history it does not show', () => {
    writeFileSync(path, `refused 12 order of X\n5\nrefused\t3\ndivergent ${DID} order  of Y\n`)
    const { entries, refused, divergent } = readWithheld(path)
    expect([[...entries], [...refused], [...divergent]]).toEqual([[[5, null]], [[12, 'order of X'], [3, null]], [[DID, 'order  of Y']]])
  })

  it('is refused, in words that name the line, where it says nothing that is meant', () => {
    for (const line of ['x', '-1', '1.5', '0x10', '1,2', '9'.repeat(16), 'refused', 'refused x', 'divergent did:web:a', 'divergent', 'entry 5', '5 ' + 'x'.repeat(LIMITS.withheldReason + 1)]) {
      expect(() => reading(`1\n${line}\n`), line).toThrow(UsageError)
      expect(() => reading(`1\n${line}\n`), line).toThrow('--withheld: line 2 of ')
    }
    for (const twice of ['5\n5 again\n', 'refused 5\nrefused 5\n', `divergent ${DID}\ndivergent ${DID} again\n`]) expect(() => reading(twice), twice).toThrow('line 2 of ')
    expect(reading('5\nrefused 5\n').size).toBe(1)
    expect(() => readWithheld(join(folder, 'nowhere'))).toThrow('--withheld: ')
    expect(() => reading(Uint8Array.of(0x31, 0xff))).toThrow(UsageError)
  })

  it('is bounded', () => {
    const lines = Array.from({ length: LIMITS.withheldEntries + 1 }, (_, i) => `${i}\n`)
    expect(reading(lines.slice(1).join('')).size).toBe(LIMITS.withheldEntries)
    expect(() => reading(lines.join(''))).toThrow(`${LIMITS.withheldEntries} can be withheld`)
    expect(() => reading(`# ${'x'.repeat(4_000_000)}`)).toThrow('bytes')
  })
})
