// The packages as npm would publish them, and npm itself.

import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Ended } from './program.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const STARTED_BY_NPM = /^npm_(package|lifecycle|command|execpath|node_execpath|config_(local_|global_)?prefix|config_global)/i

/** Two packages, and the folder that goes when this does. */
export interface Packed extends Disposable {
  readonly folder: string
  /** Archives. */
  readonly server: string
  readonly client: string
}

/** Builds and packs both packages, from what is in the tree now. Throws where that fails. */
export async function packBoth(): Promise<Packed> {
  const folder = mkdtempSync(join(tmpdir(), 'stele-packed-'))
  const [server, client] = [join(folder, 'server'), join(folder, 'client')]
  const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] }
  mkdirSync(server)
  await node(ROOT, 'scripts/build.js', join(server, 'dist'))
  for (const name of [...files.filter((name) => name !== 'dist' && !name.includes('*')), 'LICENSE', 'package.json']) cpSync(join(ROOT, name), join(server, name), { recursive: true })
  await node(ROOT, 'scripts/client-package.js', client, '--dist', join(server, 'dist'))
  const pack = async (from: string): Promise<string> => {
    const { stdout } = await succeeded(npm(folder, 'pack', from, '--json'))
    // A list of packages, or since npm 12 an object of them.
    const [packed] = Object.values(JSON.parse(stdout) as Record<string, { filename: string }>)
    return join(folder, packed?.filename ?? '')
  }
  return {
    folder,
    server: await pack(server),
    client: await pack(client),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }),
  }
}

/** Unpacks an archive of npm's into a folder that is there. */
export async function unpack(archive: string, folder: string): Promise<void> {
  await succeeded(execute('tar', ['xzf', archive, '--strip-components=1'], folder))
}

/** Runs npm in a folder, as somebody would who has not started it from npm. */
export function npm(cwd: string, ...args: readonly string[]): Promise<Ended> {
  return execute('npm', args, cwd)
}

/** Runs Node with these arguments in a folder. Throws where it fails. */
export function node(cwd: string, ...args: readonly string[]): Promise<Ended> {
  return succeeded(execute(process.execPath, args, cwd))
}

/** What a program said that has to end with 0. Throws where it ended otherwise. */
export async function succeeded(work: Promise<Ended>): Promise<Ended> {
  const ended = await work
  if (ended.code !== 0) throw new Error(`it ended with ${ended.code}: ${ended.stdout}${ended.stderr}`)
  return ended
}

function execute(command: string, args: readonly string[], cwd: string): Promise<Ended> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !STARTED_BY_NPM.test(name)))
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 240_000 })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}
