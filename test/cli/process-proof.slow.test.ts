import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serveHome, type ServedHome } from '../support/served-home.ts'

describe('a directory and the commands of somebody who wants proof', () => {
  let served: ServedHome
  beforeAll(async () => {
    served = await serveHome()
  })
  afterAll(() => served[Symbol.dispose]())

  it('prove an operation, and verify the proof without a directory', async () => {
    const { home, stele, done } = served
    const did = await done('did', 'create', '--handle', 'carol.example')
    await done('proof', did, '--out', 'carol.tlog-proof', '--operation', 'carol.json', '--vkey', 'data/log.vkey')
    const verified = await home.run(['verify', 'carol.tlog-proof', '--operation', 'carol.json', '--vkey', 'data/log.vkey'], { env: { STELE_URL: 'http://127.0.0.1:9' } })
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining(did) as string })
    expect((await stele('proof', did, 'bafyreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')).code).toBe(1)
    const [genesis] = JSON.parse(await done('resolve', did, '--audit')) as { cid: string }[]
    expect(await done('proof', did, genesis?.cid ?? '')).toBe(readFileSync(join(home.folder, 'carol.tlog-proof'), 'utf8').trimEnd())
  })
})
