// `stele fsck`: whether a log is whole, all of it derived again. spec/log.md#fsck

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { readConfig, readDirectoryUrl, readHttpUrl, UsageError, type Config } from '../config.ts'
import type { VerifyAnswers } from '../client/check-tree.ts'
import { openMapCheck, type MapReport } from '../client/check-map.ts'
import { findWrongMap } from '../client/fork.ts'
import { fsck, orNothing, type FsckOptions, type FsckReport, type KeptCheckpoint } from '../client/fsck.ts'
import { partKeys } from '../client/keys.ts'
import { httpTileReader, orElse, type TileReader } from '../client/tile-reader.ts'
import { alarmPart, alarmWords, formatAlarm } from '../core/alarm.ts'
import { base64 } from '../core/encoding/text.ts'
import { verdictOf } from '../core/errors.ts'
import { formatEvidence } from '../core/evidence.ts'
import type { Replayed } from '../core/replay.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import { parseTlogProof } from '../core/tlog/tlog-proof.ts'
import { nativeSha256 } from '../crypto/sha256.ts'
import { checkDatabase } from './check-database.ts'
import { checkMap } from './check-map.ts'
import { openDatabase } from './database.ts'
import { describeMap } from './describe-checkpoint.ts'
import { EXIT } from './exit.ts'
import { openVerifier } from './fast-verifier.ts'
import { onInterrupt } from './interrupt.ts'
import { addSettings, CLIENT_SETTINGS, collect, flagsOf, STORAGE_SETTINGS, type Flags } from './options.ts'
import { startProgress } from './progress.ts'
import { escapeLine, print, say } from './terminal.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'

/** The command. */
export function fsckCommand(): Command {
  return addSettings(new Command('fsck'), [...new Set([...CLIENT_SETTINGS, ...STORAGE_SETTINGS])])
    .description('Read a whole log and derive everything again: every tile, every root, every rule, every version of its map.')
    .argument('[url]', "the log's prefix, which is the address of a directory (default: --url)")
    .option('--database', 'check the database of --data or --database-url, its derived columns too')
    .option('--vkey <key or file>', `${VKEY_HELP} (default with --database: log.vkey in --data)`, collect)
    .option('--also <url>', 'a mirror of the log, which is asked for what the first address does not show; can be repeated', collect)
    .option('--kept <file>', 'a checkpoint or receipt of this log that you kept, which it must continue; can be repeated', collect)
    .option('--evidence <file>', 'where to write what was found: proof for `stele verify-evidence`, else an alarm; never overwritten')
    .addHelpText(
      'after',
      '\nExamples:\n  $ stele fsck https://directory.example --vkey log.vkey\n  $ stele fsck --database --data ./data\n' +
        '  $ stele fsck https://directory.example --vkey log.vkey --kept checkpoint-of-may --evidence fork.evidence\n\n' +
        'Exit codes: 0 whole, 1 broken or not readable, 3 whole, with entries that break a rule and were rejected.',
    )
    .action(async (url: string | undefined, options: FsckFlags, command: Command) => {
      const flags = flagsOf(command)
      const given = options.vkey === undefined ? null : readVerifierKeys(options.vkey)
      if (options.database === true && url !== undefined) throw new UsageError('name a URL or --database, not both')
      if (options.database === true && (options.kept ?? options.evidence ?? options.also) !== undefined) throw new UsageError('--kept, --evidence and --also are for what is published, not for a database')
      if (options.evidence !== undefined && given === null) throw new UsageError("--evidence needs the log's key: name it with --vkey")
      const kept = (options.kept ?? []).map(readKept)
      await using verifier = await openVerifier()
      const verifyAnswers: VerifyAnswers = (questions) => verifier.answer(questions)
      const report = options.database === true ? await checkStored(readConfig(flags), given, verifyAnswers) : await checkPublished(url, options.also ?? [], flags, given, { verifyAnswers, kept })
      process.exitCode = tell(report)
      if (options.evidence !== undefined) keepFindings(options.evidence, report, kept)
    })
}

interface FsckFlags {
  readonly database?: true
  readonly vkey?: readonly string[]
  readonly also?: readonly string[]
  readonly kept?: readonly string[]
  readonly evidence?: string
}

// A receipt holds the checkpoint under which it was made.
function readKept(where: string): KeptCheckpoint {
  const text = readFileSync(where, 'utf8')
  return { where, note: verdictOf(() => parseTlogProof(text)).value?.checkpoint ?? text }
}

async function checkPublished(url: string | undefined, also: readonly string[], flags: Flags, keys: readonly VerifierKey[] | null, options: FsckOptions): Promise<Found> {
  warnWithout(keys)
  const { logKeys, mapKeys } = partKeys(keys ?? [])
  using progress = startProgress('checking', 'entries', 0)
  const address = readDirectoryUrl(url === undefined ? flags : { ...flags, url })
  const others = also.map((other) => readHttpUrl('--also', other))
  const readerAt = (path: string): TileReader => orElse(httpTileReader(address + path), others.map((other) => httpTileReader(other + path)))
  // The map first, and then the log that it is of.
  const check = await openMapCheck(readerAt('/map'), { keys: mapKeys.length === 0 ? null : mapKeys, start: null, derive: true, sha256: nativeSha256 })
  if (check !== null && keys !== null && mapKeys.length === 0) say("nobody vouches for the map's checkpoint: name its key with --vkey too (GET /map/vkey)")
  const onMap = check === null ? {} : { onReplayed: (replayed: Replayed) => check.replayed(replayed) }
  const report = await fsck(readerAt(''), keys === null ? null : logKeys, { ...options, ...onMap, onProgress: (done, size) => progress.update(done, size) })
  if (check === null) return { ...report, map: null }
  const map = await check.finish(null, report.problems.some(({ kind }) => kind === 'withheld'))
  const evidence = map.wrong === null || keys === null ? null : await orNothing(findWrongMap({ reader: readerAt('/map'), note: map.note, keys: mapKeys }, { reader: readerAt(''), note: report.note, keys: logKeys }, map.wrong))
  return { ...report, map, problems: [...report.problems, ...map.problems], evidence: [...report.evidence, ...(evidence === null ? [] : [evidence])] }
}

interface Found extends FsckReport {
  /** null where no map is shown. */
  readonly map: MapReport | null
}

async function checkStored(config: Config, given: readonly VerifierKey[] | null, verifyAnswers: VerifyAnswers): Promise<Found> {
  await using storage = await openDatabase(config)
  const file = join(config.dataDir, 'log.vkey')
  const keys = given ?? (existsSync(file) ? readVerifierKeys([file]) : null)
  warnWithout(keys)
  using progress = startProgress('checking', 'entries', 0)
  const report = await checkDatabase(storage.store, keys, { verifyAnswers, onProgress: (done, size) => progress.update(done, size) })
  using interrupt = onInterrupt()
  return { ...report, map: null, problems: [...report.problems, ...(await checkMap(storage.store, interrupt.signal))] }
}

function warnWithout(keys: readonly VerifierKey[] | null): void {
  if (keys === null) say("nobody vouches for the checkpoint: name the log's key with --vkey to have its signature checked")
}

function tell({ checkpoint, entries, dids, rejected, problems, map }: Found): number {
  if (checkpoint !== null) print(`log        ${escapeLine(checkpoint.origin)}\nsize       ${checkpoint.size}\nroot       ${base64.encode(checkpoint.root)}`)
  print(`checked    ${entries} entries of ${dids} identities`)
  if (map !== null) print(describeMap(map))
  for (const { index, did, code, words } of rejected) print(`rejected   entry ${index}${did === '' ? '' : ` of ${did}`}: ${code}: ${escapeLine(words)}`)
  for (const { kind, where, words } of problems) print(`${kind === 'withheld' ? 'withheld' : 'broken  '}   ${escapeLine(where)}: ${escapeLine(words)}`)
  if (problems.length > 0) return EXIT.failed
  print(rejected.length === 0 ? 'whole' : `whole, with ${rejected.length} rejected entries`)
  return rejected.length === 0 ? EXIT.ok : EXIT.remarks
}

// Proof where there is proof; else, where something is wrong, an alarm with what was at hand.
function keepFindings(path: string, { checkpoint, note, evidence, problems, rejected }: FsckReport, kept: readonly KeptCheckpoint[]): void {
  const [proof] = evidence
  const [first] = [...problems.filter(({ kind }) => kind !== 'withheld').map(({ where, words }) => `${where}: ${words}`), ...rejected.map(({ index, code }) => `entry ${index}: ${code}`)]
  if (proof !== undefined) {
    writeFileSync(path, formatEvidence(proof), { flag: 'wx' })
    print(`evidence   ${path}: ${proof.kind}, for anybody who has the log's key (stele verify-evidence)`)
  } else if (first !== undefined) {
    const parts = [alarmPart('checkpoint', note), ...kept.slice(0, 4).map((one) => alarmPart('kept', one.note)), ...problems.slice(0, 16).map(({ where, words }) => alarmPart('problem', `${where}: ${words}`))]
    writeFileSync(path, formatAlarm({ origin: checkpoint?.origin ?? 'unknown', time: Date.now(), words: alarmWords(first), parts }), { flag: 'wx' })
    print(`alarm      ${path}: what was seen, which proves nothing to others`)
  }
}
