// Where a log's key and guard are, and how they are made: beside each other, never under the database's data.
// README.md#state

import { randomBytes, randomInt } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UsageError, type Config } from './config.ts'
import { verdictOf } from './core/errors.ts'
import { mapOrigin } from './core/map/map-leaf.ts'
import { isLogKeyType } from './core/tlog/checkpoint.ts'
import { inSigningOrder } from './core/tlog/key-statement.ts'
import { formatSigningKey, formatVerifierKey, KEY_TYPES, makeSigningKey, parseSigningKey, type SigningKey } from './core/tlog/note.ts'
import { replaceSecretFile, writeSecretFile } from './secret-file.ts'

/** A log's files. */
export interface StateFiles {
  readonly keyFile: string
  readonly guardFile: string
}

/** The files of a log: as configured, else in a folder of the state folder that is named after the origin. */
export function stateFiles(config: Pick<Config, 'keyFile' | 'guardFile' | 'stateDir'>, origin: string): StateFiles {
  const folder = join(config.stateDir, encodeURIComponent(origin))
  return { keyFile: config.keyFile ?? join(folder, 'log.key'), guardFile: config.guardFile ?? join(folder, 'guard.sqlite') }
}

/** The files of the log of a log's map: in the folder of its own origin, else beside those of the log, with `.map` at the end. */
export function mapFiles(config: Pick<Config, 'keyFile' | 'guardFile' | 'stateDir'>, origin: string): StateFiles {
  const own = stateFiles({ ...config, keyFile: null, guardFile: null }, mapOrigin(origin))
  const beside = (file: string | null): string | null => (file === null ? null : `${file}.map`)
  return { keyFile: beside(config.keyFile) ?? own.keyFile, guardFile: beside(config.guardFile) ?? own.guardFile }
}

/** In a log's state folder: the data folder that its embedded database is in. */
const DATA_FOLDER_FILE = 'data-folder'

/** Notes in a log's state folder where its embedded database is, for `logOfDataFolder`. Nothing where key or guard are kept elsewhere. */
export function noteDataFolder(config: Config, origin: string): void {
  if (config.databaseUrl !== null || config.keyFile !== null || config.guardFile !== null) return
  const file = join(dirname(stateFiles(config, origin).keyFile), DATA_FOLDER_FILE)
  if (readText(file) !== config.dataDir) writeFileSync(file, config.dataDir, { mode: 0o600 })
}

/** The origin of a log that was in this data folder, as far as the state folder knows; null for none. */
export function logOfDataFolder({ stateDir, dataDir }: Pick<Config, 'stateDir' | 'dataDir'>): string | null {
  const folders = existsSync(stateDir) ? readdirSync(stateDir) : []
  const folder = folders.find((name) => readText(join(stateDir, name, DATA_FOLDER_FILE)) === dataDir)
  return folder === undefined ? null : decodeURIComponent(folder)
}

/**
 * Reads a log's signing keys, one a line, in the order in which they sign. Throws UsageError, which never shows a key, where there is none, one
 * is another log's, one stands twice, or none is an Ed25519 key.
 */
export function readKeys(file: string, origin: string): readonly SigningKey[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`the log's key cannot be read: ${error instanceof Error ? error.message : String(error)}. Bring the file back, or name it with --key FILE`)
  }
  const lines = text.split('\n').map((line) => line.trim()).filter((line) => line !== '')
  const keys = lines.map((line) => verdictOf(() => parseSigningKey(line)).value ?? fail(`${file} does not hold a signing key (PRIVATE+KEY+...) on each line`))
  for (const key of keys) {
    if (key.name !== origin) throw new UsageError(`${file} is the key of ${key.name}, not of ${origin}`)
    if (!isLogKeyType(key.type)) throw new UsageError(`${file} holds a key that does not sign for a log: it is neither Ed25519 nor ML-DSA-44`)
  }
  if (new Set(keys.map(formatVerifierKey)).size !== keys.length) throw new UsageError(`${file} holds a key twice`)
  if (!keys.some((key) => key.type === KEY_TYPES.ed25519)) throw new UsageError(`${file} holds no Ed25519 key (PRIVATE+KEY+...)`)
  return inSigningOrder(keys)
}

/** Replaces the keys in a file, at once and durably. A file that holds them is left alone, so that it may be read-only. */
export function writeKeys(file: string, keys: readonly SigningKey[]): void {
  const text = keys.map(formatSigningKey).join('\n')
  if (readText(file)?.trim() !== text) replaceSecretFile(file, text)
}

/** The keys in `file`, or new ones of these types written to it, readable by its owner alone, where there is no such file. */
export function readOrMakeKeys(file: string, origin: string, types: readonly number[]): readonly SigningKey[] {
  if (existsSync(file)) return readKeys(file, origin)
  const keys = types.map((type) => makeSigningKey(origin, type, Uint8Array.from(randomBytes(32))))
  writeSecretFile(file, keys.map(formatSigningKey).join('\n'))
  return keys
}

/** A name for a guard that no other has: 32 hexadecimal digits. */
export function randomGuardId(): string {
  return randomBytes(16).toString('hex')
}

/** An origin for a log that nobody named: it ends in a random word of ten letters, one of 80^5, so that no two are alike. */
export function randomOrigin(): string {
  const syllable = (): string => `${pick('bdfghklmnprstvwz')}${pick('aeiou')}`
  return `stele.local/${Array.from({ length: 5 }, syllable).join('')}`
}

function fail(words: string): never {
  throw new UsageError(words)
}

function readText(file: string): string | null {
  return existsSync(file) ? readFileSync(file, 'utf8') : null
}

function pick(letters: string): string {
  return letters[randomInt(letters.length)] ?? ''
}
