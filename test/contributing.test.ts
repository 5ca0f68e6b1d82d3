// What CONTRIBUTING.md says of the dependencies is what package.json has.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import packageJson from '../package.json' with { type: 'json' }

const PAGE = readFileSync(join(import.meta.dirname, '../CONTRIBUTING.md'), 'utf8')

it('every dependency has a line of its own that says why it is here, and nothing else has', () => {
  const [, table = ''] = PAGE.split('| package | why it is here |\n')
  const rows = [...table.matchAll(/^\| `([^`]+)`( \(development\))? \| (.+) \|$/gm)].map(([, name = '', development, why = '']) => ({ name, development: development !== undefined, why }))
  const { dependencies, optionalDependencies, devDependencies } = packageJson
  const needed = Object.keys({ ...dependencies, ...optionalDependencies }).map((name) => ({ name, development: false }))
  const used = Object.keys(devDependencies).map((name) => ({ name, development: true }))
  const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1)
  expect(rows.map(({ name, development }) => ({ name, development })).sort(byName)).toEqual([...needed, ...used].sort(byName))
  for (const { name, why } of rows) expect(why.trim().length, name).toBeGreaterThan(2)
})
