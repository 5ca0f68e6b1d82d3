// The PDS that people run, unmodified, with a directory of ours as its PLC: it makes an account, and the account
// changes its handle. It is large and compiles a native module when it is installed, so it is no dependency here:
// STELE_PDS names a folder in which `npm install @atproto/pds` was run. CONTRIBUTING.md#a-pds-to-test-against

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDirectory, type Directory } from './directory.ts'

const PDS = process.env['STELE_PDS']
if (PDS === undefined) process.stderr.write('\nSKIPPED, because STELE_PDS names no folder with @atproto/pds: a PDS with this directory as its PLC\n')

describe.skipIf(PDS === undefined)('@atproto/pds', () => {
  const stack = new AsyncDisposableStack()
  let directory: Directory
  let pds: Pds

  beforeAll(async () => {
    directory = stack.use(await openDirectory())
    pds = stack.use(await startPds(PDS ?? '', directory))
  })

  afterAll(() => stack.disposeAsync())

  it('makes an account, whose handle is changed, and both say the same', async () => {
    const { did, accessJwt } = await pds.call<{ did: string; accessJwt: string }>('com.atproto.server.createAccount', { handle: 'alice.test', email: 'alice@test.test', password: 'a password' })
    expect(await documentOf(did)).toMatchObject({ id: did, alsoKnownAs: ['at://alice.test'], service: [{ id: '#atproto_pds', serviceEndpoint: pds.publicUrl }] })

    await pds.call('com.atproto.identity.updateHandle', { handle: 'ali.test' }, accessJwt)
    expect(await documentOf(did)).toMatchObject({ alsoKnownAs: ['at://ali.test'] })
    expect(await pds.call('com.atproto.server.getSession', null, accessJwt)).toMatchObject({ did, handle: 'ali.test', active: true })
    expect(await (await fetch(`${pds.url}/xrpc/com.atproto.identity.resolveHandle?handle=ali.test`)).json()).toEqual({ did })
    expect(await (await fetch(`${directory.url}/${did}/log/audit`)).json()).toHaveLength(2)
  })

  it('makes no account where the directory refuses its operation', async () => {
    const known = await exported()
    const refused = pds.call('com.atproto.server.createAccount', { handle: 'mallory.test', email: 'mallory@test.test', password: 'a password', recoveryKey: 'did:key:zrubbish' })
    await expect(refused).rejects.toThrow('Invalid rotationKey: did:key:zrubbish')
    expect((await fetch(`${pds.url}/xrpc/com.atproto.identity.resolveHandle?handle=mallory.test`)).ok).toBe(false)
    expect(await exported()).toBe(known)
  })

  async function exported(): Promise<string> {
    return (await fetch(`${directory.url}/export`)).text()
  }

  async function documentOf(did: string): Promise<unknown> {
    return (await fetch(`${directory.url}/${did}`)).json()
  }
})

interface Pds extends AsyncDisposable {
  readonly url: string
  /** What it writes into documents. */
  readonly publicUrl: string
  /** Calls a procedure, or with null as its input a query. Throws where it is refused. */
  call<Output>(name: string, input: unknown, token?: string): Promise<Output>
}

// The program of a PDS is a few lines around the package, as in its own distribution.
const PROGRAM = `
import { PDS, envToCfg, envToSecrets, readEnv } from '@atproto/pds'
const env = readEnv()
const pds = await PDS.create(envToCfg(env), envToSecrets(env))
const server = await pds.start()
console.log('port ' + server.address().port)
process.on('SIGTERM', () => pds.destroy())
`

async function startPds(folder: string, { url, home }: Directory): Promise<Pds> {
  mkdirSync(join(home.folder, 'pds'))
  const env = {
    PATH: process.env['PATH'] ?? '',
    PDS_HOSTNAME: 'localhost',
    PDS_PORT: '0',
    PDS_DEV_MODE: 'true',
    PDS_DID_PLC_URL: url,
    PDS_DATA_DIRECTORY: join(home.folder, 'pds'),
    PDS_BLOBSTORE_DISK_LOCATION: join(home.folder, 'pds', 'blobs'),
    PDS_SERVICE_HANDLE_DOMAINS: '.test',
    PDS_INVITE_REQUIRED: 'false',
    PDS_JWT_SECRET: '11'.repeat(16),
    PDS_ADMIN_PASSWORD: '22'.repeat(16),
    PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: '33'.repeat(32),
    LOG_ENABLED: 'false',
  }
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const port = await new Promise<string>((resolve, reject) => {
    let stdout = ''
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
      const [, said] = /^port (\d+)$/m.exec(stdout) ?? []
      if (said !== undefined) resolve(said)
    })
    child.on('close', () => reject(new Error(`the PDS ended: ${stderr}`)))
  })
  const base = `http://127.0.0.1:${port}`
  return {
    url: base,
    publicUrl: 'http://localhost:0',
    async call(name, input, token) {
      const headers = { 'Content-Type': 'application/json', ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }) }
      const response = await fetch(`${base}/xrpc/${name}`, input === null ? { headers } : { method: 'POST', headers, body: JSON.stringify(input) })
      const text = await response.text()
      if (!response.ok) throw new Error(`${name}: ${response.status} ${text}`)
      return (text === '' ? null : JSON.parse(text)) as never
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return
      const ended = once(child, 'close')
      child.kill('SIGTERM')
      setTimeout(() => child.kill('SIGKILL'), 5_000).unref()
      await ended
    },
  }
}
