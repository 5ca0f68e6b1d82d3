// Where a log's key and guard are, and how they are made: beside each other, never under the database's data.
// README.md#state

import { randomBytes, randomInt } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UsageError, type Config } from './config.ts'
import { DirectoryError } from './core/errors.ts'
import { formatSigningKey, KEY_TYPES, makeSigningKey, parseSigningKey, type SigningKey } from './core/tlog/note.ts'

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

/** Reads a log's signing key. Throws UsageError, which never shows the key, where there is none or it is another log's. */
export function readKey(file: string, origin: string): SigningKey {
  let text: string
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new UsageError(`the log's key cannot be read: ${error instanceof Error ? error.message : String(error)}. Bring the file back, or name it with --key FILE`)
  }
  let key: SigningKey
  try {
    key = parseSigningKey(text)
  } catch (error) {
    if (!(error instanceof DirectoryError)) throw error
    throw new UsageError(`${file} does not hold a signing key (PRIVATE+KEY+...)`)
  }
  if (key.name !== origin) throw new UsageError(`${file} is the key of ${key.name}, not of ${origin}`)
  if (key.type !== KEY_TYPES.ed25519) throw new UsageError(`${file} is not an Ed25519 key`)
  return key
}

/** The key in `file`, or a new Ed25519 key written to it, readable by its owner alone, where there is no such file. */
export function readOrMakeKey(file: string, origin: string): SigningKey {
  if (existsSync(file)) return readKey(file, origin)
  const key = makeSigningKey(origin, KEY_TYPES.ed25519, randomBytes(32))
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  writeFileSync(file, `${formatSigningKey(key)}\n`, { mode: 0o600, flag: 'wx', flush: true })
  return key
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

function readText(file: string): string | null {
  return existsSync(file) ? readFileSync(file, 'utf8') : null
}

function pick(letters: string): string {
  return letters[randomInt(letters.length)] ?? ''
}
