// `stele compare`: the same, behind, two logs under one key, or nothing that can be said.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { main } from '../../src/cli/main.ts'
import { verifyEvidence } from '../../src/core/evidence.ts'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import { identityLeaves, LOG_KEY } from '../support/stored-log.ts'
import { openFront, serveLog } from '../support/upstream.ts'

const LEAVES = identityLeaves(30)
const folder = mkdtempSync(join(tmpdir(), 'stele-compare-'))

async function compare(...servers: readonly { readonly url: string }[]): Promise<number> {
  const code = await main(['compare', ...servers.map(({ url }) => url), '--vkey', formatVerifierKey(LOG_KEY), '--evidence', folder])
  process.exitCode = undefined
  return code
}

describe('comparing', () => {
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('is 0 where all show the same, and 3 where some are behind', async () => {
    await using one = await serveLog(LEAVES.slice(0, 20))
    await using other = await serveLog(LEAVES.slice(0, 20))
    await using behind = await serveLog(LEAVES.slice(0, 7))
    expect(await compare(one, other)).toBe(0)
    expect(await compare(one, behind, other)).toBe(3)
  })

  it.each([[20], [25]])('is 4, with evidence, where there are two logs: the other of %i entries', async (size) => {
    await using one = await serveLog(LEAVES.slice(0, 20))
    await using other = await serveLog([...LEAVES.slice(0, 10), ...LEAVES.slice(11, size + 1)])
    expect(await compare(one, other)).toBe(4)
    const [file = ''] = readdirSync(folder)
    expect(verifyEvidence(Uint8Array.from(readFileSync(join(folder, file))), [LOG_KEY]).evidence.kind).toBe(size === 20 ? 'two-roots' : 'fork')
  })

  it('is 1 where one does not answer, or serves no tree of its checkpoint', async () => {
    await using one = await serveLog(LEAVES.slice(0, 20))
    await using behind = await serveLog(LEAVES.slice(0, 7))
    await using front = await openFront(one)
    front.answer = (path, body) => (path.startsWith('/tile/') ? Buffer.alloc(body.length) : body)
    expect(await compare(front, behind)).toBe(1)
    front.answer = (path, body) => (path === '/checkpoint' ? Buffer.from('nothing') : body)
    expect(await compare(one, front)).toBe(1)
  })
})
