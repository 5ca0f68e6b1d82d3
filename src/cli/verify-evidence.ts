// `stele verify-evidence FILE`: what a file proves against a log, offline; of a wrong map, with a replay of the log. spec/evidence.md#verification

import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { checkTree } from '../client/check-tree.ts'
import { DerivedMap } from '../client/derive-map.ts'
import { httpTileReader } from '../client/tile-reader.ts'
import { readHttpUrl } from '../config.ts'
import { isAlarm, parseAlarm, partText, type Alarm } from '../core/alarm.ts'
import { base64, bytesEqual, utf8Decode } from '../core/encoding/text.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { DirectoryError, verdictOf } from '../core/errors.ts'
import { decodeEntry } from '../core/entry.ts'
import { describeContradiction, verifyEvidence, type Contradiction } from '../core/evidence.ts'
import type { MapLeaf } from '../core/map/map-leaf.ts'
import { nativeSha256 } from '../crypto/sha256.ts'
import { describeNoteKey, describeSignatures } from './describe-checkpoint.ts'
import { EXIT, RefusedError } from './exit.ts'
import { openVerifier } from './fast-verifier.ts'
import { onInterrupt } from './interrupt.ts'
import { addSettings, collect } from './options.ts'
import { startProgress } from './progress.ts'
import { escapeLine, print, say } from './terminal.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'

/** The command. */
export function verifyEvidenceCommand(): Command {
  return addSettings(new Command('verify-evidence'), ['log-level'])
    .description('Check offline what a file proves against the log whose key you name: that it signed what contradicts itself, or breaks its rules, or a map that is not its own.')
    .argument('<file>', 'evidence or an alarm, - for standard input')
    .requiredOption('--vkey <key or file>', `${VKEY_HELP}; of a wrong map, that of the map too; those of witnesses have their cosignatures checked too`, collect)
    .option('--replay <url>', 'a directory or mirror of the log: where only a replay shows that a map is wrong, read the log from there, check every entry, and derive the map')
    .addHelpText(
      'after',
      '\nExample:\n  $ stele verify-evidence fork.evidence --vkey log.vkey\n  $ stele verify-evidence wrong-map-root-7.evidence --vkey log.vkey --vkey map.vkey --replay https://mirror.example\n\n' +
        'Exit codes: 0 proved, 1 nothing is proved, 2 wrong command line, 3 the file is an alarm, which proves nothing, or proves something only with --replay.',
    )
    .action(async (file: string, options: { vkey: readonly string[]; replay?: string }) => {
      const url = options.replay === undefined ? null : readHttpUrl('--replay', options.replay)
      const keys = readVerifierKeys(options.vkey)
      const bytes = readFileSync(file === '-' ? 0 : file)
      if (isAlarm(bytes)) {
        tellAlarm(parseAlarm(utf8Decode(bytes)))
        process.exitCode = EXIT.remarks
        return
      }
      const found = verifyEvidence(bytes, keys)
      const { replay } = found
      if (replay === null) tell(found, 'proved    ', describeContradiction(found))
      else if (url === null) {
        say('nothing is proved by this file alone: give --replay URL, a directory or mirror of the log, to derive the map from its entries')
        tell(found, 'claimed   ', describeContradiction(found))
        process.exitCode = EXIT.remarks
      } else {
        const root = await rootByReplay(url, replay)
        if (bytesEqual(root, replay.mapRoot)) throw new DirectoryError('NO_CONTRADICTION', `the first ${replay.size} entries of the log lead to the map that was signed`)
        tell(found, 'proved    ', `${found.origin} signed another map of ${replay.size} entries than the log leads to`)
        print(`signed map ${base64.encode(replay.mapRoot)}`)
        print(`the log's  ${base64.encode(root)}`)
      }
    })
}

// The root of the map of the entries that a leaf names: read, checked and replayed. That they are the log's follows from their root.
async function rootByReplay(url: string, { size, root }: MapLeaf): Promise<Uint8Array> {
  using interrupt = onInterrupt()
  await using verifier = await openVerifier()
  using progress = startProgress('replaying', 'entries', size)
  const map = new DerivedMap(nativeSha256)
  const { problems } = await checkTree(httpTileReader(url, { signal: interrupt.signal, attempts: 3 }), size, {
    known: [{ size, root, where: 'the tree that the leaf names' }],
    verifyAnswers: (questions) => verifier.answer(questions),
    onReplayed: (replayed) => map.add(replayed),
    onProgress: (done) => progress.update(done, size),
    signal: interrupt.signal,
  })
  const [first] = problems
  if (first !== undefined) throw new RefusedError(`${url} does not serve the first ${size} entries of the log as they were signed, so that nothing can be said of its map: ${first.where}: ${first.words}`)
  return map.root()
}

function tell(proved: Contradiction, what: string, words: string): void {
  const { evidence, origin, signers, checkpoints } = proved
  print(`${what} ${escapeLine(words)}`)
  print(`log        ${escapeLine(origin)}`)
  for (const key of signers) print(`signed     ${describeNoteKey(key)}`)
  for (const { checkpoint, note, verified } of checkpoints) {
    print(`checkpoint size ${checkpoint.size}, root ${base64.encode(checkpoint.root)}`)
    for (const line of describeSignatures(note, verified.filter(({ key }) => !signers.includes(key)), verified)) print(`           ${line}`)
  }
  if (evidence.kind === 'fork') print(`derived    size ${checkpoints[0]?.checkpoint.size ?? 0}, root ${base64.encode(evidence.root)}, in the larger tree`)
  if (evidence.kind === 'wrong-map') {
    for (const { index, entry } of evidence.leaves) {
      const text = verdictOf(() => utf8Decode(entry)).value ?? base64.encode(entry)
      for (const [i, line] of text.trimEnd().split('\n').entries()) print(`${(i === 0 ? `leaf ${index}` : '').padEnd(10)} ${escapeLine(line)}`)
    }
  }
  if (evidence.kind !== 'broken-rule') return
  print(`rule       ${evidence.rule}: ${proved.verdict?.code ?? ''}`)
  for (const { index, entry } of evidence.leaves) {
    const { value } = verdictOf(() => decodeEntry(entry))
    const words = value === null ? `${entry.length} bytes that are no entry` : `${value.did}, ${value.operation.cid}, ${formatTimestamp(value.createdAt)}${value.source === null ? '' : ` by ${value.source}`}`
    print(`entry      ${index}: ${escapeLine(words)}`)
  }
}

function tellAlarm(alarm: Alarm): void {
  say('this file is an alarm, not proof: it records what somebody says was seen, and convinces nobody who does not believe them')
  print(`alarm      ${escapeLine(alarm.words)}`)
  print(`log        ${escapeLine(alarm.origin)}`)
  print(`seen       ${formatTimestamp(alarm.time)}`)
  for (const part of alarm.parts) {
    print(`--- ${part.name}, ${part.bytes.length} bytes`)
    const lines = partText(part)?.split('\n') ?? [base64.encode(part.bytes)]
    for (const line of lines) print(escapeLine(line))
  }
}
