// Go, where there is one: the programs in `go/` and others of its modules, run as they are.

import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Ended } from '../support/program.ts'

/** The module of the programs. */
export const GO_FOLDER = join(import.meta.dirname, 'go')
const UNREACHABLE = /: reading https?:\/\/|dial tcp|no such host|i\/o timeout|module lookup disabled/

/**
 * Whether Go is here, new enough, and the modules can be had that `go list` with these arguments needs. Says loudly
 * where not. Throws for whatever else `go list` has to say.
 */
export function hasGo(title: string, ...listed: readonly string[]): boolean {
  const { stdout } = spawnSync('go', ['version'], { encoding: 'utf8' })
  const [, major, minor] = /go(\d+)\.(\d+)/.exec(stdout ?? '') ?? []
  if (!(Number(major) > 1 || (Number(major) === 1 && Number(minor) >= 25))) return skip(title, 'there is no Go 1.25 or newer')
  const { status, stderr } = spawnSync('go', ['list', ...listed], { cwd: GO_FOLDER, encoding: 'utf8' })
  if (status === 0) return true
  if (UNREACHABLE.test(stderr)) return skip(title, `its modules cannot be fetched: ${stderr.trim()}`)
  throw new Error(stderr)
}

/** Whether Go is here, and what the program `name` in `go/` needs. */
export function hasGoFor(name: string, title: string): boolean {
  return hasGo(title, '-deps', '-f', '{{.ImportPath}}', `./${name}`)
}

/** Builds and runs a program: one of `go/` by its path, `./name`, or another by its module's path and version. */
export function runGo(program: string, ...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn('go', ['run', program, ...args], { cwd: GO_FOLDER, stdio: ['ignore', 'pipe', 'pipe'], timeout: 300_000 })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

function skip(title: string, why: string): false {
  process.stderr.write(`\nSKIPPED: ${title}, because ${why}\n`)
  return false
}
