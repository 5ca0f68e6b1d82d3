import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MIRROR_LIMITS } from '../../mirror/limits.ts'

describe('the specification of mirrors', () => {
  it('gives the limits as they are', () => {
    const text = readFileSync(join(import.meta.dirname, '../../spec/mirror.md'), 'utf8')
    const rows = [...(text.split('\n## Limits\n')[1] ?? '').matchAll(/^\| `(\w+)` \| (\d+) \| .+ \|$/gm)]
    expect(rows.map(([, name, value]) => [name, Number(value)])).toEqual(Object.entries(MIRROR_LIMITS))
  })
})
