// The one process of a log that signs: its key, its guard, its publisher and the witnesses that it asks. What a directory and
// a notary open alike. spec/log.md#signing

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UsageError, type Config } from './config.ts'
import { DirectoryError } from './core/errors.ts'
import { formatVerifierKey, type SigningKey } from './core/tlog/note.ts'
import { parsePolicy, type Policy } from './core/tlog/policy.ts'
import { createLog } from './log/create-log.ts'
import type { Guard } from './log/guard.ts'
import { openLog } from './log/open-log.ts'
import type { LogLine, WriterObserver } from './log/ports.ts'
import { publishOnce, runPublisher } from './log/publisher.ts'
import { askWitness } from './log/witness-request.ts'
import { PolicyError } from './log/witness-policy.ts'
import { Witnesses } from './log/witnesses.ts'
import { noteDataFolder, randomGuardId, readOrMakeKeys, stateFiles, type StateFiles } from './state-files.ts'
import type { Head, SignedLog, Store } from './storage/store.ts'
import type { Tip } from './storage/tip.ts'
import { systemClock } from './system.ts'

/** A log that this process has opened. */
export interface OpenedLog {
  readonly tip: Tip
  readonly origin: string
  readonly vkeys: readonly string[]
  /** Work in the background: each rejects where the directory cannot go on. */
  readonly ended: readonly Promise<void>[]
  readonly witnesses: Witnesses | null
}

/** What may sign for a log. */
export interface Signer {
  readonly origin: string
  readonly keys: readonly SigningKey[]
  readonly guard: Guard
}

/** Makes this the one process that signs: it publishes from now to the end of `stack`, which also closes the guard. Throws as `openLog`. */
export async function signFor(stack: AsyncDisposableStack, store: Store, config: Config, { keys, guard, origin }: Signer, observer: WriterObserver, log: LogLine): Promise<OpenedLog> {
  stack.use(guard)
  const tip = await openLog(store, keys, guard)
  const vkeys = keys.map(formatVerifierKey)
  writeVkey(config, vkeys)
  noteDataFolder(config, origin)
  const witnesses = openWitnesses(store, config, guard, keys, log)
  stack.defer(() => witnesses?.stop())
  const publisher = { store, tip, guard, keys, intervalMs: config.checkpointIntervalMs, clock: systemClock, observer, log, witnesses }
  if (witnesses === null) await publishOnce(publisher)
  else await witnesses.ask(await store.publication())
  const stop = new AbortController()
  const published = runPublisher(publisher, stop.signal)
  stack.defer(async () => {
    stop.abort()
    await published.catch(() => undefined)
  })
  return { tip, origin, vkeys, ended: [published], witnesses }
}

/** The witnesses of the policy that the settings name; null for none. What they say against the log is kept beside the guard. Throws UsageError for a policy that cannot be used. */
export function openWitnesses(store: Pick<Store, 'tiles'>, config: Config, guard: Guard, keys: readonly SigningKey[], log: LogLine, adapt: (policy: Policy) => Policy = (policy) => policy): Witnesses | null {
  if (config.policyFile === null) return null
  const folder = join(dirname(stateFiles(config, guard.origin).guardFile), 'alarms')
  const keepAlarm = (name: string, text: string): string => {
    const file = join(folder, `${name}.alarm`)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(file, text, { flush: true })
    return file
  }
  try {
    const policy = adapt(parsePolicy(readFileSync(config.policyFile, 'utf8')))
    const { witnessRates: rates, witnessFailOpen: failOpen } = config
    return new Witnesses({ policy, keys, rates, failOpen, store, ask: askWitness, clock: systemClock, lastSigned: () => guard.last().size, keepAlarm, log })
  } catch (error) {
    if (!(error instanceof DirectoryError) && !(error instanceof PolicyError)) throw error
    throw new UsageError(`--policy ${config.policyFile}: ${error.message}`)
  }
}

/** Creates the log of an origin in an empty store, with the keys in its key file or new ones of these types. Throws as `createLog`. */
export async function newLog(store: SignedLog, origin: string, { keyFile, guardFile }: StateFiles, types: readonly number[]): Promise<Signer> {
  const keys = readOrMakeKeys(keyFile, origin, types)
  const guard = await createLog(store, { origin, keys, guardPath: guardFile, guardId: randomGuardId() }, systemClock)
  return { origin, keys, guard }
}

/** Throws UsageError where the settings name another log than the database holds. */
export function checkOrigin({ origin }: Config, head: Head): void {
  if (origin !== null && origin !== head.origin) throw new UsageError(`--origin is ${origin}, but the database holds the log ${head.origin}`)
}

/** Writes the log's verifier keys into the data folder. */
export function writeVkey(config: Config, vkeys: readonly string[]): void {
  mkdirSync(config.dataDir, { recursive: true })
  writeFileSync(join(config.dataDir, 'log.vkey'), vkeys.map((vkey) => `${vkey}\n`).join(''))
}
