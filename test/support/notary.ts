// A notary in this process: over a store in memory, with folders of its own and a clock that a test can put forward.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startNotary, type NotaryConfig, type RunningNotary } from '../../mirror/start-notary.ts'
import { readConfig } from '../../src/config.ts'
import { parseVerifierKey } from '../../src/core/tlog/note.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'
import { signerFinder } from '../../src/native/find-signer.ts'
import { chooseBackEnds } from '../../src/native/self-test.ts'
import { systemClock } from '../../src/system.ts'
import { checkLog } from './check-log.ts'
import { until } from './mirror.ts'

const findSigner = signerFinder(chooseBackEnds())

/** The notary's log. */
export const NOTARY_ORIGIN = 'notary.test/log'

/** What health says. */
export interface NotaryHealth {
  readonly status: number
  readonly cursor: number | string
  readonly verifiedSize: number
  readonly lagSeconds: number
  readonly divergent: number
  readonly refused: number
  readonly alarm: string | null
  readonly faults?: readonly string[]
}

/** A notary of one plain directory. */
export interface TestNotary extends AsyncDisposable {
  readonly url: string
  readonly store: Store
  readonly folder: string
  /** Log lines: level, words. */
  readonly lines: [string, string][]
  /** How far its clocks are ahead, milliseconds. */
  readonly clock: { ahead: number }
  health(): Promise<NotaryHealth>
  get(path: string): Promise<{ readonly status: number; readonly text: string }>
  /** The JSON lines of an answer. */
  list(path: string): Promise<Record<string, unknown>[]>
  /** Resolves when it holds so many entries, all of them published. */
  reaches(size: number): Promise<void>
  /** Verifies the whole log as a stranger would. */
  check(): Promise<void>
  /** Ends it, and keeps its store and its folder for another. */
  stop(): Promise<void>
}

/** Starts one. `from` are the remains of one that was stopped. */
export async function openNotary(upstream: { readonly url: string }, given: Partial<NotaryConfig> = {}, from: Pick<TestNotary, 'store' | 'folder'> | null = null): Promise<TestNotary> {
  const store = from?.store ?? memoryStore()
  const folder = from?.folder ?? mkdtempSync(join(tmpdir(), 'stele-notary-'))
  const clock = { ahead: 0 }
  const lines: TestNotary['lines'] = []
  const config: NotaryConfig = {
    ...readConfig({ port: '0', data: join(folder, 'data'), origin: NOTARY_ORIGIN, 'read-rate': '0', 'write-rate': '0', 'checkpoint-interval': '10ms', 'log-level': 'silent' }, {}),
    stateDir: join(folder, 'state'), upstream: upstream.url, source: 'plc.test', passOn: false, requestsPerMinute: 0, acknowledged: 0, ...given,
  }
  const running: RunningNotary = await startNotary(config, {
    store,
    log: (level, _fields, words) => void lines.push([level, words]),
    clock: { now: () => systemClock.now() + clock.ahead, timeOfDay: () => systemClock.timeOfDay() + clock.ahead, sleep: (ms, signal) => systemClock.sleep(ms, signal) },
    random: seeded(1),
  })
  const get: TestNotary['get'] = async (path) => {
    const response = await fetch(running.url + path)
    return { status: response.status, text: await response.text() }
  }
  return {
    url: running.url, store, folder, lines, clock, get,
    async health() {
      const response = await fetch(`${running.url}/_health`)
      return { ...((await response.json()) as NotaryHealth), status: response.status }
    },
    async list(path) {
      const { text } = await get(path)
      return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    },
    reaches: (size) => until(async () => (await store.head())?.size === size && (await store.publication())?.size === size, () => `the notary holds ${size} entries; ${JSON.stringify(lines.slice(-5))}`),
    check: () => checkLog(store, running.vkey.split('\n').map(parseVerifierKey), findSigner),
    async stop() {
      await running[Symbol.asyncDispose]()
    },
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return state / 4_294_967_296
  }
}
