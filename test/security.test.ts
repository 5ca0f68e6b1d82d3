// What SECURITY.md points to is there: tests, commands, and a row for each party.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { buildProgram } from '../src/cli/program.ts'

const ROOT = join(import.meta.dirname, '..')
const PAGE = readFileSync(join(ROOT, 'SECURITY.md'), 'utf8')
const [, threats = ''] = PAGE.split('| who | can do at most | what notices | shown by |\n| --- | --- | --- | --- |\n')
const ROWS = threats.slice(0, threats.indexOf('\n\n')).split('\n').map((row) => row.slice(2, -2).split(' | '))

describe('SECURITY.md', () => {
  it('has each party with what it can do, what notices, and what shows it', () => {
    const parties = ["log's key", 'database', 'key and guard', 'a witness', 'a mirror', 'the network', 'rotation key', 'a client', 'a spammer']
    for (const party of parties) expect(ROWS.filter(([who = '']) => who.includes(party)).length, party).toBeGreaterThanOrEqual(1)
    for (const row of ROWS) {
      expect(row, row[0]).toHaveLength(4)
      for (const cell of row) expect(cell.trim(), row[0]).not.toBe('')
      expect(row[3], row[0]).toMatch(/`test\/[^`]+\.test\.ts`/)
    }
  })

  it('names tests that are there', () => {
    const tests = [...PAGE.matchAll(/`(test\/[^`]+)`/g)].map(([, path = '']) => path)
    expect(tests.length).toBeGreaterThan(30)
    expect(tests.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  })

  it('names commands that are there', async () => {
    const names = new Set((await buildProgram()).commands.map((command) => command.name()))
    const named = [...PAGE.matchAll(/`stele ([a-z-]+)/g)].map(([, name = '']) => name)
    expect(named.length).toBeGreaterThan(5)
    expect(named.filter((name) => !names.has(name))).toEqual([])
  })

  it('is linked from the README', () => {
    expect(readFileSync(join(ROOT, 'README.md'), 'utf8')).toContain('](SECURITY.md)')
  })
})
