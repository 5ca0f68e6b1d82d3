// `stele verify-evidence FILE`: what a file proves against a log, offline. spec/evidence.md#verification

import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { isAlarm, parseAlarm, partText, type Alarm } from '../core/alarm.ts'
import { base64, utf8Decode } from '../core/encoding/text.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { verdictOf } from '../core/errors.ts'
import { decodeEntry } from '../core/entry.ts'
import { describeContradiction, verifyEvidence, type Contradiction } from '../core/evidence.ts'
import { describeNoteKey, describeSignatures } from './describe-checkpoint.ts'
import { EXIT } from './exit.ts'
import { addSettings, collect } from './options.ts'
import { escapeLine, print, say } from './terminal.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'

/** The command. */
export function verifyEvidenceCommand(): Command {
  return addSettings(new Command('verify-evidence'), ['log-level'])
    .description('Check offline what a file proves against the log whose key you name: that it signed what contradicts itself, or breaks its rules.')
    .argument('<file>', 'evidence or an alarm, - for standard input')
    .requiredOption('--vkey <key or file>', `${VKEY_HELP}; those of witnesses have their cosignatures checked too`, collect)
    .addHelpText(
      'after',
      '\nExample:\n  $ stele verify-evidence fork.evidence --vkey log.vkey\n\n' +
        'Exit codes: 0 proved, 1 nothing is proved, 2 wrong command line, 3 the file is an alarm, which proves nothing.',
    )
    .action((file: string, options: { vkey: readonly string[] }) => {
      const keys = readVerifierKeys(options.vkey)
      const bytes = readFileSync(file === '-' ? 0 : file)
      if (isAlarm(bytes)) {
        tellAlarm(parseAlarm(utf8Decode(bytes)))
        process.exitCode = EXIT.remarks
      } else {
        tell(verifyEvidence(bytes, keys))
      }
    })
}

function tell(proved: Contradiction): void {
  const { evidence, origin, signers, checkpoints } = proved
  print(`proved     ${escapeLine(describeContradiction(proved))}`)
  print(`log        ${escapeLine(origin)}`)
  for (const key of signers) print(`signed     ${describeNoteKey(key)}`)
  for (const { checkpoint, note, verified } of checkpoints) {
    print(`checkpoint size ${checkpoint.size}, root ${base64.encode(checkpoint.root)}`)
    for (const line of describeSignatures(note, verified.filter(({ key }) => !signers.includes(key)), verified)) print(`           ${line}`)
  }
  if (evidence.kind === 'fork') print(`derived    size ${checkpoints[0]?.checkpoint.size ?? 0}, root ${base64.encode(evidence.root)}, in the larger tree`)
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
