import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serveHome, type ServedHome } from '../support/served-home.ts'

describe('a directory and the commands that read its whole log', () => {
  let served: ServedHome
  beforeAll(async () => {
    served = await serveHome()
  })
  afterAll(() => served[Symbol.dispose]())

  it('check the whole log, over HTTP and in the database under the serving directory, and export the same from both', async () => {
    const { url, stele, done } = served
    for (const name of ['alice', 'bob', 'carol']) await done('did', 'create', '--handle', `${name}.example`)
    expect(await done('fsck', '--vkey', 'data/log.vkey')).toMatch(/\nwhole$/)
    expect(await done('fsck', '--database', '--data', 'data')).toMatch(/\nwhole$/)
    expect(await stele('fsck', `${url}/nowhere`)).toMatchObject({ code: 1 })
    const exported = await done('export')
    expect(exported.split('\n').map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual([1, 2, 3])
    expect(await done('export', '--database', '--data', 'data')).toBe(exported)
    expect((await done('export', '--after', '2')).split('\n')).toEqual(exported.split('\n').slice(2))
  })

  it('refuse to import into a log that has accepted operations itself', async () => {
    const { home, done } = served
    writeFileSync(join(home.folder, 'export.jsonl'), await done('export'))
    const lines = readFileSync(join(home.folder, 'export.jsonl'), 'utf8')
    expect(await home.run(['import', '-', '--data', 'data'], { input: lines })).toMatchObject({ code: 2, stderr: expect.stringContaining('has accepted operations of its own') as string })
  })

  it('end gracefully, and leave a whole log', async () => {
    const { serving, stele, done } = served
    serving.child.kill('SIGTERM')
    expect((await serving.ended).code).toBe(0)
    expect(await done('fsck', '--database', '--data', 'data')).toMatch(/\nwhole$/)
    const { stderr, code } = await stele('resolve', 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')
    expect(code).toBe(1)
    expect(stderr).toContain('cannot be reached')
  })
})
