// `stele audit URL`: everything that an auditor can check of a log and its witnesses, each run from where the last one ended. docs/following.md#audit

import { existsSync, readFileSync } from 'node:fs'
import { Command } from 'commander'
import { EvidenceFolder } from '../../mirror/evidence-folder.ts'
import { readShownKeys } from '../../mirror/log-keys.ts'
import { readDuration, readHttpUrl, UsageError } from '../config.ts'
import { formatAuditState, inspectLog, parseAuditState, type AuditState, type Inspection, type MapInspection } from '../client/inspect.ts'
import { historyOf } from '../client/judge.ts'
import { keysBeyond, partKeys, readKeyStatement } from '../client/keys.ts'
import { httpTileReader, orElse, type TileReader } from '../client/tile-reader.ts'
import { alarmPart } from '../core/alarm.ts'
import { base64 } from '../core/encoding/text.ts'
import { mapOrigin } from '../core/map/map-leaf.ts'
import { formatVerifierKey, type VerifierKey } from '../core/tlog/note.ts'
import { parsePolicy, type Policy } from '../core/tlog/policy.ts'
import { nativeSha256 } from '../crypto/sha256.ts'
import { replaceSecretFile } from '../secret-file.ts'
import { describeMap, describeSeconds } from './describe-checkpoint.ts'
import { EXIT } from './exit.ts'
import { openVerifier } from './fast-verifier.ts'
import { EXIT_CONTRADICTION, shownMapKeys } from './following.ts'
import { onInterrupt } from './interrupt.ts'
import { addSettings, collect } from './options.ts'
import { startProgress } from './progress.ts'
import { escapeLine, print, say } from './terminal.ts'
import { MAX_AGE_HELP, MAX_AGE_MS, POLICY_HELP } from './trust.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'

interface Options {
  readonly vkey?: readonly string[]
  readonly policy?: string
  readonly also?: readonly string[]
  readonly maxAge?: string
  readonly state?: string
  readonly map?: true
  readonly evidence: string
  readonly json?: true
}

/** The command. */
export function auditCommand(): Command {
  return addSettings(new Command('audit'), ['log-level'])
    .description('Audit a log and its map: every entry, tile and rule, every version of the map, the cosignatures on their checkpoints, and whether they continue what the witnesses hold. For cron: each run goes on from the last one.')
    .argument('<url>', 'a directory or mirror')
    .option('--vkey <key or file>', `${VKEY_HELP} (default: those of the policy, of the state, or those that the address shows)`, collect)
    .option('--policy <file>', POLICY_HELP)
    .option('--also <url>', 'a mirror of the log, which is asked for what the address does not show; can be repeated', collect)
    .option('--max-age <duration>', MAX_AGE_HELP)
    .option('--state <file>', 'where it is kept how far the log was found whole; without it all of it is read')
    .option('--map', 'with --state: read all of the log again, and derive every version of the map from it')
    .option('--evidence <folder>', 'where evidence and alarms are written', '.')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  $ stele audit https://directory.example --policy witnesses.policy --state directory.audit\n\n' +
        'Exit codes: 0 all is well; 1 something is broken, or could not be read; 2 wrong command line; 3 whole, but an entry breaks a rule, or a witness does not answer, never signed, or is ahead; 4 the log has contradicted itself, and there is evidence.',
    )
    .action(async (url: string, options: Options) => {
      process.exitCode = await audit(readHttpUrl('url', url), options)
    })
}

async function audit(url: string, options: Options): Promise<number> {
  const policy = options.policy === undefined ? null : parsePolicy(readFileSync(options.policy, 'utf8'))
  if (options.map === true && options.state === undefined) throw new UsageError('--map goes with --state: without it every version of the map is derived in any case')
  if (options.maxAge !== undefined && policy === null) throw new UsageError('--max-age is about the witnesses of a --policy')
  const notBefore = options.maxAge === undefined ? 0 : (Date.now() - readDuration('--max-age', options.maxAge, MAX_AGE_MS)) / 1000
  const since = options.state !== undefined && existsSync(options.state) ? parseAuditState(readFileSync(options.state, 'utf8')) : null
  using interrupt = onInterrupt()
  const { signal } = interrupt
  const { logKeys: keys, mapKeys } = await keysOf(url, options, policy, since, signal)
  await using verifier = await openVerifier()
  const request = { signal, attempts: 3 }
  using progress = startProgress('auditing', 'entries', 0)
  const others = (options.also ?? []).map((other) => readHttpUrl('--also', other))
  const readerAt = (path: string): TileReader => orElse(httpTileReader(url + path, request), others.map((other) => httpTileReader(other + path, request)))
  const found = await inspectLog(readerAt(''), {
    keys, policy, notBefore, since, signal, request,
    map: mapKeys.length === 0 ? null : { reader: readerAt('/map'), keys: mapKeys, readStatement: (known) => readKeyStatement(url, known, request, 'map/keys'), sha256: nativeSha256 },
    whole: options.map === true,
    history: historyOf(url, request),
    readStatement: (known) => readKeyStatement(url, known, request),
    verifyAnswers: (questions) => verifier.answer(questions),
    onProgress: (done, size) => progress.update(done, size),
  })
  const files = keepFindings(new EvidenceFolder(options.evidence, keys[0]?.name ?? '', Date.now), found)
  if (options.state !== undefined && found.next !== null) replaceSecretFile(options.state, formatAuditState(found.next))
  const code = codeOf(found)
  if (options.json === true) print(reportOf(url, found, files, code))
  else tell(url, found, files)
  return code
}

async function keysOf(url: string, { vkey }: Options, policy: Policy | null, since: AuditState | null, signal: AbortSignal): Promise<ReturnType<typeof partKeys>> {
  const named = partKeys(vkey === undefined ? (policy?.logs.map(({ key }) => key) ?? []) : readVerifierKeys(vkey))
  const logKeys = named.logKeys.length > 0 ? named.logKeys : (since?.keys ?? (await shownKeys(url, signal)))
  const origin = logKeys[0]?.name ?? ''
  if (logKeys.some(({ name }) => name !== origin)) throw new UsageError('the keys are of several logs: name the one that is audited with --vkey')
  if (since !== null && keysBeyond(since.keys, logKeys).length === logKeys.length) throw new UsageError('the state is that of a log with other keys: another log needs a state of its own')
  const ofMap = named.mapKeys.filter(({ name }) => name === mapOrigin(origin))
  const known = since?.map?.keys ?? []
  // What the last audit knew counts on: keys that a log announced, and what the map was first held to.
  return {
    logKeys: [...logKeys, ...keysBeyond(logKeys, since?.keys ?? [])],
    mapKeys: ofMap.length > 0 ? withKnown(ofMap, known) : known.length > 0 ? known : await shownMapKeys(url, origin, signal),
  }
}

// With what was known beside them, where one of them is the same log's.
function withKnown(keys: readonly VerifierKey[], known: readonly VerifierKey[]): readonly VerifierKey[] {
  return keysBeyond(known, keys).length < keys.length ? [...keys, ...keysBeyond(keys, known)] : keys
}

async function shownKeys(url: string, signal: AbortSignal): Promise<readonly VerifierKey[]> {
  const shown = await readShownKeys(url, signal)
  say(`no key was given: the log is held to the one that ${url} shows, ${shown.map(formatVerifierKey).join(' ')}`)
  return shown
}

function codeOf({ contradictions, problems, report, witnesses, map }: Inspection): number {
  if (contradictions.length > 0) return EXIT_CONTRADICTION
  if (problems.length > 0) return EXIT.failed
  return report.rejected.length > 0 || [...witnesses, ...(map?.witnesses ?? [])].some(({ standing }) => standing !== 'agrees') ? EXIT.remarks : EXIT.ok
}

// Proof where there is proof; else, where something is broken, an alarm.
function keepFindings(folder: EvidenceFolder, { contradictions, brokenRules, problems, report, map }: Inspection): string[] {
  const proofs = [...contradictions, ...brokenRules]
  const size = report.checkpoint?.size ?? 0
  if (proofs.length > 0) return [...new Set(proofs.map((evidence, i) => folder.keepEvidence(`${evidence.kind}-${size}-${i}`, evidence)))]
  const first = problems.find(({ kind }) => kind !== 'withheld')
  if (first === undefined) return []
  const parts = [alarmPart('checkpoint', report.note), ...(map === null ? [] : [alarmPart('map-checkpoint', map.report.note)]), ...problems.slice(0, 16).map(({ where, words }) => alarmPart('problem', `${where}: ${words}`))]
  const file = folder.keepAlarm(`${first.where}: ${first.words}`, parts)
  return file === null ? [] : [file]
}

function tell(url: string, { report, from, problems, quorum, witnesses, map, learned }: Inspection, files: readonly string[]): void {
  const { checkpoint, entries, dids, rejected } = report
  print(`audited    ${escapeLine(url)}`)
  if (checkpoint !== null) print(`log        ${escapeLine(checkpoint.origin)}\nsize       ${checkpoint.size}\nroot       ${base64.encode(checkpoint.root)}`)
  print(`checked    ${entries - from} entries${from === 0 ? '' : ` after the ${from} of the last audit`}, of ${dids} identities`)
  for (const key of learned) print(`new key    ${formatVerifierKey(key)}, as one that was known has signed`)
  tellWitnesses('witness', witnesses)
  if (quorum !== null) print(`quorum     ${quorum ? 'met' : 'not met'}`)
  if (map !== null) {
    print(describeMap(map.report))
    tellWitnesses('of the map', map.witnesses)
    if (map.quorum !== null) print(`map quorum ${map.quorum ? 'met' : 'not met'}`)
  }
  for (const { index, did, code, words } of rejected) print(`rejected   entry ${index}${did === '' ? '' : ` of ${did}`}: ${code}: ${escapeLine(words)}`)
  for (const { kind, where, words } of problems) print(`${kind === 'withheld' ? 'withheld' : 'broken  '}   ${escapeLine(where)}: ${escapeLine(words)}`)
  for (const file of files) print(`kept       ${escapeLine(file)}`)
  print(problems.some(({ kind }) => kind !== 'withheld') ? 'broken' : problems.length > 0 ? 'not checked to the end' : rejected.length > 0 ? `whole, with ${rejected.length} rejected entries` : 'whole')
}

function tellWitnesses(what: string, witnesses: Inspection['witnesses']): void {
  for (const { name, standing, cosignedAt, words } of witnesses) {
    print(`${what.padEnd(11)}${escapeLine(name)}: ${standing}${words === '' ? '' : `: ${escapeLine(words)}`}${cosignedAt === null ? '; no cosignature on this checkpoint' : `; cosigned this checkpoint ${describeSeconds(cosignedAt)}`}`)
  }
}

function reportOf(url: string, found: Inspection, files: readonly string[], code: number): string {
  const { report, from, problems, quorum, witnesses, map, learned } = found
  const { checkpoint, entries, dids, rejected } = report
  return JSON.stringify({
    url,
    log: checkpoint?.origin ?? null,
    size: checkpoint?.size ?? null,
    root: checkpoint === null ? null : base64.encode(checkpoint.root),
    from,
    checked: entries - from,
    identities: dids,
    quorum,
    witnesses,
    map: map === null ? null : mapFields(map),
    learned: learned.map(formatVerifierKey),
    rejected: rejected.map(({ index, did, cid, code, words }) => ({ index, did, cid, code, words })),
    problems,
    files,
    exitCode: code,
  })
}

function mapFields({ report: { checkpoint, from, versions, derived }, quorum, witnesses }: MapInspection): Record<string, unknown> {
  const root = checkpoint === null ? null : base64.encode(checkpoint.root)
  return { log: checkpoint?.origin ?? null, size: checkpoint?.size ?? null, root, from, checked: versions, derived, quorum, witnesses }
}
