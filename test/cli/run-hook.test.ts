import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { runHook } from '../../src/cli/run-hook.ts'

describe.skipIf(process.platform === 'win32')("the operator's command", () => {
  const folder = mkdtempSync(join(tmpdir(), 'stele-hook-'))
  const out = join(folder, 'out')
  afterEach(() => rmSync(out, { force: true }))
  const pauses: number[] = []
  const pause = (ms: number): Promise<void> => (pauses.push(ms), Promise.resolve())

  it('gets the facts as they are, in its environment and on its standard input, and never as a part of itself', async () => {
    const nasty = `$(touch ${join(folder, 'hacked')}); "'\`\\ %s`
    expect(await runHook(`printf '%s\\n' "$FACT" >> ${out}; cat >> ${out}`, { FACT: nasty }, JSON.stringify(nasty), pause)).toBe(null)
    expect(readFileSync(out, 'utf8')).toBe(`${nasty}\n${JSON.stringify(nasty)}\n`)
    expect(() => readFileSync(join(folder, 'hacked'))).toThrow()
  })

  it('is run again where it fails, a few times, and may leave its input unread', async () => {
    pauses.length = 0
    expect(await runHook(`echo x >> ${out}; test $(wc -l < ${out}) -ge 3`, {}, 'x'.repeat(1_000_000), pause)).toBe(null)
    expect(pauses).toEqual([1_000, 5_000])
    expect(await runHook('exit 7', {}, '', pause)).toBe('it ended with 7')
    expect(await runHook('kill -9 $$', {}, '', pause)).toBe('it was ended by SIGKILL')
  })
})
