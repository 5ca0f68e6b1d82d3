import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { verifyIndependently, type IndependentKeys } from '../support/independent-state-proof.ts'

const FOLDER = join(import.meta.dirname, '..', '..', 'spec', 'vectors', 'map')
const read = (name: string): string => readFileSync(join(FOLDER, name), 'utf8')
const keys: IndependentKeys = { log: read('log.vkey').trim(), map: read('map.vkey').trim(), witness: /^witness \S+ (\S+)$/m.exec(read('policy'))?.[1] ?? '' }
const didOf = (text: string): string => /^did (\S+)$/m.exec(text)?.[1] ?? ''
const valid = readdirSync(join(FOLDER, 'valid'))

describe('a verifier written from the specification alone', () => {
  it.each(valid)('accepts %s, and finds what the vectors say', async (name) => {
    const text = read(`valid/${name}`)
    const known = (JSON.parse(read('values.json')) as { did: string; entries: { index: number }[]; deactivated: boolean }[]).find(({ did }) => did === didOf(text))
    const shown = await verifyIndependently(text, didOf(text), keys)
    expect(shown).toMatchObject({ did: didOf(text), size: 12, indices: known?.entries.map(({ index }) => index) ?? [], deactivated: known?.deactivated ?? false })
    expect(shown.data === null).toBe(known === undefined || known.deactivated)
  })

  it.each(readdirSync(join(FOLDER, 'invalid')))('refuses %s', async (name) => {
    await expect(verifyIndependently(read(`invalid/${name}`), didOf(read('valid/updated.state-proof')), keys)).rejects.toThrow('shows nothing')
  })

  it.each(valid)('refuses %s with any character changed', async (name) => {
    const text = read(`valid/${name}`)
    for (let at = 0; at < text.length; at++) {
      const changed = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
      await expect(verifyIndependently(changed, didOf(text), keys), `at ${at}`).rejects.toThrow()
    }
  }, 60_000)
})
