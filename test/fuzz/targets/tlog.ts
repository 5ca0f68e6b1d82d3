// Fuzz targets of the log's text formats: notes, keys, checkpoints, policies, tlog-proofs, tiles, bundles.

import { createHash } from 'node:crypto'
import { decodeBundle, encodeBundle } from '../../../src/core/tlog/bundle.ts'
import { formatCheckpoint, parseCheckpoint, signCheckpoint, type Checkpoint } from '../../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../../src/core/tlog/cosignature.ts'
import {
  formatNote,
  formatSignatureLine,
  formatSigningKey,
  formatVerifierKey,
  KEY_TYPES,
  makeSigningKey,
  MAX_NOTE_SIGNATURES,
  parseNote,
  parseSignatureLine,
  parseSigningKey,
  parseVerifierKey,
  signText,
  type SigningKey,
} from '../../../src/core/tlog/note.ts'
import { meetsQuorum, openUnderPolicy, parsePolicy, type Policy } from '../../../src/core/tlog/policy.ts'
import { bundlePath, parseTilePath, tilePath } from '../../../src/core/tlog/tile.ts'
import { formatTlogProof, parseTlogProof } from '../../../src/core/tlog/tlog-proof.ts'
import { accepted, bytesOfAll, must, mustEqual, mustEqualBytes, type Target } from '../target.ts'
import { textOf } from '../tree.ts'

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const seed = (n: number): Uint8Array => new Uint8Array(32).fill(n)
const digest = (text: string): Uint8Array => new Uint8Array(createHash('sha256').update(text).digest())

const ORIGIN = 'log.example/é'
const LOG = makeSigningKey(ORIGIN, KEY_TYPES.ed25519, seed(1))
const LATTICE = makeSigningKey(ORIGIN, KEY_TYPES.mlDsa44, seed(2))
const OTHER = makeSigningKey('other.example', KEY_TYPES.ed25519, seed(3))
const ALICE = makeSigningKey('alice.example', KEY_TYPES.cosignature, seed(4))
const BOB = makeSigningKey('bob.example', KEY_TYPES.mlDsa44, seed(5))
const ALL_KEYS: readonly SigningKey[] = [LOG, LATTICE, OTHER, ALICE, BOB]

const CHECKPOINTS: readonly Checkpoint[] = [0, 1, 7, 70_000, Number.MAX_SAFE_INTEGER].map((size) => ({ origin: ORIGIN, size, root: digest(`root ${size}`) }))
const NOTES = CHECKPOINTS.flatMap((checkpoint, i) => {
  const text = formatCheckpoint(checkpoint)
  const alice = cosign(checkpoint, ALICE, 1_800_000_000 + i)
  const parts = (keys: readonly SigningKey[]) => parseNote(signCheckpoint(checkpoint, keys)).signatures
  const plain = formatNote({ text, signatures: [...parts([LOG]), alice] })
  // ML-DSA-44 is long and slow: one note with it is enough.
  return i === 2 ? [plain, formatNote({ text, signatures: [...parts([LOG, LATTICE]), alice, cosign(checkpoint, BOB, 1_800_000_000)] })] : [plain]
})
const SIGNED_TEXTS = new Set(CHECKPOINTS.map(formatCheckpoint))
const SIGNATURE_LINES = NOTES.flatMap((note) => parseNote(note).signatures).map(formatSignatureLine)

const POLICY_LINES = [
  `log ${formatVerifierKey(LOG)} https://log.example/`, `log ${formatVerifierKey(LATTICE)}`,
  `witness alice ${formatVerifierKey(ALICE)} https://alice.example/`, `witness bob\t${formatVerifierKey(BOB)}`,
]
const POLICIES = [
  `# a comment\n\n${POLICY_LINES.join('\n')}\ngroup both all alice bob\nquorum both\n`,
  `${POLICY_LINES.join('\n')}\ngroup one any bob\ngroup two 2 alice one\ngroup three 1 two\nquorum three`,
  `${POLICY_LINES[0]}\nquorum none\n`,
  `${POLICY_LINES[0]}\n${POLICY_LINES[2]}\nquorum alice\n`,
]
const NEARLY_POLICIES = [
  'group a all alice alice', 'group a all alice\ngroup b all alice', 'group a 0 alice', 'group a 2 alice', 'group a 01 alice',
  'group a all a', 'group alice all bob', 'group none any bob', POLICY_LINES[3], POLICY_LINES[0], 'quorum bob',
].map(
  (line) => `${POLICY_LINES.join('\n')}\n${line}\nquorum alice`,
)
const POLICY = parsePolicy(`${POLICY_LINES.join('\n')}\ngroup any any alice bob\nquorum any`)

const PROOFS = NOTES.slice(0, 4).map((checkpoint, i) =>
  formatTlogProof({
    extra: i === 0 ? null : new Uint8Array(i * 3 - 3), index: i * 10 ** i,
    proof: Array.from({ length: i * 18 }, (_, n) => digest(`hash ${n}`)), checkpoint,
  }),
)

const PATHS = [
  tilePath({ level: 0, index: 0, width: 256 }), tilePath({ level: 63, index: 1_234_067, width: 5 }),
  tilePath({ level: 7, index: Number.MAX_SAFE_INTEGER, width: 255 }), bundlePath(5, 256), bundlePath(999_999, 1),
]
const BUNDLES = [1, 2, 5, 256].map((count) => {
  const entries = Array.from({ length: count }, (_, i) => new Uint8Array(i % 7 === 0 ? 0 : i * (count === 256 ? 1 : 40)).fill(i))
  return Buffer.concat([Uint8Array.of(count - 1), encodeBundle(entries)])
})

const manySignatures = (keys: readonly SigningKey[]): string => {
  const text = formatCheckpoint({ origin: ORIGIN, size: 1, root: digest('many') })
  const lines = keys.map((key) => signText(text, key, key.type === KEY_TYPES.ed25519 ? null : 1_800_000_000))
  return formatNote({
    text,
    signatures: [signText(text, LOG), ...Array.from({ length: MAX_NOTE_SIGNATURES - 1 }, (_, i) => lines[i % lines.length] ?? signText(text, LOG))],
  })
}
SIGNED_TEXTS.add(formatCheckpoint({ origin: ORIGIN, size: 1, root: digest('many') }))

const widePolicy = (groups: number): string => {
  const witnesses = Array.from(
    { length: 256 }, (_, i) => `witness w${i} ${formatVerifierKey(makeSigningKey(`w${i}.example`, KEY_TYPES.cosignature, digest(`w ${i}`)))}`,
  )
  const chain = Array.from({ length: groups }, (_, i) => `group g${i} any ${i === 0 ? witnesses.map((_, w) => `w${w}`).join(' ') : `g${i - 1}`}`)
  return [...witnesses, ...chain, `quorum g${groups - 1}`].join('\n')
}

const WORDS = ['\u2014 ', '\n\n', ORIGIN, 'log.example', '+', ' ', 'PRIVATE+KEY+', '\n', 'cosignature/v1', '\u2028', '\u00a0']

export const TLOG_TARGETS: readonly Target[] = [
  {
    name: 'notes',
    form: 'text',
    seeds: bytesOfAll(NOTES),
    words: WORDS,
    hostile: bytesOfAll([
      '\n'.repeat(100_000), 'a\n'.repeat(60_000), `a\n\n${'\u2014 a AAAAAAAA\n'.repeat(9_000)}`,
      `a\n\n\u2014 ${'b'.repeat(100_000)} AAAAAAAA\n`, `${'a\n\n'.repeat(30_000)}\u2014 a AAAAAAAA\n`,
      `${'\u2014 a AAAAAAAA\n'.repeat(5_000)}\n\u2014 a AAAAAAAA\n`, ' '.repeat(120_000),
    ]),
    run: (input) => isCanonical(textOf(input), parseNote, formatNote),
  },
  {
    name: 'signature lines',
    form: 'text',
    seeds: bytesOfAll(SIGNATURE_LINES),
    words: WORDS,
    hostile: bytesOfAll([' '.repeat(100_000), `\u2014 ${'a'.repeat(100_000)} AAAA`, `\u2014 a ${'A'.repeat(100_000)}`]),
    run: (input) => isCanonical(textOf(input), parseSignatureLine, formatSignatureLine),
  },
  {
    name: 'checkpoints',
    form: 'text',
    seeds: bytesOfAll(SIGNED_TEXTS),
    words: WORDS,
    hostile: bytesOfAll(['\n'.repeat(100_000), `${'a'.repeat(255)}\n1\n${'A'.repeat(100_000)}`, `a\n${'1'.repeat(100_000)}\n`]),
    run(input) {
      const text = textOf(input)
      const lines = /^([^\n]+)\n(0|[1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n$/u.exec(text)
      const [, origin = '', size = '', root = ''] = lines ?? []
      const name = Buffer.from(origin)
      const fits = text.isWellFormed() && name.length <= 255 && name.every((byte) => byte >= 0x20)
      const valid = lines !== null && fits && BigInt(size) < 2n ** 53n && Buffer.from(root, 'base64').toString('base64') === root
      must(isCanonical(text, parseCheckpoint, formatCheckpoint) === valid, 'three lines in their one form are accepted, nothing else')
      return valid
    },
  },
  {
    name: 'verifier keys',
    form: 'text',
    seeds: bytesOfAll(ALL_KEYS.map(formatVerifierKey)),
    words: WORDS,
    hostile: bytesOfAll(['+'.repeat(100_000), `${'a'.repeat(100_000)}+00000000+AA==`, `a+00000000+${'A'.repeat(100_000)}`]),
    run(input) {
      const text = textOf(input)
      if (!isCanonical(text, parseVerifierKey, formatVerifierKey)) return false
      const { name, id, type, publicKey } = parseVerifierKey(text)
      mustEqual(
        id, createHash('sha256').update(`${name}\n`).update(Uint8Array.of(type)).update(publicKey).digest('hex').slice(0, 8),
        'the id is that of the key',
      )
      return true
    },
  },
  {
    name: 'signing keys',
    form: 'text',
    seeds: bytesOfAll([LOG, OTHER, ALICE].map(formatSigningKey)),
    words: WORDS,
    hostile: bytesOfAll([formatSigningKey(BOB), '+'.repeat(100_000), `PRIVATE+KEY+${'a'.repeat(100_000)}+00000000+AA==`]),
    run: (input) => isCanonical(textOf(input), parseSigningKey, formatSigningKey),
  },
  {
    name: 'cosigned checkpoints',
    form: 'text',
    seeds: bytesOfAll(NOTES),
    words: WORDS,
    maxMs: 1_500,
    hostile: bytesOfAll([manySignatures([LOG]), manySignatures([ALICE])]),
    run(input) {
      const text = textOf(input)
      const opened = accepted(() => openUnderPolicy(text, POLICY))
      if (opened === null) return false
      const { note, checkpoint, verified } = opened.value
      must(SIGNED_TEXTS.has(note.text), 'only what was signed is opened')
      mustEqual(formatCheckpoint(checkpoint), note.text, 'a checkpoint is what its note says')
      must(verified.every(({ key, signature }) => key.name === signature.name && key.id === signature.id), 'what verified is by its key')
      must(verified.some(({ key }) => key.name === ORIGIN) && verified.some(({ key }) => key.name !== ORIGIN), 'the log and a witness signed')
      return true
    },
  },
  {
    name: 'tlog-proofs',
    form: 'text',
    seeds: bytesOfAll(PROOFS),
    words: [...WORDS, 'extra ', 'index ', 'c2sp.org/tlog-proof@v1'],
    hostile: bytesOfAll([
      '\n'.repeat(100_000), `c2sp.org/tlog-proof@v1\n${'index 1\n'.repeat(14_000)}\n`,
      `c2sp.org/tlog-proof@v1\nextra ${'A'.repeat(110_000)}\nindex 0\n\n`,
    ]),
    run: (input) => isCanonical(textOf(input), parseTlogProof, formatTlogProof),
  },
  {
    name: 'policies',
    form: 'text',
    seeds: bytesOfAll(POLICIES),
    words: ['log ', 'witness ', 'group ', 'quorum ', 'none', 'any', 'all', '#', ' alice', ' bob', ' both', '\t', '2', ...POLICY_LINES],
    hostile: bytesOfAll([
      ...NEARLY_POLICIES, widePolicy(1), widePolicy(256), widePolicy(257), `group g all ${'a '.repeat(50_000)}`, '#\n'.repeat(50_000),
      ' '.repeat(100_000), 'quorum none\n'.repeat(9_000),
    ]),
    run(input) {
      const policy = accepted(() => parsePolicy(textOf(input)))
      if (policy === null) return false
      const text = formatPolicy(policy.value)
      mustEqual(parsePolicy(text), policy.value, 'a policy written again says the same')
      checkNames(policy.value)
      checkQuorum(policy.value, input.length)
      return true
    },
  },
  {
    name: 'tile paths',
    form: 'text',
    seeds: bytesOfAll(PATHS),
    words: ['tile/', 'entries/', 'x000/', 'x001/', '000', '.p/', '.p/256', '.p/0', '/', '64', '07'],
    hostile: bytesOfAll([`tile/0/${'x001/'.repeat(20_000)}000`, `tile/0/${'x000/'.repeat(20_000)}`, 'tile/'.repeat(20_000)]),
    run(input) {
      const text = textOf(input)
      const [, level = '', groups = '', width = '256'] = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/.exec(text) ?? []
      const index = groups.replaceAll(/[x/]/g, '')
      const valid =
        level !== '' && (level === 'entries' || Number(level) <= 63) &&
        !groups.startsWith('x000') && BigInt(index) < 2n ** 53n &&
        (Number(width) < 256 || !text.includes('.p/'))
      const ours = accepted(() => parseTilePath(text))
      must((ours !== null) === valid, 'the one way to write a tile is accepted, nothing else')
      if (ours === null) return false
      const path = ours.value
      mustEqual(path.kind === 'entries' ? bundlePath(path.index, path.width) : tilePath(path.tile), text, 'what is accepted is written the same')
      mustEqual(path.kind === 'entries' ? path.index : path.tile.index, Number(index), 'it is that tile')
      return true
    },
  },
  {
    name: 'bundles',
    form: 'bytes',
    seeds: BUNDLES,
    words: [],
    hostile: [new Uint8Array(120_000), new Uint8Array(120_000).fill(255), new Uint8Array(0)],
    run(input) {
      const count = (input[0] ?? 0) + 1
      const bytes = input.subarray(1)
      const entries = accepted(() => decodeBundle(bytes, count))
      if (entries === null) return false
      must(entries.value.length === count, 'a bundle has as many entries as were asked for')
      mustEqualBytes(encodeBundle(entries.value), bytes, 'what is accepted encodes to the same bytes')
      return true
    },
  },
]

/** Whether a text is accepted; then it is written the same again. */
function isCanonical<T>(text: string, parse: (text: string) => T, format: (value: T) => string): boolean {
  const parsed = accepted(() => parse(text))
  if (parsed === null) return false
  must(format(parsed.value) === text, 'what is accepted is written the same')
  return true
}

function formatPolicy({ logs, witnesses, groups, quorum }: Policy): string {
  const url = (item: { readonly url: string | null }): string => (item.url === null ? '' : ` ${item.url}`)
  return [
    ...logs.map((log) => `log ${log.vkey}${url(log)}`),
    ...witnesses.map((witness) => `witness ${witness.name} ${witness.vkey}${url(witness)}`),
    ...groups.map((group) => `group ${group.name} ${group.threshold} ${group.members.join(' ')}`),
    `quorum ${quorum ?? 'none'}`,
  ].join('\n')
}

function checkNames({ logs, witnesses, groups, quorum }: Policy): void {
  const defined = [...witnesses, ...groups].map((item) => item.name)
  const members = groups.flatMap((group) => group.members)
  must(new Set(defined).size === defined.length && !defined.includes('none'), 'a name is defined once')
  must(new Set(members).size === members.length && members.every((name) => defined.includes(name)), 'a member belongs to one group')
  must(groups.every((group) => group.threshold >= 1 && group.threshold <= group.members.length), 'a threshold can be met')
  must(quorum === null || defined.includes(quorum), 'the quorum is defined')
  for (const list of [logs, witnesses]) must(new Set(list.map((item) => hexOf(item.key.publicKey))).size === list.length, 'a key is listed once')
}

// The quorum by its definition, from the top down, for a choice of witnesses that `salt` makes.
function checkQuorum(policy: Policy, salt: number): void {
  const signed = policy.witnesses.filter((_, i) => Math.floor(salt / 2 ** (i % 8)) % 2 === 1)
  const hasSeen = (name: string): boolean => {
    const group = policy.groups.find((group) => group.name === name)
    if (group === undefined) return signed.some((witness) => witness.name === name)
    return group.members.filter(hasSeen).length >= group.threshold
  }
  const verified = signed.map(({ key }) => ({ key, timestamp: 1, signature: { name: key.name, id: key.id, signature: new Uint8Array(1) } }))
  mustEqual(meetsQuorum(policy, verified), policy.quorum === null || hasSeen(policy.quorum), 'a quorum is met where its definition says so')
}
