// The composition root of a witness: opens what it needs, in order, and closes it in the opposite one. docs/operations.md#running-a-witness

import { performance } from 'node:perf_hooks'
import type { VerifierKey } from '../core/tlog/note.ts'
import { listenWith } from '../net/listen.ts'
import { COMMON_HEADERS, createWitnessApp, TEXT_TYPE } from './app.ts'
import { WITNESS_LIMITS } from './limits.ts'
import { openWitnessFolder } from './open-folder.ts'
import type { LogLine } from './witness.ts'

/** What an operator chooses. */
export interface WitnessOptions {
  readonly host: string
  /** 0 means any. */
  readonly port: number
  /** Folder of the keys and of the state; made where it is missing. */
  readonly dataDir: string
  /** The name in its keys; null for that of keys that exist. */
  readonly name: string | null
  /** The keys of the logs that are witnessed. */
  readonly logKeys: readonly VerifierKey[]
  /** In lower case; null where the address of the connection counts. */
  readonly clientIpHeader?: string | null
  /** Cosignatures a second for one log, 0 for any number. */
  readonly logRate?: number
  /** Requests a second of one address, 0 for any number. */
  readonly addressRate?: number
  /** Milliseconds since 1970. Default: the machine's clock. */
  readonly now?: () => number
  readonly log: LogLine
}

/** A witness that serves. Disposing it answers what is under way and closes its files. */
export interface RunningWitness extends AsyncDisposable {
  /** `http://host:port`, without a slash at the end. */
  readonly url: string
  /** Its verifier keys: Ed25519, then ML-DSA-44. */
  readonly vkeys: readonly string[]
  /** Resolves where the witness cannot go on. */
  readonly failed: Promise<Error>
}

/** Starts a witness. Throws WitnessError in words for the operator, and what the system says where it cannot listen. */
export async function startWitness(options: WitnessOptions): Promise<RunningWitness> {
  const { host, port, dataDir, name, logKeys, clientIpHeader = null, logRate, addressRate, log } = options
  const elapsed = (): number => performance.now()
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(openWitnessFolder({ dataDir, name, now: options.now ?? Date.now, elapsed, log, ...(logRate === undefined ? {} : { logRate }) }))
  const { vkeys } = folder
  const { promise: failed, resolve: onFailure } = Promise.withResolvers<Error>()
  const witness = folder.witnessOf(logKeys)
  const app = createWitnessApp({ witness, vkeys, clientIpHeader, elapsed, log, onFailure, ...(addressRate === undefined ? {} : { addressRate }) })
  // Behind a proxy every connection has the proxy's address.
  const limits = { ...WITNESS_LIMITS, ...(clientIpHeader === null ? {} : { connectionsPerAddress: Infinity }) }
  const plainError = (message: string) => ({ body: `${message}\n`, headers: { ...COMMON_HEADERS, 'Content-Type': TEXT_TYPE } })
  const server = stack.use(await listenWith(app, { host, port, limits, plainError }))
  log('info', { url: server.url, vkeys, logs: [...new Set(logKeys.map((key) => key.name))] }, 'witness listening')
  const opened = stack.move()
  return { url: server.url, vkeys, failed, [Symbol.asyncDispose]: () => opened.disposeAsync() }
}
