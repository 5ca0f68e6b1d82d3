// A witness's keys: two of one name, in files of the data folder that only their owner can read. spec/witness.md#keys

import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { verdictOf } from '../core/errors.ts'
import { utf8Encode } from '../core/encoding/text.ts'
import { formatSigningKey, isKeyName, KEY_TYPES, makeSigningKey, parseSigningKey, type SigningKey } from '../core/tlog/note.ts'
import { writeSecretFile } from '../secret-file.ts'
import { WitnessError } from './witness-error.ts'

/** The file of each key in the data folder. */
export const KEY_FILES = [
  { file: 'ed25519.key', type: KEY_TYPES.cosignature },
  { file: 'ml-dsa-44.key', type: KEY_TYPES.mlDsa44 },
] as const

/** Longest name of a witness, in bytes of UTF-8. */
export const MAX_NAME_BYTES = 255

/** Whether any of the key files is in a folder. */
export function hasKeys(folder: string): boolean {
  return KEY_FILES.some(({ file }) => existsSync(join(folder, file)))
}

/** Reads both keys. Throws WitnessError, which never shows a key, where one is missing or none. */
export function readKeys(folder: string): SigningKey[] {
  return KEY_FILES.map(({ file, type }) => readKey(join(folder, file), type))
}

/** Reads both keys, and makes those that are missing. Only where nothing was ever signed. Throws WitnessError. */
export function makeKeys(folder: string, name: string): SigningKey[] {
  if (!isKeyName(name) || utf8Encode(name).length > MAX_NAME_BYTES) {
    throw new WitnessError(`${name} cannot be the name of a witness: 1 to ${MAX_NAME_BYTES} bytes, no spaces, no plus sign`)
  }
  return KEY_FILES.map(({ file, type }) => {
    const path = join(folder, file)
    if (!existsSync(path)) writeSecretFile(path, formatSigningKey(makeSigningKey(name, type, new Uint8Array(randomBytes(32)))))
    const key = readKey(path, type)
    if (key.name !== name) throw new WitnessError(`${path} is a key of ${key.name}, not of ${name}`)
    return key
  })
}

function readKey(path: string, type: number): SigningKey {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new WitnessError(`a key of this witness cannot be read: ${error instanceof Error ? error.message : String(error)}. Bring the file back; where it is lost for ever, retire this witness and begin another in an empty folder`)
  }
  const { value: key } = verdictOf(() => parseSigningKey(text))
  if (key === null || key.type !== type) throw new WitnessError(`${path} does not hold the key that belongs there (PRIVATE+KEY+..., of type ${type})`)
  return key
}
