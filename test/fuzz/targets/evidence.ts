// Fuzz targets of what is said against a log: evidence, which proves or does not, and alarms, which never do; and of what a log says of its keys.

import { readdirSync, readFileSync } from 'node:fs'
import { alarmPart, formatAlarm, isAlarm, parseAlarm } from '../../../src/core/alarm.ts'
import { utf8Encode } from '../../../src/core/encoding/text.ts'
import { EVIDENCE_MAGIC, formatEvidence, parseEvidence, proveEvidence } from '../../../src/core/evidence.ts'
import { openKeyStatement, signKeyStatement } from '../../../src/core/tlog/key-statement.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, parseVerifierKey } from '../../../src/core/tlog/note.ts'
import { accepted, bytesOfAll, must, mustEqual, type Target } from '../target.ts'
import { textOf } from '../tree.ts'

const FOLDER = new URL('../../../spec/vectors/evidence/', import.meta.url)
const read = (name: string): string => readFileSync(new URL(name, FOLDER), 'utf8')
const KEY = parseVerifierKey(read('log.vkey').trim())
const VALID = ['valid/', 'map/'].flatMap((folder) => readdirSync(new URL(folder, FOLDER)).map((name) => read(`${folder}${name}`)))
const MAP_KEY = parseVerifierKey(read('map.vkey').trim())
// What a signature covers is the checkpoint's text alone, so what else stands in a file may change without it; longer files take longer to check.
const SHORT = VALID.filter((text) => text.length < 6_000)

const ALARM = { origin: 'fuzz.test/é', time: 1_800_000_000_000, words: 'it answered 409', parts: [alarmPart('request', 'old 3\n'), alarmPart('response', Uint8Array.of(0, 255)), alarmPart('response', '')] }
const ALARMS = [formatAlarm(ALARM), formatAlarm({ ...ALARM, parts: [] }), read('seen.alarm')]

const [ONE, TWO, THREE] = [1, 2, 3].map((n) => makeSigningKey('fuzz.test/é', KEY_TYPES.ed25519, new Uint8Array(32).fill(n)))
must(ONE !== undefined && TWO !== undefined && THREE !== undefined, 'there are three keys')
const STATEMENTS = [
  signKeyStatement({ origin: ONE.name, signing: [ONE], retired: [] }, [ONE]),
  signKeyStatement({ origin: ONE.name, signing: [ONE, TWO], retired: [THREE] }, [ONE, TWO, THREE]),
]

export const EVIDENCE_TARGETS: readonly Target[] = [
  {
    name: 'evidence',
    form: 'text',
    seeds: bytesOfAll(SHORT),
    words: ['two-roots', 'fork', 'root ', 'entry ', 'operation ', 'broken-rule ', 'wrong-map ', 'leaf ', 'tree', 'order', 'time', 'place', 'twice', '\n\n', '\n', `${'A'.repeat(43)}=\n`, '\u2014 ', EVIDENCE_MAGIC],
    hostile: bytesOfAll([
      `${EVIDENCE_MAGIC}\n${'\n'.repeat(1_000_000)}`, `${EVIDENCE_MAGIC}\nfork\nroot ${'A'.repeat(1_000_000)}`, `${EVIDENCE_MAGIC}\nfork\n${'A\n'.repeat(500_000)}\n\n\n\n`,
      `${EVIDENCE_MAGIC}\nbroken-rule time\n${'entry 0 AA==\n'.repeat(80_000)}\n\n\n`, `${EVIDENCE_MAGIC}\nbroken-rule nullified\n${'operation oA==\n'.repeat(60_000)}\n\n\n`,
    ]),
    run(input) {
      const text = textOf(input)
      const evidence = accepted(() => parseEvidence(text))
      if (evidence === null) return false
      mustEqual(formatEvidence(evidence.value), text, 'evidence has one form')
      const proved = accepted(() => proveEvidence(evidence.value, [KEY, MAP_KEY]))
      if (proved === null) return true
      const { signers, origin, checkpoints } = proved.value
      const key = evidence.value.kind === 'wrong-map' || origin === MAP_KEY.name ? MAP_KEY : KEY
      mustEqual([signers, origin], [[key], key.name], 'what is proved is about the log whose key signed it')
      const texts = SHORT.flatMap((seed) => parseEvidence(seed).checkpoints.map((note) => note.slice(0, note.indexOf('\n\n'))))
      must(checkpoints.every(({ note }) => texts.includes(note.text.slice(0, -1))), 'nothing is proved by what the log has not signed')
      return true
    },
  },
  {
    name: 'an alarm',
    form: 'text',
    seeds: bytesOfAll(ALARMS),
    words: ['part ', 'log ', 'time ', 'words ', '\n', 'request', 'AA==', '2027-01-15T08:00:00.000Z'],
    hostile: bytesOfAll([`stele alarm v1\n${'\n'.repeat(1_000_000)}`, formatAlarm(ALARM) + 'part a AA==\n'.repeat(100_000), `stele alarm v1\nx\nlog ${'a'.repeat(2_000_000)}\n`]),
    run(input) {
      const text = textOf(input)
      const alarm = accepted(() => parseAlarm(text))
      if (alarm === null) return false
      mustEqual(formatAlarm(alarm.value), text, 'an alarm has one form')
      must(isAlarm(utf8Encode(text)), 'it begins like one')
      must(accepted(() => parseEvidence(text)) === null, 'an alarm is no evidence')
      return true
    },
  },
  {
    name: 'what a log says of its keys',
    form: 'text',
    seeds: bytesOfAll(STATEMENTS),
    words: ['signs ', 'retired ', '\n\n', '\n', 'stele keys v1', formatVerifierKey(ONE), formatVerifierKey(TWO), '\u2014 '],
    hostile: bytesOfAll([`stele keys v1\n${'\n'.repeat(250_000)}`, `stele keys v1\na\n${`signs ${formatVerifierKey(ONE)}\n`.repeat(4_000)}\n\u2014 a AAAAAAAA\n`]),
    run(input) {
      const text = textOf(input)
      const said = accepted(() => openKeyStatement(text, [ONE]))
      if (said === null) return false
      const body = text.slice(0, text.lastIndexOf('\n\n') + 1)
      must(STATEMENTS.some((seed) => seed.startsWith(`${body}\n`)), 'nothing is believed but what a known key has signed')
      const again = signKeyStatement(said.value, [ONE])
      mustEqual(again.slice(0, again.lastIndexOf('\n\n') + 1), body, 'a statement has one form')
      return true
    },
  },
]
