// Two readings of one specification: what the project writes, a verifier that shares no code with it accepts, and
// nothing else.

import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeCbor, type CborValue } from '../../src/core/encoding/dag-cbor.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { base58btc, base32, base64url, hex, utf8Encode } from '../../src/core/encoding/text.ts'
import { formatTimestamp } from '../../src/core/encoding/timestamp.ts'
import { decodeEntry, encodeEntry } from '../../src/core/entry.ts'
import { verdictOf } from '../../src/core/errors.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { operationValue, type Operation } from '../../src/core/plc/operation.ts'
import { signOperation } from '../../src/core/plc/signature.ts'
import { encodeBundle } from '../../src/core/tlog/bundle.ts'
import { formatReceipt, verifyReceiptUnderPolicy as verifyReceiptOfOurs } from '../../src/core/receipt.ts'
import { openCheckpoint, signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { formatNote, formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote, signText } from '../../src/core/tlog/note.ts'
import { parsePolicy } from '../../src/core/tlog/policy.ts'
import type { Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { ask, openCounter, type TestCounter } from '../support/counter.ts'
import { createValue, identityData, makeIdentity, makeTombstone, makeUpdate, testKey } from '../support/identities.ts'
import { naiveRoot } from '../support/naive-tree.ts'
import { LOG_KEY, storedLog } from '../support/stored-log.ts'
import { verifyEvidence, verifyLog, verifyReceipt, verifyReceiptUnderPolicy, type Read } from './independent-verifier.ts'

type Files = ReadonlyMap<string, Uint8Array>

const SECOND = 1_000
const HOUR = 60 * 60 * SECOND
const HISTORY_MS = Date.UTC(2022, 10, 17)
const OPENED_MS = Date.UTC(2026, 0, 2)
const SOURCE = 'https://history.test'
const VKEY = formatVerifierKey(LOG_KEY)

// Orders of the curves, SEC 2.
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
const K256_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

describe('a log as it is served', () => {
  let store: Store
  let counter: TestCounter
  let files: Files

  beforeAll(async () => {
    store = await storedLog(story())
    counter = await serve(store)
    const asked = new Map<string, Uint8Array>()
    await verifyLog(async (path) => {
      const bytes = await readFrom(counter.url)(path)
      if (bytes !== null) asked.set(path, bytes)
      return bytes
    }, VKEY)
    files = asked
  })

  afterAll(() => counter[Symbol.asyncDispose]())

  it('is accepted, and says what the store holds', async () => {
    const rows = await store.entries(0, 10_000)
    expect(rows.filter((row) => row.rejected !== null)).toEqual([])
    expect(rows.filter((row) => row.nullified)).not.toEqual([])
    const head = await store.head()
    expect(await verifyLog(readFrom(counter.url), VKEY)).toEqual({
      size: rows.length,
      root: Buffer.from(head?.root ?? []).toString('base64'),
      entries: rows.map(({ did, createdAt, cid, entry }) => ({ did, createdAt: formatTimestamp(createdAt), source: decodeEntry(entry).source, cid })),
    })
  })

  it('has tiles of two levels, full and partial', () => {
    expect([...files.keys()].sort()).toEqual([
      'checkpoint',
      'tile/0/000',
      'tile/0/001',
      'tile/0/002.p/28',
      'tile/1/000.p/2',
      'tile/entries/000',
      'tile/entries/001',
      'tile/entries/002.p/28',
    ])
  })

  it('is accepted at every size around a full tile', async () => {
    const leaves = story()
    for (const size of [0, 1, 2, 255, 256, 257, 511, 512, 513]) {
      await using served = await serve(await storedLog(leaves.slice(0, size)))
      expect(await verifyLog(readFrom(served.url), VKEY)).toMatchObject({ size })
    }
  })

  it('is accepted where a partial tile and a partial bundle are gone and the full ones are there', async () => {
    const leaves = story()
    const older = new Map([...files, ['checkpoint', signed(300, naiveRoot(leaves.slice(0, 300).map(leafHash)))]])
    older.set('tile/1/000.p/1', file(files, 'tile/1/000.p/2').subarray(0, 32))
    expect(await verifyLog(readOf(older), VKEY)).toMatchObject({ size: 300 })
    for (const path of ['tile/0/001', 'tile/entries/001']) {
      expect(await refusal(change(older, path, (bytes) => bytes.subarray(0, -1)))).toContain(path)
      expect(await refusal(change(older, path, (bytes) => Buffer.concat([bytes, Buffer.from([0])])))).toContain(path)
    }
  })

  it('is refused with any bit of its checkpoint flipped', async () => {
    const checkpoint = file(files, 'checkpoint')
    for (let bit = 0; bit < 8; bit++) await expectFlipsRefused(files, 'checkpoint', range(0, checkpoint.length), bit)
  })

  it('is refused with a bit of any byte of its partial tiles flipped', async () => {
    for (const path of ['tile/0/002.p/28', 'tile/1/000.p/2']) await expectFlipsRefused(files, path, range(0, file(files, path).length))
  })

  it('is refused with a bit flipped anywhere in its full tiles', async () => {
    for (const path of ['tile/0/000', 'tile/0/001']) await expectFlipsRefused(files, path, [0, 1, 31, 32, 8_190, 8_191, ...range(40, 8_190, 83)])
  })

  it('is refused with a bit flipped anywhere in its bundles', async () => {
    for (const path of ['tile/entries/000', 'tile/entries/001', 'tile/entries/002.p/28']) {
      const { length } = file(files, path)
      await expectFlipsRefused(files, path, [0, 1, 2, length - 1, ...range(3, length - 1, Math.floor(length / 140))])
    }
  })

  it('is refused with a bit flipped in any byte of an entry, its length included', async () => {
    const bundle = file(files, 'tile/entries/001')
    const length = Buffer.from(bundle).readUInt16BE(0)
    await expectFlipsRefused(files, 'tile/entries/001', range(0, 2 + length))
  })

  it('is refused with a file that is cut, longer, empty or missing', async () => {
    for (const [path, bytes] of files) {
      for (const cut of [0, 1, 2, Math.floor(bytes.length / 2), bytes.length - 32, bytes.length - 1]) {
        expect(await refusal(change(files, path, () => bytes.subarray(0, cut))), `${path} cut to ${cut}`).not.toBeNull()
      }
      for (const more of ['\n', '\0', '\0\0', 'x'.repeat(32)]) {
        expect(await refusal(change(files, path, () => Buffer.concat([bytes, Buffer.from(more)]))), `${path} and ${JSON.stringify(more)}`).not.toBeNull()
      }
      expect(await refusal(new Map([...files].filter(([other]) => other !== path))), `no ${path}`).toMatch(/missing|there is no checkpoint/)
    }
  })

  it('is refused with entries or files in one another\'s place', async () => {
    const entries = split(file(files, 'tile/entries/000'))
    const [first, second, ...rest] = entries
    if (first === undefined || second === undefined) throw new Error('a bundle has entries')
    expect(await refusal(change(files, 'tile/entries/000', () => encodeBundle([second, first, ...rest])))).toContain('do not have the root')
    expect(await refusal(change(files, 'tile/entries/000', () => encodeBundle([first, first, ...rest])))).toContain('do not have the root')
    expect(await refusal(change(files, 'tile/entries/000', () => encodeBundle([second, ...rest])))).toContain('fewer than 256')
    expect(await refusal(change(files, 'tile/entries/000', (bytes) => Buffer.concat([bytes, encodeBundle([first])])))).toContain('goes on')
    for (const [a, b] of [['tile/0/000', 'tile/0/001'], ['tile/entries/000', 'tile/entries/001'], ['tile/0/002.p/28', 'tile/1/000.p/2']] as const) {
      expect(await refusal(new Map([...files, [a, file(files, b)], [b, file(files, a)]])), `${a} and ${b}`).not.toBeNull()
    }
  })

  it('is refused under a checkpoint that its key signed over something else', async () => {
    const { size, root } = await headOf(store)
    const wrong = Buffer.from(root)
    wrong[31] = (wrong[31] ?? 0) ^ 1
    const under = (checkpoint: Uint8Array) => refusal(new Map([...files, ['checkpoint', checkpoint]]))
    expect(await under(signed(size, root))).toBeNull()
    expect(await under(signed(size, wrong))).toContain('do not have the root')
    expect(await under(signed(size - 1, root))).toContain('missing')
    expect(await under(signed(size + 1, root))).toContain('missing')
    expect(await under(signed(512, root))).toContain('do not have the root')
    expect(await under(signed(0, root))).toContain('do not have the root')
  })

  it('is refused under a checkpoint by another key', async () => {
    const { size, root } = await headOf(store)
    const other = makeSigningKey(LOG_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(10))
    const elsewhere = makeSigningKey('other.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(9))
    const byOther = signed(size, root, other)
    expect(await refusal(new Map([...files, ['checkpoint', byOther]]))).toContain('not signed by')
    expect(await refusal(files, formatVerifierKey(other))).toContain('not signed by')
    expect(await refusal(new Map([...files, ['checkpoint', signed(size, root, elsewhere)]]))).toContain('not signed by')
    expect(await refusal(files, formatVerifierKey(elsewhere))).toContain('not signed by')

    // A line by an unknown key says nothing, a bad one by the known key condemns.
    const good = text(file(files, 'checkpoint'))
    const line = (note: Uint8Array) => text(note).split('\n\n')[1] ?? ''
    expect(await refusal(new Map([...files, ['checkpoint', utf8Encode(good + line(byOther))]]))).toBeNull()
    expect(await refusal(new Map([...files, ['checkpoint', utf8Encode(good + line(signed(size + 1, root)))]]))).toContain('does not verify')
  })

  it('gives receipts that are accepted, and refused with a bit of any byte flipped', async () => {
    const rows = await store.entries(0, 10_000)
    const nullified = rows.find((row) => row.nullified)
    for (const row of [rows[0], rows[255], nullified, rows.at(-1)]) {
      if (row === undefined) throw new Error('there is such an entry')
      const reply = await counter.ask(`/${row.did}/log/${row.cid}/proof`)
      const { operation, source } = decodeEntry(row.entry)
      const json = renderJson(operation.value)
      const said = { did: row.did, createdAt: formatTimestamp(row.createdAt), source, cid: row.cid, index: row.index }
      expect(verifyReceipt(reply.text, json, VKEY)).toMatchObject(said)
      expect(flipped(reply.body, (receipt) => verifyReceipt(text(receipt), json, VKEY))).toEqual([])
      expect(flipped(utf8Encode(json), (operation) => verifyReceipt(reply.text, text(operation), VKEY))).toEqual([])
      expect(() => verifyReceipt(reply.text.replace(/^extra .*\n/m, ''), json, VKEY)).toThrow('no line "extra"')
    }
  })
})

describe('a receipt under a policy', () => {
  const { did, genesis } = makeIdentity([0])
  const entry = { did, createdAt: OPENED_MS, operation: genesis, source: null }
  const root = leafHash(encodeEntry(entry))
  const lattice = makeSigningKey(LOG_KEY.name, KEY_TYPES.mlDsa44, new Uint8Array(32).fill(20))
  const successor = makeSigningKey(LOG_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(29))
  const bothKeys = (other: typeof lattice): string => `${VKEY}\nlog ${formatVerifierKey(other)}`
  const cosigners = [KEY_TYPES.cosignature, KEY_TYPES.mlDsa44, KEY_TYPES.cosignature].map((type, i) => makeSigningKey(`cosigner-${i}.test`, type, new Uint8Array(32).fill(21 + i)))
  const checkpoint = { origin: LOG_KEY.name, size: 1, root }
  const json = renderJson(genesis.value)

  function receiptBy(names: readonly number[], logKeys = [LOG_KEY]): string {
    const { text, signatures } = parseNote(signCheckpoint(checkpoint, logKeys))
    const cosignatures = names.flatMap((i) => cosigners.slice(i, i + 1)).map((key) => cosign(checkpoint, key, 1_800_000_000 + names.length))
    return formatReceipt(entry, 0, [], formatNote({ text, signatures: [...signatures, ...cosignatures] }))
  }

  function policy(quorum: string, log = VKEY): string {
    const witnesses = cosigners.map((key, i) => `witness w${i} ${formatVerifierKey(key)} https://w${i}.test/\n`).join('')
    return `# who must have seen it\nlog ${log}\n${witnesses}group two 2 w0 w1 w2\nquorum ${quorum}\n`
  }

  it.each<[sentence: string, receipt: string, policy: string, witnesses: string[] | null]>([
    ['two of three', receiptBy([0, 1]), policy('two'), ['w0', 'w1']],
    ['all three', receiptBy([2, 1, 0]), policy('two'), ['w0', 'w1', 'w2']],
    ['one of three', receiptBy([1]), policy('two'), null],
    ['one twice', receiptBy([1, 1]), policy('two'), null],
    ['none, where none is asked for', receiptBy([]), policy('none'), []],
    ['the one that is asked for, by ML-DSA-44', receiptBy([1]), policy('w1'), ['w1']],
    ['another than is asked for', receiptBy([0, 2]), policy('w1'), null],
    ['two of three, of a log with two keys', receiptBy([0, 1], [LOG_KEY, lattice]), policy('two'), ['w0', 'w1']],
    ['two of three, of a log by its other key', receiptBy([0, 1], [lattice]), policy('two', formatVerifierKey(lattice)), ['w0', 'w1']],
    ['two of three, of a log with two keys that are both named', receiptBy([0, 1], [LOG_KEY, lattice]), policy('two', bothKeys(lattice)), ['w0', 'w1']],
    ['two of three, by ML-DSA-44 alone, where Ed25519 is named too', receiptBy([0, 1], [lattice]), policy('two', bothKeys(lattice)), null],
    ['two of three, while the key changes', receiptBy([0, 1], [LOG_KEY, successor]), policy('two', bothKeys(successor)), ['w0', 'w1']],
    ['two of three, while the key changes, for who knows the new one alone', receiptBy([0, 1], [LOG_KEY, successor]), policy('two', formatVerifierKey(successor)), ['w0', 'w1']],
    ['two of three, from before the key changed', receiptBy([0, 1]), policy('two', bothKeys(successor)), ['w0', 'w1']],
    ['two of three, from after it, for who knows the old one alone', receiptBy([0, 1], [successor]), policy('two'), null],
    ['two of three, of another log', receiptBy([0, 1]), policy('two', formatVerifierKey(makeSigningKey('other.test', KEY_TYPES.ed25519, new Uint8Array(32).fill(30)))), null],
  ])('is judged alike by both: %s', (_sentence, receipt, policy, witnesses) => {
    const ours = verdictOf(() => verifyReceiptOfOurs(receipt, genesis, parsePolicy(policy)))
    expect(ours.verdict === null).toBe(witnesses !== null)
    if (witnesses === null) expect(() => verifyReceiptUnderPolicy(receipt, json, policy)).toThrow(/quorum|not signed|no log of the policy/)
    else expect(verifyReceiptUnderPolicy(receipt, json, policy)).toMatchObject({ did, index: 0, size: 1, witnesses })
  })

  it('is refused with a bit of any byte flipped, where no cosignature is more than the quorum needs', () => {
    const receipt = receiptBy([0, 2])
    const under = policy('two')
    expect(flipped(utf8Encode(receipt), (bytes) => verifyReceiptUnderPolicy(text(bytes), json, under))).toEqual([])
  })
})

describe('evidence', () => {
  const folder = new URL('../../spec/vectors/evidence/', import.meta.url)
  const read = (name: string) => readFileSync(new URL(name, folder), 'utf8')
  const vkey = read('log.vkey').trim()
  const forks = ['two-roots', 'fork']

  it.each(forks)('is accepted: %s', (name) => {
    expect(verifyEvidence(read(`valid/${name}.evidence`), vkey)).toMatchObject({ kind: name, origin: 'vectors.example/log' })
  })

  it.each(forks)('is refused with a bit of any byte flipped, or under another key: %s', (name) => {
    expect(flipped(utf8Encode(read(`valid/${name}.evidence`)), (bytes) => verifyEvidence(text(bytes), vkey))).toEqual([])
    expect(() => verifyEvidence(read(`valid/${name}.evidence`), VKEY)).toThrow('not signed by')
  })

  it('is refused where it proves nothing', () => {
    for (const name of Object.keys(JSON.parse(read('refused.json')) as object)) expect(() => verifyEvidence(read(`invalid/${name}.evidence`), vkey), name).toThrow()
    expect(() => verifyEvidence(read('seen.alarm'), vkey)).toThrow()
  })
})

describe('the worked receipt of the specification', () => {
  const page = readFileSync(new URL('../../spec/log.md', import.meta.url), 'utf8')
  const receipt = `${blockAfter(page, 'Its receipt:')}\n`
  const operation = blockAfter(page, 'in a log of these two entries.')
  const vkey = /^log\.example\+\S+$/m.exec(page)?.[0] ?? ''

  it('is accepted', () => {
    expect(verifyReceipt(receipt, operation, vkey)).toMatchObject({ did: 'did:plc:lnyq75vfjevj3bsafve44gsa', createdAt: '2027-01-15T08:01:00.000Z', index: 1, size: 2 })
  })

  it('is refused with a bit of any byte of it, of the operation or of the key flipped', () => {
    expect(flipped(utf8Encode(receipt), (bytes) => verifyReceipt(text(bytes), operation, vkey))).toEqual([])
    expect(flipped(utf8Encode(operation), (bytes) => verifyReceipt(receipt, text(bytes), vkey))).toEqual([])
    expect(flipped(utf8Encode(vkey), (bytes) => verifyReceipt(receipt, operation, text(bytes)))).toEqual([])
  })
})

describe('a public key', () => {
  const [name, , key = ''] = VKEY.split('+')

  function withPoint(point: Uint8Array): string {
    const bytes = Buffer.concat([Buffer.from([1]), point])
    return `${name}+${hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), bytes])).slice(0, 8)}+${bytes.toString('base64')}`
  }

  it('is refused of small order, in another encoding, of another type or with another id', async () => {
    const little = (value: bigint) => Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse()
    const prime = 2n ** 255n - 19n
    // The y of the points of order 8, from "Taming the many EdDSAs", table 1.
    const eight = ['26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a']
    const small = [little(0n), little(1n), little(prime - 1n), little(1n + 2n ** 255n), ...eight.map((point) => Buffer.from(point, 'hex'))]
    for (const point of small) expect(await refusal(new Map([['checkpoint', signed(0, naiveRoot([]))]]), withPoint(point))).toContain('small order')
    for (const y of [prime, prime + 1n, 2n ** 255n - 1n]) {
      expect(await refusal(new Map([['checkpoint', signed(0, naiveRoot([]))]]), withPoint(little(y)))).toContain('not canonical')
    }
    const empty = new Map([['checkpoint', signed(0, naiveRoot([]))]])
    expect(await refusal(empty, withPoint(Buffer.from(key, 'base64').subarray(1)))).toBeNull()
    expect(await refusal(empty, formatVerifierKey(makeSigningKey(LOG_KEY.name, KEY_TYPES.cosignature, new Uint8Array(32).fill(9))))).toContain('not an Ed25519 key')
    expect(await refusal(empty, VKEY.replace(/\+[0-9a-f]{8}\+/, '+00000000+'))).toContain('id of the key')
    expect(await refusal(empty, VKEY.replace(/\+[0-9a-f]{8}\+/, (id) => id.toUpperCase()))).toContain('id of the key')
  })
})

describe('a note', () => {
  const good = text(signed(0, naiveRoot([])))
  const [body = '', line = ''] = good.split('\n\n')
  const unknown = (name: string, base64 = 'AAAAAAA=') => `${good}\u2014 ${name} ${base64}\n`
  const resign = (body: string) => formatNote({ text: body, signatures: [signText(body, LOG_KEY)] })

  it.each<[sentence: string, note: string, accepted: boolean]>([
    ['as it is', good, true],
    ['with an unknown signature', unknown('x'), true],
    ['with an unknown signature before', `${body}\n\n\u2014 x AAAAAAA=\n${line}`, true],
    ['with its signature twice', good + line, true],
    ['with an unknown signature of one byte', unknown('x', 'AAAAAAA='), true],
    ['with an unknown signature of no bytes', unknown('x', 'AAAAAA=='), false],
    ['with an unknown signature whose base64 has unused bits', unknown('x', 'AAAAAAB='), false],
    ['with an unknown signature without padding', unknown('x', 'AAAAAAA'), false],
    ['with an unknown signature in the other alphabet', unknown('x', '____AAA='), false],
    ['with an unknown signature and more', unknown('x', 'AAAAAAA= y'), false],
    ['with an unknown signature and a space', unknown('x', 'AAAAAAA= '), false],
    ['with two spaces before a signature', unknown(' x'), false],
    ['with a nameless signature', unknown(''), false],
    ['with a plus in a name', unknown('x+y'), false],
    ['with a tab in a name', unknown('x\ty'), false],
    ['with a no-break space in a name', unknown('x\u00a0y'), false],
    ['with an ideographic space in a name', unknown('x\u3000y'), false],
    ['with a next line (U+0085) in a name', unknown('x\u0085y'), false],
    ['with a line separator in a name', unknown('x\u2028y'), false],
    ['with a delete character in a name', unknown('x\u007fy'), true],
    ['with a control character of C1 in a name', unknown('x\u0080y'), true],
    ['with a zero-width no-break space in a name', unknown('x\ufeffy'), true],
    ['with a zero-width space in a name', unknown('x\u200by'), true],
    ['with a name as long as it may be', unknown('x'.repeat(2_048)), true],
    ['with a name that is longer', unknown('x'.repeat(2_049)), false],
    ['with an emoji as a name', unknown('\u{1f600}'), true],
    ['with a hyphen for the dash', good.replace('\u2014', '-'), false],
    ['with a byte order mark', `\ufeff${good}`, false],
    ['with carriage returns', good.replaceAll('\n', '\r\n'), false],
    ['without a final newline', good.slice(0, -1), false],
    ['with an empty line at the end', `${good}\n`, false],
    ['with no signatures', `${body}\n\n`, false],
    ['with 100 signatures', good + unknown('x').slice(good.length).repeat(99), true],
    ['with 101 signatures', good + unknown('x').slice(good.length).repeat(100), false],
    ['with an extension line', resign(`${body}\nmore\n`), false],
    ['with an empty line in its text', resign(`${body}\n\n`), false],
    ['of another origin', resign(`other.test/log\n${body.split('\n').slice(1).join('\n')}\n`), false],
    ['with a size that begins with 0', resign(`${body.replace('\n0\n', '\n00\n')}\n`), false],
    ['with a negative size', resign(`${body.replace('\n0\n', '\n-0\n')}\n`), false],
    ['with no size', resign(`${body.replace('\n0\n', '\n\n')}\n`), false],
    ['with a size in hex', resign(`${body.replace('\n0\n', '\n0x0\n')}\n`), false],
    ['with a size above 2^53', resign(`${body.replace('\n0\n', '\n9007199254740993\n')}\n`), false],
    ['with a root of 31 bytes', resign(`${LOG_KEY.name}\n0\n${Buffer.alloc(31).toString('base64')}\n`), false],
    ['with a root whose base64 has unused bits', resign(`${body.replace(/=$/, '').slice(0, -1)}V=\n`), false],
    ['without a root', resign(`${LOG_KEY.name}\n0\n`), false],
  ])('is judged alike by both: %s', async (_sentence, note, accepted) => {
    expect(verdictOf(() => openCheckpoint(note, [LOG_KEY])).verdict === null).toBe(accepted)
    expect((await refusal(new Map([['checkpoint', utf8Encode(note)]]))) === null).toBe(accepted)
  })
})

describe('a log whose owner signs what it should not', () => {
  const { did, genesis } = makeIdentity([0, 1, 2])
  const start = native(did, genesis, 0)
  const weak = makeUpdate(genesis.cid, 2, [0, 1, 2], 'weak.test')
  const middle = makeUpdate(genesis.cid, 1, [0, 1, 2], 'middle.test')
  const strong = makeUpdate(genesis.cid, 0, [0, 1, 2], 'strong.test')
  const end = makeTombstone(genesis.cid, 2)
  const other = makeIdentity([3], 3, 'other.test')
  const legacy = signOperation(createValue({ signingKey: testKey(1).did, recoveryKey: testKey(0).did, handle: 'a.test', service: 'b.test' }), testKey(1))

  const cases: readonly [sentence: string, leaves: readonly Uint8Array[], words: string | null][] = [
    ['a recovery of exactly 72 hours', [start, native(did, weak, HOUR), native(did, strong, 73 * HOUR)], null],
    ['a recovery of a millisecond more', [start, native(did, weak, HOUR), native(did, strong, 73 * HOUR + 1)], 'the recovery is too late'],
    ['a recovery by a key in between, and one by a stronger', [start, native(did, weak, HOUR), native(did, middle, 2 * HOUR), native(did, strong, 3 * HOUR)], null],
    ['a recovery by a weaker key', [start, native(did, middle, HOUR), native(did, weak, 2 * HOUR)], 'not signed by a stronger key'],
    ['a recovery by the same key', [start, native(did, weak, HOUR), native(did, makeUpdate(genesis.cid, 2, [2]), 2 * HOUR)], 'not signed by a stronger key'],
    ['a recovery of a tombstone', [start, native(did, end, HOUR), native(did, strong, 2 * HOUR)], null],
    ['a sourced recovery that is not later than the head', [sourced(did, genesis, 0), sourced(did, weak, HOUR), sourced(did, strong, HOUR)], 'not later than what it nullifies'],
    ['an update after a tombstone', [start, native(did, end, HOUR), native(did, makeUpdate(end.cid, 0, [0]), 2 * HOUR)], 'is a tombstone'],
    ['an update after a nullified operation', [start, native(did, weak, HOUR), native(did, strong, 2 * HOUR), native(did, makeUpdate(weak.cid, 0, [0]), 3 * HOUR)], 'no operation in effect'],
    ['an update by a key that is not listed', [start, native(did, makeUpdate(genesis.cid, 3, [0]), HOUR)], 'no rotation key signed'],
    ['an operation twice', [start, native(did, weak, HOUR), native(did, weak, 2 * HOUR)], 'in the chain already'],
    ['an operation twice, the first one nullified', [start, native(did, weak, HOUR), native(did, strong, 2 * HOUR), native(did, weak, 3 * HOUR)], 'in the chain already'],
    ['a second genesis', [start, native(did, other.genesis, HOUR)], 'no operation in effect'],
    ['a genesis under another DID', [native(other.did, genesis, 0)], 'the DID is not that of the operation'],
    ['a genesis with a predecessor', [native(didOf(weak.bytes), weak, 0)], 'has a predecessor'],
    ['a genesis signed by nobody listed', [native(didOf(makeIdentity([0], 3).genesis.bytes), makeIdentity([0], 3).genesis, 0)], 'no rotation key signed'],
    ['a tombstone as a genesis', [native(didOf(end.bytes), end, 0)], 'a tombstone begins the chain'],
    ['a legacy genesis by its signing key', [native(didOf(legacy.bytes), legacy, 0)], null],
    ['a legacy genesis as an update', [start, native(did, legacy, HOUR)], 'no operation in effect'],
    ['an update that names its predecessor in base58btc', [start, native(did, makeUpdate(base58(genesis.cid), 0, [0]), HOUR)], null],
    ['an update that names its predecessor in upper case', [start, native(did, makeUpdate(genesis.cid.toUpperCase(), 0, [0]), HOUR)], 'no operation in effect'],
    ['an update that names its predecessor with another codec', [start, native(did, makeUpdate(base58(genesis.cid, 0x70), 0, [0]), HOUR)], 'no operation in effect'],
    ['a rotation key that cannot be parsed, after the one that signed', [native(...genesisWith([testKey(0).did, 'did:key:zzz'], 0), 0)], null],
    ['a rotation key that cannot be parsed, before the one that signed', [native(...genesisWith(['did:key:zzz', testKey(0).did], 0), 0)], 'cannot be parsed'],
    ['a rotation key whose point is not on the curve', [native(...genesisWith([offCurve(), testKey(0).did], 0), 0)], 'cannot be parsed'],
    ['a rotation key that stands twice', [native(...genesisWith([testKey(1).did, testKey(1).did], 1), 0)], null],
    ['no rotation keys', [native(...genesisWith([], 0), 0)], 'no rotation key signed'],
    ['a high s on secp256k1', [native(...resigned(0, highS(K256_ORDER)), 0)], 'no rotation key signed'],
    ['a high s on P-256', [native(...resigned(1, highS(P256_ORDER)), 0)], 'no rotation key signed'],
    ['a signature of 63 bytes', [native(...resigned(0, (sig) => base64url.encode(base64url.decode(sig).subarray(1))), 0)], 'the signature is malformed'],
    ['a padded signature', [native(...resigned(0, (sig) => `${sig}==`), 0)], 'the signature is malformed'],
    ['a signature with unused bits', [native(...resigned(1, otherLastCharacter), 0)], 'the signature is malformed'],
    ['native entries of one millisecond', [start, native(other.did, other.genesis, 0)], null],
    ['a native entry before another', [native(other.did, other.genesis, 1), start], 'before that of an earlier entry of the log'],
    ['a native entry as late as another of its identity', [start, native(did, weak, 0)], 'not later than that of an earlier entry of the identity'],
    ['a native entry not later than a sourced one of its identity', [sourced(did, genesis, OPENED_MS - HISTORY_MS + HOUR), native(did, weak, HOUR)], 'not later than that of an earlier entry of the identity'],
    ['a native entry before a sourced one of another identity', [sourced(other.did, other.genesis, HOUR), start], null],
    ['sourced entries in any order', [sourced(other.did, other.genesis, HOUR), sourced(did, genesis, HOUR), sourced(did, weak, 0)], null],
    ['a sourced entry after a native one', [start, sourced(other.did, other.genesis, HOUR)], 'a sourced entry follows a native one'],
    ['an entry that is no CBOR', [start, utf8Encode('entry')], 'CBOR'],
    ['an empty entry', [start, new Uint8Array()], 'CBOR'],
    ['a field that is unknown', [start, entryOf({ seq: '2' })], 'unknown field seq'],
    ['a source that is null', [start, entryOf({ source: null })], 'source'],
    ['a source that is empty', [start, entryOf({ source: '' })], 'source'],
    ['a source that is too long', [start, entryOf({ source: 'x'.repeat(257) })], 'source'],
    ['a source that is as long as it may be', [entryOf({ source: 'x'.repeat(256) })], null],
    ['no time', [start, entryOf({ createdAt: undefined })], 'createdAt'],
    ['a time without milliseconds', [start, entryOf({ createdAt: '2026-01-02T00:00:00Z' })], 'not a time'],
    ['a time in another zone', [start, entryOf({ createdAt: '2026-01-02T00:00:00.000+00:00' })], 'not a time'],
    ['a day that does not exist', [start, entryOf({ createdAt: '2026-02-29T00:00:00.000Z' })], 'not a time'],
    ['the hour 24', [start, entryOf({ createdAt: '2026-02-28T24:00:00.000Z' })], 'not a time'],
    ['a leap second', [start, entryOf({ createdAt: '2016-12-31T23:59:60.000Z' })], 'not a time'],
    ['the year 0', [entryOf({ createdAt: '0000-01-01T00:00:00.000Z' })], null],
    ['a DID that is too long', [start, entryOf({ did: `${other.did}a` })], 'not a DID'],
    ['a DID in upper case', [start, entryOf({ did: other.did.toUpperCase() })], 'not a DID'],
    ['an operation that is a text', [start, entryOf({ operation: 'x' })], 'operation'],
    ['an operation of another type', [start, entryOf({ operation: new Map([...other.genesis.value, ['type', 'constructor']]) })], 'no known type'],
    ['an operation with a field more', [start, entryOf({ operation: new Map([...other.genesis.value, ['note', 'x']]) })], 'unknown field note'],
    ['an operation with a field less', [start, entryOf({ operation: new Map([...other.genesis.value].filter(([name]) => name !== 'services')) })], 'no good field services'],
    ['a tombstone without a predecessor', [start, entryOf({ operation: new Map([...end.value, ['prev', null]]) })], 'no good field prev'],
    ['an entry and a byte', [start, Buffer.concat([native(other.did, other.genesis, 0), Buffer.from([0])])], 'bytes after the CBOR'],
    ['an entry whose map has no fixed length', [start, Buffer.concat([Buffer.from([0xbf]), native(other.did, other.genesis, 0).subarray(1), Buffer.from([0xff])])], 'CBOR'],
    ['an entry whose length is not the shortest', [start, Buffer.concat([Buffer.from([0xb8, 3]), native(other.did, other.genesis, 0).subarray(1)])], 'shortest form'],
    ['keys in another order', [start, swapKeys(native(other.did, other.genesis, 0))], 'not in order'],
    ['an entry of the largest size', [sourced(...ofSize(65_535), 0)], null],
  ]

  it.each(cases)('is judged alike by both: %s', async (_sentence, leaves, words) => {
    const store = await storedLog(leaves)
    await using served = await serve(store)
    const refused = await refusal(readFrom(served.url))
    const rejected = (await store.entries(0, 100)).filter((row) => row.rejected !== null).map((row) => row.index)
    expect(rejected).toEqual(words === null ? [] : [leaves.length - 1])
    if (words === null) expect(refused).toBeNull()
    else expect(refused).toMatch(new RegExp(`^entry ${leaves.length - 1}: .*${words}`))
  })

  function entryOf(changed: Record<string, CborValue | undefined>): Uint8Array {
    const fields = { did: other.did, createdAt: formatTimestamp(OPENED_MS), operation: other.genesis.value, ...changed }
    return encodeCbor(new Map(Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))))
  }
})

// ---- the log

/** 540 leaves: imported history, then what a directory accepted, with everything that can happen to an identity. */
function story(): readonly Uint8Array[] {
  if (told.length > 0) return told
  const history: Uint8Array[] = []
  for (let i = 0; i < 150; i++) {
    const { did, genesis } = makeIdentity([i % 5, 5 + (i % 3)], i % 5, `settler-${i}.test`)
    history.push(sourced(did, genesis, i % 2 === 0 ? i * HOUR : -i * SECOND))
  }
  const legacy = signOperation(createValue({ signingKey: testKey(1).did, recoveryKey: testKey(0).did, handle: 'old.test', service: 'pds.test' }), testKey(1))
  const second = makeUpdate(base58(legacy.cid), 1, [0, 1])
  const third = makeUpdate(legacy.cid, 0, [0])
  for (const [hours, operation] of [legacy, second, third].entries()) history.push(sourced(didOf(legacy.bytes), operation, hours * HOUR))
  const gone = makeIdentity([2, 3], 2, 'gone.test')
  history.push(sourced(gone.did, gone.genesis, HOUR), sourced(gone.did, makeTombstone(gone.genesis.cid, 3), HOUR))

  let now = 0
  const accepted: Uint8Array[] = []
  const accept = (did: string, operation: Operation, laterMs = SECOND) => accepted.push(native(did, operation, (now += laterMs)))
  accept(gone.did, makeUpdate(gone.genesis.cid, 2, [2, 3]), SECOND - (OPENED_MS - HISTORY_MS) + 72 * HOUR)
  accept(didOf(legacy.bytes), makeUpdate(third.cid, 0, [1, 0]), OPENED_MS - HISTORY_MS)
  for (let i = 0; accepted.length < 385; i++) {
    const { did, genesis } = makeIdentity([i % 4, 4 + (i % 4), 8], i % 4, `resident-${i}.test`)
    accept(did, genesis, i % 3 === 0 ? 0 : SECOND)
    if (i % 3 !== 1) continue
    const update = makeUpdate(genesis.cid, 4 + (i % 4), [i % 4, 4 + (i % 4), 8], `moved-${i}.test`)
    accept(did, update)
    if (i % 9 === 1) accept(did, makeTombstone(update.cid, 8))
    if (i % 9 === 4) accept(did, makeUpdate(genesis.cid, i % 4, [i % 4]), 10 * SECOND)
  }
  told = [...history, ...accepted].slice(0, 540)
  return told
}

let told: readonly Uint8Array[] = []

function native(did: string, operation: Operation, laterMs: number): Uint8Array {
  return encodeEntry({ did, operation, createdAt: OPENED_MS + laterMs, source: null })
}

function sourced(did: string, operation: Operation, laterMs: number): Uint8Array {
  return encodeEntry({ did, operation, createdAt: HISTORY_MS + laterMs, source: SOURCE })
}

// ---- operations and entries that are not what they should be

type Accepted = [did: string, operation: Operation]

function genesisWith(rotationKeys: readonly string[], by: number, spell = (sig: string): string => sig): Accepted {
  const key = testKey(by)
  const signer = { did: key.did, sign: (message: Uint8Array) => spell(key.sign(message)) }
  const operation = signOperation(operationValue({ ...identityData(rotationKeys), prev: null }), signer)
  return [didOf(operation.bytes), operation]
}

function resigned(by: number, spell: (sig: string) => string): Accepted {
  return genesisWith([testKey(by).did], by, spell)
}

// The other s that the equation of ECDSA holds for.
function highS(order: bigint): (sig: string) => string {
  return (sig) => {
    const bytes = Buffer.from(base64url.decode(sig))
    const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    return base64url.encode(Buffer.concat([bytes.subarray(0, 32), hex.decode((order - s).toString(16).padStart(64, '0'))]))
  }
}

function otherLastCharacter(sig: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return `${sig.slice(0, -1)}${alphabet[alphabet.indexOf(sig.at(-1) ?? '') + 1] ?? ''}`
}

function base58(cid: string, codec = 0x71): string {
  const bytes = base32.decode(cid.slice(1)).slice()
  bytes[1] = codec
  return `z${base58btc.encode(bytes)}`
}

// x = 1 has no y on P-256.
function offCurve(): string {
  const point = new Uint8Array(35)
  point.set([0x80, 0x24, 0x02])
  point[34] = 1
  return `did:key:z${base58btc.encode(point)}`
}

/** A genesis whose sourced entry has exactly so many bytes. */
function ofSize(bytes: number): Accepted {
  const genesis = (length: number): Accepted => {
    const { did, genesis } = makeIdentity([0], 0, 'x'.repeat(length))
    return [did, genesis]
  }
  return genesis(60_000 + bytes - sourced(...genesis(60_000), 0).length)
}

/** The first two keys of an entry, `did` and `createdAt`, the other way round. */
function swapKeys(entry: Uint8Array): Uint8Array {
  const [did, createdAt] = [entry.subarray(1, 39), entry.subarray(39, 75)]
  return Buffer.concat([entry.subarray(0, 1), createdAt, did, entry.subarray(75)])
}

// ---- the files

async function serve(store: Store): Promise<TestCounter> {
  const { size } = await headOf(store)
  const tip = new Tip({ durable: size, published: size })
  return openCounter({ ports: { store, tip, origin: LOG_KEY.name } })
}

function readFrom(url: string): Read {
  return async (path) => {
    const { status, body } = await ask(url, `/${path}`)
    if (status !== 200 && status !== 404) throw new Error(`${path}: ${status}`)
    return status === 200 ? body : null
  }
}

function readOf(files: Files): Read {
  return (path) => Promise.resolve(files.get(path) ?? null)
}

async function headOf(store: Store): Promise<{ size: number; root: Uint8Array }> {
  const head = await store.head()
  if (head === null) throw new Error('there is no log')
  return head
}

/** Why the log is refused, in the words of a plain Error; null where it is accepted. */
async function refusal(log: Files | Read, vkey = VKEY): Promise<string | null> {
  try {
    await verifyLog(typeof log === 'function' ? log : readOf(log), vkey)
    return null
  } catch (error) {
    return wordsOf(error)
  }
}

function wordsOf(error: unknown): string {
  expect(error).toMatchObject({ name: 'Error' })
  return (error as Error).message
}

async function expectFlipsRefused(files: Files, path: string, positions: readonly number[], bit?: number): Promise<void> {
  const accepted: number[] = []
  for (const position of positions) {
    if ((await refusal(change(files, path, (bytes) => flip(bytes, position, bit)))) === null) accepted.push(position)
  }
  expect(accepted, path).toEqual([])
}

/** The positions at which a flipped bit goes unnoticed. */
function flipped(bytes: Uint8Array, check: (bytes: Uint8Array) => unknown): number[] {
  return range(0, bytes.length).filter((position) => {
    try {
      check(flip(bytes, position))
      return true
    } catch {
      return false
    }
  })
}

function flip(bytes: Uint8Array, position: number, bit = position % 8): Uint8Array {
  const other = Uint8Array.from(bytes)
  other[position] = (other[position] ?? 0) ^ (1 << bit)
  return other
}

function change(files: Files, path: string, to: (bytes: Uint8Array) => Uint8Array): Files {
  return new Map([...files, [path, to(file(files, path))]])
}

function file(files: Files, path: string): Uint8Array {
  const bytes = files.get(path)
  if (bytes === undefined) throw new Error(`there is no ${path}`)
  return bytes
}

function split(bundle: Uint8Array): Uint8Array[] {
  const bytes = Buffer.from(bundle)
  const entries: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += 2 + bytes.readUInt16BE(at)) entries.push(bytes.subarray(at + 2, at + 2 + bytes.readUInt16BE(at)))
  return entries
}

function signed(size: number, root: Uint8Array, key = LOG_KEY): Uint8Array {
  return utf8Encode(signCheckpoint({ origin: key.name, size, root }, [key]))
}

function range(start: number, end: number, step = 1): number[] {
  return Array.from({ length: Math.ceil((end - start) / step) }, (_, i) => start + i * step)
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}

function blockAfter(page: string, words: string): string {
  return /```\n([^`]*)\n```/.exec(page.slice(page.indexOf(words)))?.[1] ?? ''
}
