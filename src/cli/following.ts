// What commands that follow a log have in common: servers, keys, cursor, webhook, and the end. docs/following.md

import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { EvidenceFolder } from '../../mirror/evidence-folder.ts'
import { readShownKeys } from '../../mirror/log-keys.ts'
import { readHttpUrl, UsageError } from '../config.ts'
import { keysOfCursor, memoryCursor, type CursorStore } from '../client/cursor.ts'
import { fileCursor } from '../client/file-cursor.ts'
import { LogContradictionError } from '../client/log-memory.ts'
import { partKeys } from '../client/keys.ts'
import { ServerError } from '../client/request.ts'
import { webhook, WEBHOOK_LIMITS, type Deliver } from '../client/webhook.ts'
import { utf8Encode } from '../core/encoding/text.ts'
import { mapOrigin } from '../core/map/map-leaf.ts'
import { formatVerifierKey, type VerifierKey } from '../core/tlog/note.ts'
import { keepDeadLetter } from './dead-letters.ts'
import { collect } from './options.ts'
import { escapeLine, say } from './terminal.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'

/** Beside `EXIT`: the log has contradicted itself, and there is evidence. */
export const EXIT_CONTRADICTION = 4

/** The options of both commands. */
export interface FollowingFlags {
  readonly vkey?: readonly string[]
  readonly cursor?: string
  readonly webhook?: string
  readonly secretFile?: string
  readonly deadLetters: string
  readonly evidence: string
}

/** Adds them. */
export function addFollowingOptions(command: Command): Command {
  return command
    .option('--vkey <key or file>', `${VKEY_HELP} (default: that of the cursor, or the one that the first address shows)`, collect)
    .option('--cursor <file>', 'where it is kept how far this has come, for the next start')
    .option('--webhook <url>', 'an address that everything is sent to, signed')
    .option('--secret-file <file>', 'with --webhook: the secret that signs, on one line')
    .option('--dead-letters <folder>', 'with --webhook: where deliveries go that nobody takes', './dead-letters')
    .option('--evidence <folder>', 'where evidence of a contradiction is written', '.')
}

/** The cursor that is named, or one that ends with the process. */
export function openCursor(path: string | undefined): CursorStore {
  return path === undefined ? memoryCursor() : fileCursor(path)
}

/** The keys of the log: those that are named, those that the cursor was kept with, or those that the first address shows, which is said. */
export async function knownKeys({ vkey }: FollowingFlags, cursor: CursorStore, urls: readonly string[], signal: AbortSignal): Promise<readonly VerifierKey[]> {
  if (vkey !== undefined) return partKeys(readVerifierKeys(vkey)).logKeys
  const kept = keysOfCursor((await cursor.read()) ?? '')
  if (kept.length > 0) return kept
  const [url = ''] = urls
  const keys = await readShownKeys(url, signal)
  say(`no --vkey was given: the log is held to the key that ${url} shows, ${keys.map(formatVerifierKey).join(' ')}`)
  return keys
}

/** The keys that an address shows of the map of a log, which is said; none where it has no map. */
export async function shownMapKeys(url: string, origin: string, signal: AbortSignal): Promise<readonly VerifierKey[]> {
  const shown = await readShownKeys(url, signal, 'map/vkey').catch((error: unknown) => {
    if (error instanceof ServerError && error.status === 404) return []
    throw error
  })
  const keys = shown.filter(({ name }) => name === mapOrigin(origin))
  if (keys.length > 0) say(`no key of the map was given: it is held to the one that ${url} shows, ${keys.map(formatVerifierKey).join(' ')}`)
  return keys
}

/** The webhook that is named; null for none. Throws UsageError where the options do not go together. */
export function openWebhook({ webhook: address, secretFile, deadLetters }: FollowingFlags, signal: AbortSignal): Deliver | null {
  if (address === undefined) {
    if (secretFile !== undefined) throw new UsageError('--secret-file goes with --webhook')
    return null
  }
  if (secretFile === undefined) throw new UsageError('--webhook needs --secret-file: what is sent is signed')
  const url = readHttpUrl('--webhook', address)
  const secret = utf8Encode(readFileSync(secretFile, 'utf8').trim())
  if (secret.length < WEBHOOK_LIMITS.secretBytes) throw new UsageError(`${secretFile} holds fewer than ${WEBHOOK_LIMITS.secretBytes} characters, which is no secret`)
  // An address may carry a secret of its own.
  const { protocol, hostname } = new URL(url)
  if (protocol === 'http:' && !/^(?:localhost$|127\.|\[::1\]$)/.test(hostname)) say('warning: the webhook is not https: what is sent there can be read and dropped on the way, though not altered')
  let failed = false
  const deliver = webhook({
    url, secret, signal,
    keepDead(letter) {
      const file = keepDeadLetter(deadLetters, letter)
      if (file === null) say(`${deadLetters} is full: nothing more is given up, and what follows waits`)
      else say(`the webhook did not take ${letter.id} (${letter.words}): it is kept in ${file}`)
      return Promise.resolve(file !== null)
    },
    onTrouble(words) {
      if (!failed) say(`the webhook at ${hostname} does not take what is sent, and it is tried again: ${words}`)
      failed = true
    },
  })
  return async (id, body) => {
    const outcome = await deliver(id, body)
    if (failed && outcome === 'taken') {
      failed = false
      say(`the webhook at ${hostname} takes what is sent again`)
    }
    return outcome
  }
}

/** Follows until a signal or a contradiction; resolves with the exit code. Throws what else `work` throws. */
export async function untilEnded(work: () => Promise<void>, signal: AbortSignal, evidenceFolder: string, origin: string): Promise<number> {
  try {
    await work()
    return 0
  } catch (error) {
    if (signal.aborted && error instanceof Error && (error === signal.reason || error.name === 'AbortError')) return 0
    if (!(error instanceof LogContradictionError)) throw error
    const file = new EvidenceFolder(evidenceFolder, origin, Date.now).keepEvidence(`${error.evidence.kind}-${Date.now()}`, error.evidence)
    say(`error: ${escapeLine(error.message)}. The evidence is in ${file}: show it to others (stele verify-evidence)`)
    return EXIT_CONTRADICTION
  }
}
