// A mirror in this process: over a store in memory, with a folder of its own and a clock that a test can put forward.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startMirror, type MirrorConfig, type RunningMirror } from '../../mirror/start-mirror.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'
import { systemClock } from '../../src/system.ts'
import { LOG_KEY } from './stored-log.ts'

/** What health says. */
export interface Health {
  readonly status: number
  readonly verifiedSize: number
  readonly lagEntries: number
  readonly rejected: number
  readonly provisional: number
  readonly alarm: string | null
  readonly faults?: readonly string[]
  readonly upstream: string | null
  readonly upstreams: readonly { readonly url: string; readonly standing: string; readonly words: string | null }[]
}

/** A mirror of the logs of `stored-log.ts`. */
export interface TestMirror extends AsyncDisposable {
  readonly url: string
  readonly store: Store
  readonly folder: string
  /** Log lines: level, words. */
  readonly lines: [string, string][]
  /** The fields of the log lines. */
  readonly fields: Record<string, unknown>[]
  /** How far its clocks are ahead, milliseconds. */
  readonly clock: { ahead: number }
  health(): Promise<Health>
  get(path: string): Promise<{ readonly status: number; readonly text: string }>
  /** Resolves when it has verified and published so many entries. */
  reaches(size: number): Promise<void>
  /** Files of a kind that it keeps. */
  kept(kind: 'evidence' | 'alarms'): { readonly file: string; readonly bytes: Uint8Array }[]
  /** Ends it, and keeps its store and its folder for another. */
  stop(): Promise<void>
}

/** Starts one. `from` are the remains of one that was stopped. */
export async function openMirror(upstreams: readonly { readonly url: string }[], given: Partial<MirrorConfig> = {}, from: Pick<TestMirror, 'store' | 'folder'> | null = null): Promise<TestMirror> {
  const store = from?.store ?? memoryStore()
  const folder = from?.folder ?? mkdtempSync(join(tmpdir(), 'stele-mirror-'))
  const clock = { ahead: 0 }
  const lines: TestMirror['lines'] = []
  const fields: TestMirror['fields'] = []
  const config: MirrorConfig = {
    upstreams: upstreams.map(({ url }) => url), vkeys: [LOG_KEY], forwardWrites: false, port: 0, host: '127.0.0.1', dataDir: folder, databaseUrl: null,
    clientIpHeader: null, readRate: 0, writeRate: 0, maxCursorAgeMs: null, logLevel: 'silent', ...given,
  }
  const running: RunningMirror = await startMirror(config, {
    store,
    log(level, said, words) {
      lines.push([level, words])
      fields.push(said)
    },
    clock: { now: () => systemClock.now() + clock.ahead, timeOfDay: () => systemClock.timeOfDay() + clock.ahead, sleep: (ms, signal) => systemClock.sleep(ms, signal) },
    say: (words) => void lines.push(['say', words]),
  })
  const mirror: TestMirror = {
    url: running.url, store, folder, lines, fields, clock,
    async health() {
      const response = await fetch(`${running.url}/_health`)
      return { ...((await response.json()) as Health), status: response.status }
    },
    async get(path) {
      const response = await fetch(running.url + path)
      return { status: response.status, text: await response.text() }
    },
    reaches: (size) => until(async () => (await store.publication())?.size === size && (await store.head())?.size === size, () => `the mirror holds ${size} entries; ${JSON.stringify(lines.slice(-5))}`),
    kept(kind) {
      const kept = join(folder, kind)
      const names = existsSync(kept) ? readdirSync(kept).sort() : []
      return names.map((name) => ({ file: join(kept, name), bytes: Uint8Array.from(readFileSync(join(kept, name))) }))
    },
    async stop() {
      await running[Symbol.asyncDispose]()
    },
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return mirror
}

/** Waits for a state, 30 seconds at most. */
export async function until(state: () => boolean | Promise<boolean>, words: () => string): Promise<void> {
  for (const end = performance.now() + 30_000; !(await state()); await pause(25)) {
    if (performance.now() > end) throw new Error(`not within 30 seconds: ${words()}`)
  }
}
