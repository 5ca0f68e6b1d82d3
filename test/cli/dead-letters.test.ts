import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { keepDeadLetter, MAX_DEAD_LETTERS } from '../../src/cli/dead-letters.ts'

const home = mkdtempSync(join(tmpdir(), 'stele-dead-'))
afterAll(() => rmSync(home, { recursive: true }))

it('keeps deliveries to the letter, each once, as many as there may be', () => {
  const folder = join(home, 'letters')
  const file = keepDeadLetter(folder, { id: '3-4', body: '{"é":1}', words: '' })
  expect(file).toBe(join(folder, '3-4.json'))
  expect(readFileSync(file ?? '', 'utf8')).toBe('{"é":1}')
  for (let i = 1; i < MAX_DEAD_LETTERS; i++) writeFileSync(join(folder, `x${i}`), '')
  expect(keepDeadLetter(folder, { id: '5-5', body: '', words: '' })).toBe(null)
  expect(keepDeadLetter(folder, { id: '3-4', body: 'again', words: '' })).not.toBe(null)
  expect(readdirSync(folder)).toHaveLength(MAX_DEAD_LETTERS)
})
