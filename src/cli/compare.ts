// `stele compare URL URL...`: whether several addresses show the same log. spec/mirror.md#comparing

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { readShownKeys } from '../../mirror/log-keys.ts'
import { UsageError, readHttpUrl } from '../config.ts'
import { findFork } from '../client/fork.ts'
import { httpTileReader, type TileReader } from '../client/tile-reader.ts'
import { base64, bytesEqual } from '../core/encoding/text.ts'
import { DirectoryError } from '../core/errors.ts'
import { formatEvidence, type Evidence } from '../core/evidence.ts'
import { openCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { formatVerifierKey, type VerifierKey } from '../core/tlog/note.ts'
import { EXIT } from './exit.ts'
import { addSettings, collect } from './options.ts'
import { escapeLine, print, say } from './terminal.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'
import { wordsFor } from './words.ts'

/** Beside `EXIT`: the log has contradicted itself, and there is evidence. */
const EXIT_FORK = 4

/** What one address shows. */
interface Shown {
  readonly url: string
  readonly reader: TileReader
  readonly note: string
  readonly checkpoint: Checkpoint
}

/** The command. */
export function compareCommand(): Command {
  return addSettings(new Command('compare'), ['log-level'])
    .description('Compare what several directories and mirrors show of one log: the same, some of them behind, or two logs under one key.')
    .argument('<url...>', 'two addresses or more')
    .option('--vkey <key or file>', `${VKEY_HELP} (default: the one that the first address shows)`, collect)
    .option('--evidence <folder>', 'where evidence of a fork is written', '.')
    .addHelpText('after', '\nExample:\n  $ stele compare https://directory.example https://mirror.example --vkey log.vkey\n\nExit codes: 0 all show the same, 1 one of them cannot be compared, 2 wrong command line, 3 they agree and some are behind, 4 the log has contradicted itself.')
    .action(async (urls: string[], options: { vkey?: readonly string[]; evidence: string }) => {
      if (urls.length < 2) throw new UsageError('there is nothing to compare: name two addresses or more')
      const addresses = urls.map((url) => readHttpUrl('url', url))
      const keys = options.vkey === undefined ? await believed(addresses[0] ?? '') : readVerifierKeys(options.vkey)
      process.exitCode = await compare(addresses, keys, options.evidence)
    })
}

async function believed(url: string): Promise<readonly VerifierKey[]> {
  const keys = await readShownKeys(url, AbortSignal.timeout(KEYS_MS))
  say(`no --vkey was given: all are held to the key that ${url} shows, ${keys.map(formatVerifierKey).join(' ')}`)
  return keys
}

const KEYS_MS = 30_000

async function compare(urls: readonly string[], keys: readonly VerifierKey[], folder: string): Promise<number> {
  const read = await Promise.all(urls.map((url) => readShown(url, keys)))
  const shown = read.filter((one) => one !== null).sort((a, b) => b.checkpoint.size - a.checkpoint.size)
  const [newest, ...others] = shown
  let code: number = read.includes(null) ? EXIT.failed : EXIT.ok
  if (newest === undefined) return EXIT.failed
  print(`${newest.checkpoint.size} ${base64.encode(newest.checkpoint.root)} ${escapeLine(newest.url)}`)
  for (const other of others) code = worse(code, await tell(newest, other, keys, folder))
  return code
}

async function readShown(url: string, keys: readonly VerifierKey[]): Promise<Shown | null> {
  const reader = httpTileReader(url, { attempts: 3 })
  try {
    const note = await reader.checkpoint()
    return { url, reader, note, checkpoint: openCheckpoint(note, keys).checkpoint }
  } catch (error) {
    say(`${url}: ${wordsFor(error)}`)
    return null
  }
}

async function tell(newest: Shown, other: Shown, keys: readonly VerifierKey[], folder: string): Promise<number> {
  const { size, root } = other.checkpoint
  const line = `${size} ${base64.encode(root)} ${escapeLine(other.url)}`
  try {
    const evidence = size === newest.checkpoint.size && bytesEqual(root, newest.checkpoint.root) ? null : await findFork(newest.reader, other.note, newest.note, keys)
    const behind = newest.checkpoint.size - size
    print(`${line}${evidence !== null ? ' CONTRADICTS the first' : behind === 0 ? ' the same' : ` the same, ${behind} entries behind`}`)
    if (evidence === null) return behind === 0 ? EXIT.ok : EXIT.remarks
    say(`the log has signed two trees that contradict each other: the evidence is in ${keep(folder, evidence, size)}`)
    return EXIT_FORK
  } catch (error) {
    if (!(error instanceof DirectoryError)) say(`${newest.url}: ${wordsFor(error)}`)
    else say(`${newest.url} does not serve the tree that its checkpoint is about (${error.message}): nothing is shown`)
    print(`${line} cannot be compared`)
    return EXIT.failed
  }
}

function keep(folder: string, evidence: Evidence, size: number): string {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${evidence.kind}-${size}.evidence`)
  writeFileSync(file, formatEvidence(evidence), { flush: true })
  return file
}

// A fork counts most, then what could not be compared.
function worse(one: number, other: number): number {
  const order: readonly number[] = [EXIT.ok, EXIT.remarks, EXIT.failed, EXIT_FORK]
  return order.indexOf(one) > order.indexOf(other) ? one : other
}
