import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clusterOnFolder, type Cluster } from '../support/cluster.ts'
import { killEverything, stopMember, strike } from '../support/faults.ts'
import { startLoad } from '../support/load.ts'
import { checkCluster, observe } from '../support/observe.ts'
import { newHome, type Home } from '../support/program.ts'

describe("the directory in its operator's hands", () => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await clusterOnFolder()
  })
  afterAll(() => cluster[Symbol.asyncDispose]())

  it('ends with 0 when it is told to under load, and has lost nothing that it acknowledged; nor when everything dies at once', async () => {
    const { members } = cluster
    const observer = observe(cluster)
    const load = startLoad({ urls: [members.signer.url, members.accepter.url], writers: 8, pauseMs: 20 })
    await strike(1, stopMember('signer'), cluster, load)
    await strike(1, stopMember('accepter'), cluster, load)
    await strike(1, killEverything, cluster, load)
    await load.finish()
    await checkCluster(cluster, load, observer)
  })

  it('says what is in the way of a second one on the same folder, and on the same port', async () => {
    const port = new URL(cluster.members.signer.url).port
    expect(await cluster.home.run(['serve', '--data', 'data', '--port', port])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/error: .*guard\.sqlite is in use: another process signs for this log\. Others serve beside it with --accept-only/) as string,
    })
    expect(await cluster.home.run(['serve', '--data', 'data', '--port', port, '--accept-only'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(new RegExp(`error: the address 127\\.0\\.0\\.1:${port} is in use: .*--port chooses another`)) as string,
    })
  })

  it('refuses an empty data folder where a log was, whatever it is told, and serves that log again when the folder is back', async () => {
    using home = newHome()
    const first = home.start(['serve', '--data', 'data', '--port', '0'])
    await first.line
    first.child.kill('SIGTERM')
    const { code, stderr } = await first.ended
    expect(code, stderr).toBe(0)
    const origin = /"origin":"(stele\.local\/[a-z]{10})"/.exec(stderr)?.[1] ?? ''
    renameSync(join(home.folder, 'data'), join(home.folder, 'unmounted'))
    for (let n = 0; n < 2; n++) {
      const { code, stderr } = await home.run(['serve', '--data', 'data', '--port', '0'])
      expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(`is empty, but the log ${origin} was there. Bring the folder back`) as string })
    }
    rmSync(join(home.folder, 'data'), { recursive: true })
    renameSync(join(home.folder, 'unmounted'), join(home.folder, 'data'))
    const again = home.start(['serve', '--data', 'data', '--port', '0'])
    await again.line
    again.child.kill('SIGTERM')
    expect((await again.ended).stderr).toContain(`"origin":"${origin}"`)
  })
})

describe('what the machine refuses', () => {
  let home: Home
  beforeAll(() => {
    home = newHome()
    writeFileSync(join(home.folder, 'file'), '')
  })
  afterAll(() => home[Symbol.dispose]())

  const CASES: readonly { readonly what: string; readonly args: readonly string[]; readonly words: RegExp; readonly linux?: true }[] = [
    { what: 'a data folder that is a file', args: ['serve', '--data', 'file'], words: /The data folder .* cannot be used .*--data/ },
    { what: 'a data folder that nobody may make', args: ['serve', '--data', '/sys/stele'], words: /The data folder \/sys\/stele cannot be used .*run stele as its owner, choose another with --data/, linux: true },
    { what: 'a key in a folder that nobody may write', args: ['init', '--origin', 'a.example/log', '--data', 'data', '--key', '/sys/stele/log.key'], words: /\/sys\/stele may not be read or written by this user/, linux: true },
    { what: 'a database that does not answer', args: ['serve', '--database-url', 'postgres://a@127.0.0.1:1/b'], words: /nothing answers at 127\.0\.0\.1:1: check that the database is running, and --database-url/ },
    { what: 'a database on a machine that does not exist', args: ['serve', '--database-url', 'postgres://a@nowhere.invalid/b'], words: /no machine is known by the name nowhere\.invalid: check the name, in --database-url/ },
    { what: 'an address of another machine', args: ['serve', '--data', 'data', '--host', '192.0.2.1'], words: /the address 192\.0\.2\.1 is none of this machine's: --host names one that is/ },
  ]
  for (const { what, args, words, linux } of CASES) {
    it.skipIf(linux === true && process.platform !== 'linux')(`is said in words: ${what}`, async () => {
      const { code, stdout, stderr } = await home.run(args, { env: { STELE_PORT: '0', STELE_LOG_LEVEL: 'error' } })
      expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(words)
      expect(stderr).toMatch(/^error: .*\n$/)
    })
  }
})
