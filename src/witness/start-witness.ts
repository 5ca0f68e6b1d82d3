// The composition root of a witness: opens what it needs, in order, and closes it in the opposite one. docs/operations.md#running-a-witness

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { formatVerifierKey, type SigningKey, type VerifierKey } from '../core/tlog/note.ts'
import { listenWith } from '../net/listen.ts'
import { COMMON_HEADERS, createWitnessApp, TEXT_TYPE } from './app.ts'
import { createCosigner } from './cosigner.ts'
import { showSuspects } from './evidence-files.ts'
import { hasKeys, KEY_FILES, makeKeys, readKeys } from './keys.ts'
import { WITNESS_LIMITS } from './limits.ts'
import { openState, type StateFile } from './state.ts'
import { WitnessError } from './witness-error.ts'
import { createWitness, type LogLine } from './witness.ts'

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

/** Where the state is in the data folder. */
export const STATE_FILE = 'witness.sqlite'

/** Where the verifier keys are written in the data folder, one a line. */
export const VKEYS_FILE = 'witness.vkeys'

/** Starts a witness. Throws WitnessError in words for the operator, and what the system says where it cannot listen. */
export async function startWitness(options: WitnessOptions): Promise<RunningWitness> {
  const { host, port, dataDir, name, logKeys, clientIpHeader = null, logRate, addressRate, log } = options
  const elapsed = (): number => performance.now()
  await using stack = new AsyncDisposableStack()
  const { state, keys } = openFolder(dataDir, name)
  stack.use(state)
  const vkeys = keys.map(formatVerifierKey)
  writeFileSync(join(dataDir, VKEYS_FILE), `${vkeys.join('\n')}\n`)

  const keysOf = Map.groupBy(logKeys, (key) => key.name)
  const show = (origin: string, keys: readonly VerifierKey[]): string => {
    try {
      return `both checkpoints are in ${showSuspects(dataDir, origin, state.suspects(origin), keys).at(-1) ?? dataDir}`
    } catch (error) {
      return `both checkpoints are in the state, and their file cannot be written until the next start (${error instanceof Error ? error.message : String(error)})`
    }
  }
  // What an earlier run kept and could not write.
  for (const [origin, keys] of keysOf) show(origin, keys)

  const { promise: failed, resolve: onFailure } = Promise.withResolvers<Error>()
  const witness = createWitness({
    state, cosigners: keys.map(createCosigner), logKeys, show, now: options.now ?? Date.now, elapsed, log,
    ...(logRate === undefined ? {} : { logRate }),
  })
  const app = createWitnessApp({ witness, vkeys, clientIpHeader, elapsed, log, onFailure, ...(addressRate === undefined ? {} : { addressRate }) })
  // Behind a proxy every connection has the proxy's address.
  const limits = { ...WITNESS_LIMITS, ...(clientIpHeader === null ? {} : { connectionsPerAddress: Infinity }) }
  const plainError = (message: string) => ({ body: `${message}\n`, headers: { ...COMMON_HEADERS, 'Content-Type': TEXT_TYPE } })
  const server = stack.use(await listenWith(app, { host, port, limits, plainError }))
  log('info', { url: server.url, vkeys, logs: [...keysOf.keys()] }, 'witness listening')
  const opened = stack.move()
  return { url: server.url, vkeys, failed, [Symbol.asyncDispose]: () => opened.disposeAsync() }
}

/**
 * The keys and the state of a witness, which belong together: one without the other could sign what contradicts what
 * it signed before. Both are made where the folder holds neither.
 */
function openFolder(folder: string, name: string | null): { state: StateFile; keys: readonly SigningKey[] } {
  const path = join(folder, STATE_FILE)
  if (!existsSync(path) && hasKeys(folder)) {
    throw new WitnessError(
      `${folder} holds keys of a witness but not its state, ${STATE_FILE}: without it the keys could sign what contradicts what they signed before. ` +
        'Bring back the newest state, never a copy that is older than the last cosignature; where it is lost for ever, retire this witness and begin another, with another name, in an empty folder',
    )
  }
  if (!existsSync(path) && name === null) throw new WitnessError(`${folder} holds no witness yet: --name NAME begins one`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const state = openState(path, !hasKeys(folder))
  try {
    const keys = state.vkeys === null ? begin(folder, state, name) : readMatching(folder, state.vkeys)
    const [key] = keys
    if (name !== null && key?.name !== name) throw new WitnessError(`${folder} is the data of the witness ${key?.name}, not of ${name}`)
    return { state, keys }
  } catch (error) {
    state[Symbol.dispose]()
    throw error
  }
}

// The state says that nothing was signed yet until both keys are on disk and named in it. Keys that are there were
// made by a beginning that was cut short.
function begin(folder: string, state: StateFile, name: string | null): readonly SigningKey[] {
  if (name === null) throw new WitnessError(`${folder} holds a witness that was not finished: --name NAME finishes it`)
  const keys = makeKeys(folder, name)
  state.setKeys(keys.map(formatVerifierKey))
  return keys
}

function readMatching(folder: string, vkeys: readonly string[]): readonly SigningKey[] {
  if (!hasKeys(folder)) {
    throw new WitnessError(
      `${folder} holds the state of a witness but not its keys, ${KEY_FILES.map(({ file }) => file).join(' and ')}. ` +
        'Bring them back; where they are lost for ever, begin another witness, with another name, in an empty folder',
    )
  }
  const keys = readKeys(folder)
  if (keys.map(formatVerifierKey).join() !== vkeys.join()) {
    throw new WitnessError(`the keys in ${folder} are not those of its state. Bring back the files that belong together; the state's keys are ${vkeys.join(' and ')}`)
  }
  return keys
}
