// The program as its users start it: a process of its own, with folders of its own.

import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..')
const PROGRAM = join(ROOT, 'bin', 'stele.js')
/** Shared by all, so that not every process compiles everything. */
const CACHE = join(ROOT, 'node_modules', '.cache')

/** How a program ended. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A folder in which programs run, without the settings of the machine. */
export interface Home extends Disposable {
  readonly folder: string
  /** Runs the program to its end. */
  run(args: readonly string[], options?: { readonly env?: Record<string, string>; readonly input?: string }): Promise<Ended>
  /** Starts the program; `line` resolves with the first line of stdout, or rejects with stderr where it ends before. */
  start(args: readonly string[], env?: Record<string, string>): Started
}

/** A program that runs. */
export interface Started {
  readonly child: ChildProcess
  readonly line: Promise<string>
  readonly ended: Promise<Ended>
}

/**
 * A new home, of the program in this tree or of one that is installed, in a folder of its own or in one that is kept; disposing it ends what still runs,
 * and deletes its own folder.
 */
export function newHome(program = PROGRAM, kept: string | null = null): Home {
  const folder = kept ?? mkdtempSync(join(tmpdir(), 'stele-home-'))
  const running = new Set<ChildProcess>()

  function start(args: readonly string[], env: Record<string, string> = {}): Started {
    const child = spawn(process.execPath, [program, ...args], { cwd: folder, env: { PATH: process.env['PATH'] ?? '', HOME: folder, XDG_STATE_HOME: join(folder, 'state'), XDG_CACHE_HOME: CACHE, ...env } })
    running.add(child)
    let [stdout, stderr] = ['', '']
    const ended = new Promise<Ended>((resolve) => {
      child.on('close', (code) => {
        running.delete(child)
        resolve({ code, stdout, stderr })
      })
    })
    const line = new Promise<string>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString()
        if (stdout.includes('\n')) resolve(stdout.slice(0, stdout.indexOf('\n')))
      })
      void ended.then(({ code }) => reject(new Error(`it ended with ${code}: ${stderr}`)))
    })
    line.catch(() => undefined)
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    return { child, line, ended }
  }

  return {
    folder,
    start,
    run(args, { env = {}, input = '' } = {}) {
      const { child, ended } = start(args, env)
      child.stdin?.on('error', () => undefined)
      child.stdin?.end(input)
      return ended
    },
    [Symbol.dispose]() {
      for (const child of running) child.kill('SIGKILL')
      if (kept === null) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
