import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newHome, type Ended, type Started } from '../support/program.ts'
import { describeVectors, readVectors } from '../support/vectors.ts'

describe('a directory and the commands that use it', () => {
  const home = newHome()
  let serving: Started
  let url = ''

  const stele = (...args: readonly string[]): Promise<Ended> => home.run(args, { env: { STELE_URL: url } })
  const done = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await stele(...args)
    expect(code, stderr).toBe(0)
    return stdout.trimEnd()
  }

  beforeAll(async () => {
    serving = home.start(['serve', '--port', '0', '--data', 'data', '--checkpoint-interval', '50ms'])
    const line = await serving.line
    expect(line).toMatch(/^stele listening on http:\/\/127\.0\.0\.1:\d+$/)
    url = line.slice('stele listening on '.length)
  })

  afterAll(() => home[Symbol.dispose]())

  it('make an identity with keys of its own, change it, and resolve it', async () => {
    const { code, stdout, stderr } = await stele('did', 'create', '--handle', 'alice.example', '--pds', 'https://pds.example')
    expect(code, stderr).toBe(0)
    const did = stdout.trimEnd()
    expect(did).toMatch(/^did:plc:[a-z2-7]{24}$/)
    const keyFile = join(home.folder, 'state', 'stele', 'keys', `${did.slice(8)}.rotation.key`)
    expect(stderr).toContain(keyFile)
    expect(existsSync(keyFile)).toBe(true)
    expect(JSON.parse(await done('resolve', did))).toMatchObject({ id: did, alsoKnownAs: ['at://alice.example'], service: [{ serviceEndpoint: 'https://pds.example' }] })

    const cid = await done('did', 'update', did, '--handle', 'bob.example')
    expect(cid).toMatch(/^bafyrei/)
    expect(JSON.parse(await done('resolve', did, '--data'))).toMatchObject({ alsoKnownAs: ['at://bob.example'], services: { atproto_pds: { endpoint: 'https://pds.example' } } })
    expect(JSON.parse(await done('resolve', did, '--log'))).toHaveLength(2)
    expect(JSON.parse(await done('resolve', did, '--audit'))).toMatchObject([{ nullified: false }, { cid }])
  })

  it('make an identity with keys that were given, and hand it to other keys', async () => {
    const first = await done('keygen', 'operation', '--out', 'first.key')
    const second = await done('keygen', 'operation', '--curve', 'p256', '--out', 'second.key')
    const did = await done('did', 'create', '--rotation-key', second, '--rotation-key', 'first.key', '--signing-key', second)
    expect(JSON.parse(await done('resolve', did, '--data'))).toEqual({ did, rotationKeys: [second, first], verificationMethods: { atproto: second }, alsoKnownAs: [], services: {} })
    await done('did', 'update', did, '--key', 'first.key', '--rotation-key', 'second.key')
    expect(JSON.parse(await done('resolve', did, '--data'))).toMatchObject({ rotationKeys: [second] })

    expect(await stele('did', 'update', did, '--key', 'first.key', '--handle', 'x.example')).toMatchObject({ code: 2, stderr: expect.stringContaining('none of the rotation keys') as string })
    expect(await stele('did', 'update', did, '--key', 'second.key')).toMatchObject({ code: 2, stderr: expect.stringContaining('nothing to change') as string })
    expect(await stele('did', 'update', did, '--handle', 'x.example')).toMatchObject({ code: 2, stderr: expect.stringContaining('--key FILE') as string })
    expect(await stele('did', 'create', '--rotation-key', second)).toMatchObject({ code: 2, stderr: expect.stringContaining('no secret to sign with') as string })
  })

  it('prove an operation, and verify the proof without a directory', async () => {
    const did = await done('did', 'create', '--handle', 'carol.example')
    await done('proof', did, '--out', 'carol.tlog-proof', '--operation', 'carol.json', '--vkey', 'data/log.vkey')
    const verified = await home.run(['verify', 'carol.tlog-proof', '--operation', 'carol.json', '--vkey', 'data/log.vkey'], { env: { STELE_URL: 'http://127.0.0.1:9' } })
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining(did) as string })
    expect((await stele('proof', did, 'bafyreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')).code).toBe(1)
    const [genesis] = JSON.parse(await done('resolve', did, '--audit')) as { cid: string }[]
    expect(await done('proof', did, genesis?.cid ?? '')).toBe(readFileSync(join(home.folder, 'carol.tlog-proof'), 'utf8').trimEnd())
  })

  it('check the whole log, over HTTP and in the database under the serving directory, and export the same from both', async () => {
    expect(await done('fsck', '--vkey', 'data/log.vkey')).toMatch(/\nwhole$/)
    expect(await done('fsck', '--database', '--data', 'data')).toMatch(/\nwhole$/)
    expect(await stele('fsck', `${url}/nowhere`)).toMatchObject({ code: 1 })
    const exported = await done('export')
    expect(exported.split('\n').map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual([1, 2, 3, 4, 5])
    expect(await done('export', '--database', '--data', 'data')).toBe(exported)
    expect((await done('export', '--after', '4')).split('\n')).toEqual(exported.split('\n').slice(4))
  })

  it('refuse to import into a log that has accepted operations itself', async () => {
    writeFileSync(join(home.folder, 'export.jsonl'), await done('export'))
    const lines = readFileSync(join(home.folder, 'export.jsonl'), 'utf8')
    expect(await home.run(['import', '-', '--data', 'data'], { input: lines })).toMatchObject({ code: 2, stderr: expect.stringContaining('has accepted operations of its own') as string })
  })

  it('end gracefully, and leave a whole log', async () => {
    serving.child.kill('SIGTERM')
    expect((await serving.ended).code).toBe(0)
    expect(await done('fsck', '--database', '--data', 'data')).toMatch(/\nwhole$/)
    const { stderr, code } = await stele('resolve', 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')
    expect(code).toBe(1)
    expect(stderr).toContain('cannot be reached')
  })
})

describeVectors('a log that begins with the history of another directory', () => {
  it('is created, filled by an import that is repeated, and served', async () => {
    using home = newHome()
    const vectors = readVectors('plc/valid')
    for (const { name, json } of vectors) writeFileSync(join(home.folder, `${name}.json`), JSON.stringify(json))
    const files = vectors.map(({ name }) => `${name}.json`)

    expect(await home.run(['import', ...files, '--data', 'data'])).toMatchObject({ code: 1, stderr: expect.stringContaining('stele init') as string })
    expect(await home.run(['init', '--origin', 'process.test/log', '--data', 'data'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^process\.test\/log\+/) as string })
    expect(await home.run(['init', '--origin', 'process.test/log', '--data', 'data'])).toMatchObject({ code: 1 })
    expect(await home.run(['migrate', '--data', 'data'])).toMatchObject({ code: 0 })
    expect(await home.run(['import', ...files, '--data', 'data', '--source', 'old.example'])).toMatchObject({ code: 0, stdout: '' })
    const again = await home.run(['import', ...files, '--data', 'data'])
    expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining('0 operations imported, 2 were there already') as string })

    const { child, line, ended } = home.start(['serve', '--port', '0', '--data', 'data'])
    const url = (await line).slice('stele listening on '.length)
    for (const { json } of vectors) {
      const did = (json as { did: string }[])[0]?.did ?? ''
      expect(JSON.parse((await home.run(['resolve', did, '--audit', '--url', url])).stdout)).toEqual(json)
    }
    expect(await home.run(['fsck', url, '--vkey', 'data/log.vkey'])).toMatchObject({ code: 0, stdout: expect.stringContaining('process.test/log') as string })
    child.kill('SIGINT')
    child.kill('SIGINT')
    expect((await ended).code).toBe(0)
  })
})
