// What an operator can set, by flag or environment; the only reader of process.env. README.md#settings

import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import ms, { type StringValue } from 'ms'

/** One setting: its flag without dashes is the key of `SETTINGS`. */
export interface Setting {
  /** What the flag takes, for the help text; null for a switch, which takes nothing and is off without it. */
  readonly value: string | null
  readonly help: string
  /** Environment variables that set it, the first one that is present counts. */
  readonly env: readonly string[]
  readonly fallback: string | null
}

/** Every setting of the directory, named as its flag is. */
export const SETTINGS = {
  port: { value: 'number', help: 'TCP port, 0 for any', env: ['STELE_PORT', 'PORT'], fallback: '2582' },
  host: { value: 'address', help: 'address to listen on', env: ['STELE_HOST'], fallback: '127.0.0.1' },
  data: { value: 'folder', help: 'folder of the embedded database and of log.vkey', env: ['STELE_DATA'], fallback: './data' },
  'database-url': { value: 'url', help: 'a PostgreSQL server instead of the embedded one', env: ['STELE_DATABASE_URL', 'DATABASE_URL'], fallback: null },
  origin: { value: 'name', help: 'name of the log, for ever; checked against the log that exists', env: ['STELE_ORIGIN'], fallback: null },
  key: { value: 'file', help: 'signing key of the log (default: in the state folder)', env: ['STELE_KEY'], fallback: null },
  guard: { value: 'file', help: 'file that remembers what was signed (default: in the state folder)', env: ['STELE_GUARD'], fallback: null },
  'checkpoint-interval': { value: 'duration', help: 'shortest time between two checkpoints', env: ['STELE_CHECKPOINT_INTERVAL'], fallback: '1s' },
  'map-interval': { value: 'duration', help: 'shortest time between two versions of the map', env: ['STELE_MAP_INTERVAL'], fallback: '5s' },
  'no-map': { value: null, help: 'derive, sign and serve no map of newest states', env: ['STELE_NO_MAP'], fallback: null },
  'accept-only': { value: null, help: 'accept and serve, but leave signing to another process on the same database', env: ['STELE_ACCEPT_ONLY'], fallback: null },
  'read-only': { value: null, help: 'serve a copy of the database: every GET, no key needed, 503 for writes', env: ['STELE_READ_ONLY'], fallback: null },
  'forward-writes': { value: 'url', help: 'with --read-only, the directory that takes the writes', env: ['STELE_FORWARD_WRITES'], fallback: null },
  'max-clock-skew': { value: 'duration', help: 'how far clocks may disagree before operations are refused', env: ['STELE_MAX_CLOCK_SKEW'], fallback: '10s' },
  'rate-limit-status': { value: 'status', help: 'answer to an identity that changes too often: 400 as deployed, or 429 with Retry-After', env: ['STELE_RATE_LIMIT_STATUS'], fallback: '400' },
  'client-ip-header': { value: 'name', help: 'header in which a reverse proxy names the client (its last address counts); none is trusted without it', env: ['STELE_CLIENT_IP_HEADER'], fallback: null },
  'read-rate': { value: 'number', help: 'requests a second that one address may make beside writes, with bursts of five times that; 0 for any number', env: ['STELE_READ_RATE'], fallback: '1000' },
  'write-rate': { value: 'number', help: 'writes a second that one address may make, with bursts of ten times that; 0 for any number', env: ['STELE_WRITE_RATE'], fallback: '50' },
  'max-cursor-age': { value: 'duration', help: 'how old the operation after a stream\'s cursor may be; any age without it', env: ['STELE_MAX_CURSOR_AGE'], fallback: null },
  withheld: { value: 'file', help: 'entries of the log whose bytes are not shown, an index a line with a reason after it', env: ['STELE_WITHHELD'], fallback: null },
  'metrics-port': { value: 'number', help: 'port of GET /metrics on the same address; no metrics without it', env: ['STELE_METRICS_PORT'], fallback: null },
  policy: { value: 'file', help: 'tlog-policy of the witnesses that must have seen a checkpoint before it is published', env: ['STELE_POLICY'], fallback: null },
  'witness-rate': { value: 'name=number,...', help: 'checkpoints a day that witnesses of the policy are asked for; the others are asked for every one', env: ['STELE_WITNESS_RATE'], fallback: null },
  'witness-fail-open': { value: null, help: 'publish a checkpoint though its quorum of witnesses is missed', env: ['STELE_WITNESS_FAIL_OPEN'], fallback: null },
  'log-level': { value: 'level', help: 'trace, debug, info, warn, error or silent', env: ['STELE_LOG_LEVEL'], fallback: 'info' },
  url: { value: 'url', help: 'the directory to talk to', env: ['STELE_URL'], fallback: 'http://127.0.0.1:2582' },
} as const satisfies Record<string, Setting>

/** The name of a setting. */
export type SettingName = keyof typeof SETTINGS

/** Levels of the log lines on stderr. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const

/** The settings, read and checked. */
export interface Config {
  readonly port: number
  readonly host: string
  /** Absolute path. */
  readonly dataDir: string
  readonly databaseUrl: string | null
  readonly origin: string | null
  readonly keyFile: string | null
  readonly guardFile: string | null
  readonly checkpointIntervalMs: number
  readonly mapIntervalMs: number
  /** Whether the signer keeps a map. */
  readonly map: boolean
  /** What this process does: everything; all but signing; reading alone. */
  readonly role: 'signer' | 'accepter' | 'reader'
  /** Where a reader sends writes; null where it refuses them. */
  readonly forwardWrites: string | null
  readonly maxClockSkewMs: number
  readonly rateLimitStatus: 400 | 429
  /** In lower case; null where the address of the connection counts. */
  readonly clientIpHeader: string | null
  /** Requests a second, 0 for any number. */
  readonly readRate: number
  /** Requests a second, 0 for any number. */
  readonly writeRate: number
  /** Milliseconds; null for any age. */
  readonly maxCursorAgeMs: number | null
  /** Absolute path; null where nothing is withheld. */
  readonly withheldFile: string | null
  readonly metricsPort: number | null
  /** Absolute path of the policy; null for no witnesses. */
  readonly policyFile: string | null
  /** Checkpoints a day, by the name of a witness. */
  readonly witnessRates: ReadonlyMap<string, number>
  readonly witnessFailOpen: boolean
  readonly logLevel: (typeof LOG_LEVELS)[number]
  /** Where keys and guards live by default: never under the data. Absolute path. */
  readonly stateDir: string
}

/** Shortest and longest checkpoint interval. */
export const CHECKPOINT_INTERVAL_MS = { min: 10, max: 60_000 }

/** Shortest and longest time between versions of the map. */
export const MAP_INTERVAL_MS = { min: 10, max: 3_600_000 }

/** Smallest and largest clock skew that can be allowed. */
export const MAX_CLOCK_SKEW_MS = { min: 100, max: 600_000 }

/** Smallest and largest age of a cursor that can be the limit. */
export const MAX_CURSOR_AGE_MS = { min: 1_000, max: 3_650 * 86_400_000 }

/** A setting or an argument is wrong: words for the person at the terminal, never a stack. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/**
 * Reads the settings: a flag counts before the environment, that before the default. `flags` holds the flags that
 * were given, by the names of `SETTINGS`. Throws UsageError for a value that is none.
 */
export function readConfig(flags: Partial<Record<SettingName, string>>, env: NodeJS.ProcessEnv = process.env): Config {
  const text = (name: SettingName): string | null => flags[name] ?? fromEnvironment(SETTINGS[name].env, env) ?? SETTINGS[name].fallback
  const metricsPort = text('metrics-port')
  const maxCursorAge = text('max-cursor-age')
  return {
    port: readPort('--port', text('port') ?? ''),
    host: text('host') ?? '',
    dataDir: resolve(text('data') ?? ''),
    databaseUrl: text('database-url'),
    origin: text('origin'),
    keyFile: absolute(text('key')),
    guardFile: absolute(text('guard')),
    checkpointIntervalMs: readDuration('--checkpoint-interval', text('checkpoint-interval') ?? '', CHECKPOINT_INTERVAL_MS),
    mapIntervalMs: readDuration('--map-interval', text('map-interval') ?? '', MAP_INTERVAL_MS),
    map: !readSwitch('--no-map', text('no-map')),
    role: readRole(readSwitch('--accept-only', text('accept-only')), readSwitch('--read-only', text('read-only'))),
    forwardWrites: readForwardWrites(text('forward-writes'), readSwitch('--read-only', text('read-only'))),
    maxClockSkewMs: readDuration('--max-clock-skew', text('max-clock-skew') ?? '', MAX_CLOCK_SKEW_MS),
    rateLimitStatus: readRateLimitStatus(text('rate-limit-status') ?? ''),
    clientIpHeader: readHeaderName(text('client-ip-header')),
    readRate: readRequestRate('--read-rate', text('read-rate') ?? ''),
    writeRate: readRequestRate('--write-rate', text('write-rate') ?? ''),
    maxCursorAgeMs: maxCursorAge === null ? null : readDuration('--max-cursor-age', maxCursorAge, MAX_CURSOR_AGE_MS),
    withheldFile: absolute(text('withheld')),
    metricsPort: metricsPort === null ? null : readPort('--metrics-port', metricsPort),
    policyFile: absolute(text('policy')),
    witnessRates: readWitnessRates(text('witness-rate'), text('policy')),
    witnessFailOpen: readSwitch('--witness-fail-open', text('witness-fail-open')),
    logLevel: readLevel(text('log-level') ?? ''),
    stateDir: readStateDir(env),
  }
}

/** The folder where keys and guards live by default, an absolute path. */
export function readStateDir(env: NodeJS.ProcessEnv = process.env): string {
  return join(env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local', 'state'), 'stele')
}

/** The environment of this process and what is added to it, for a program that it starts. */
export function environmentWith(added: Readonly<Record<string, string>>, env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return { ...env, ...added }
}

/** Reads how much is to be said, alone: for programs that need no other setting. Throws UsageError for a level that is none. */
export function readLogLevel(flags: Partial<Record<SettingName, string>>, env: NodeJS.ProcessEnv = process.env): Config['logLevel'] {
  return readLevel(flags['log-level'] ?? fromEnvironment(SETTINGS['log-level'].env, env) ?? SETTINGS['log-level'].fallback)
}

/** Reads the address of the directory that a command talks to, without a slash at its end. Throws UsageError for what is no http(s) address. */
export function readDirectoryUrl(flags: Partial<Record<SettingName, string>>, env: NodeJS.ProcessEnv = process.env): string {
  const text = flags.url ?? fromEnvironment(SETTINGS.url.env, env) ?? SETTINGS.url.fallback
  return readHttpUrl('--url', text)
}

/** The milliseconds of a duration such as `1s` or `250ms`, from `min` to `max`. Throws UsageError, which names the flag, for any other text. */
export function readDuration(flag: string, text: string, { min, max }: { readonly min: number; readonly max: number }): number {
  const duration = /^[\d.]+ ?[a-z]+$/i.test(text) ? ms(text as StringValue) : undefined
  if (duration === undefined || !(duration >= min && duration <= max)) {
    throw new UsageError(`${flag}: ${text} is not a duration from ${ms(min)} to ${ms(max)}, such as 1s or 250ms`)
  }
  return duration
}

function fromEnvironment(names: readonly string[], env: NodeJS.ProcessEnv): string | null {
  const name = names.find((name) => (env[name] ?? '') !== '')
  return name === undefined ? null : (env[name] ?? null)
}

function absolute(path: string | null): string | null {
  return path === null ? null : resolve(path)
}

/** Reads a port. Throws UsageError, which names the flag, for any other text. */
export function readPort(flag: string, text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new UsageError(`${flag}: ${text} is not a port (0 to 65535)`)
  return port
}

function readSwitch(flag: string, text: string | null): boolean {
  if (text === null || /^(false|no|0)$/i.test(text)) return false
  if (/^(true|yes|1)$/i.test(text)) return true
  throw new UsageError(`${flag}: ${text} is neither true nor false`)
}

function readRole(acceptOnly: boolean, readOnly: boolean): Config['role'] {
  if (acceptOnly && readOnly) throw new UsageError('--accept-only and --read-only exclude each other')
  return readOnly ? 'reader' : acceptOnly ? 'accepter' : 'signer'
}

function readForwardWrites(text: string | null, readOnly: boolean): string | null {
  if (text === null) return null
  if (!readOnly) throw new UsageError('--forward-writes goes with --read-only')
  return readHttpUrl('--forward-writes', text)
}

/** Reads an http(s) address, without a slash at its end. Throws UsageError, which names the flag, for any other text. */
export function readHttpUrl(flag: string, text: string): string {
  // Not quoted: it would stand in log lines.
  if (/^\w+:\/\/[^/?#]*@/.test(text)) throw new UsageError(`${flag}: an address must not hold a user name or a password`)
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw new UsageError(`${flag}: ${text} is not an http:// or https:// address`)
  return text.replace(/\/+$/, '')
}

function readRateLimitStatus(text: string): 400 | 429 {
  if (text === '400') return 400
  if (text === '429') return 429
  throw new UsageError(`--rate-limit-status: ${text} is neither 400 nor 429`)
}

/** Reads how many requests a second, 0 for any number. Throws UsageError, which names the flag, for any other text. */
export function readRequestRate(flag: string, text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new UsageError(`${flag}: ${text} is not a number of requests a second (0 to 9999999)`)
  return Number(text)
}

function readWitnessRates(text: string | null, policy: string | null): ReadonlyMap<string, number> {
  if (text !== null && policy === null) throw new UsageError('--witness-rate goes with --policy')
  const rates = (text?.split(',') ?? []).map((item): [string, number] => {
    const [, name = '', perDay = ''] = /^\s*([^=\s]+)=([1-9]\d{0,6})\s*$/.exec(item) ?? []
    if (name === '') throw new UsageError(`--witness-rate: ${item} is not the name of a witness and a number of checkpoints a day (1 to 9999999), such as alice=500`)
    return [name, Number(perDay)]
  })
  return new Map(rates)
}

/** Reads the name of `--client-ip-header`, in lower case. Throws UsageError for what is none. */
export function readHeaderName(text: string | null): string | null {
  if (text !== null && !/^[a-z0-9-]{1,64}$/i.test(text)) throw new UsageError(`--client-ip-header: ${text} is not the name of a header`)
  return text === null ? null : text.toLowerCase()
}

function readLevel(text: string): Config['logLevel'] {
  const level = LOG_LEVELS.find((level) => level === text)
  if (level === undefined) throw new UsageError(`--log-level: ${text} is not one of ${LOG_LEVELS.join(', ')}`)
  return level
}
