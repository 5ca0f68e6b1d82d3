// A witness's folder: its keys and its memory, which belong together, and the witness over them. spec/witness.md#state

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatVerifierKey, type SigningKey, type VerifierKey } from '../core/tlog/note.ts'
import { createCosigner } from './cosigner.ts'
import { showSuspects } from './evidence-files.ts'
import { hasKeys, KEY_FILES, makeKeys, readKeys } from './keys.ts'
import { openState, type StateFile } from './state.ts'
import { WitnessError } from './witness-error.ts'
import { createWitness, type Witness, type WitnessPorts } from './witness.ts'

/** Which folder, and what its witness works with. */
export interface FolderOptions extends Pick<WitnessPorts, 'logRate' | 'now' | 'elapsed' | 'log'> {
  /** Folder of the keys and of the state; made where it is missing. */
  readonly dataDir: string
  /** The name in its keys; null for that of keys that exist. */
  readonly name: string | null
}

/** A folder that is open: no other process can open it. */
export interface WitnessFolder extends Disposable {
  readonly state: StateFile
  /** Its verifier keys: Ed25519, then ML-DSA-44. */
  readonly vkeys: readonly string[]
  /** The witness of the logs of these keys. */
  witnessOf(logKeys: readonly VerifierKey[]): Witness
}

/** Where the state is in the data folder. */
export const STATE_FILE = 'witness.sqlite'

/** Where the verifier keys are written in the data folder, one a line. */
export const VKEYS_FILE = 'witness.vkeys'

/** Opens a witness's folder, and begins a witness where it is empty. Throws WitnessError in words for the operator. */
export function openWitnessFolder({ dataDir, name, ...ports }: FolderOptions): WitnessFolder {
  const { state, keys } = openFolder(dataDir, name)
  const vkeys = keys.map(formatVerifierKey)
  writeFileSync(join(dataDir, VKEYS_FILE), `${vkeys.join('\n')}\n`)
  const show = (origin: string, keys: readonly VerifierKey[]): string => {
    try {
      return `both checkpoints are in ${showSuspects(dataDir, origin, state.suspects(origin), keys).at(-1) ?? dataDir}`
    } catch (error) {
      return `both checkpoints are in the state, and their file cannot be written until the next start (${error instanceof Error ? error.message : String(error)})`
    }
  }
  return {
    state,
    vkeys,
    witnessOf(logKeys) {
      // What an earlier run kept and could not write.
      for (const [origin, keys] of Map.groupBy(logKeys, (key) => key.name)) show(origin, keys)
      return createWitness({ ...ports, state, cosigners: keys.map(createCosigner), logKeys, show })
    },
    [Symbol.dispose]: () => state[Symbol.dispose](),
  }
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
  if (name === null) throw new WitnessError(`${folder} holds a witness that was not finished: --name NAME finishes it (of a mirror, --cosign NAME)`)
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
