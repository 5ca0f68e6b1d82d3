import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { DerivedMap } from '../../src/client/derive-map.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { formatEvidence, wrongMap } from '../../src/core/evidence.ts'
import { encodeMapLeaf } from '../../src/core/map/map-leaf.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { formatReceipt } from '../../src/core/receipt.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { formatNote, formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote } from '../../src/core/tlog/note.ts'
import { Tip } from '../../src/storage/tip.ts'
import { openCounter } from '../support/counter.ts'
import { MAP_KEY } from '../support/map-writer.ts'
import { naiveConsistency, naiveRoot } from '../support/naive-tree.ts'
import { person } from '../support/people.ts'
import { newHome } from '../support/program.ts'
import { FIRST_MS, identityLeaves, LOG_KEY, storedLog } from '../support/stored-log.ts'

const VECTORS = join(import.meta.dirname, '../../spec/vectors/evidence')
const home = newHome()
afterAll(() => home[Symbol.dispose]())

describe('stele verify-evidence', () => {
  const vkey = readFileSync(join(VECTORS, 'log.vkey'), 'utf8').trim()
  const verify = (...args: string[]) => home.run(['verify-evidence', ...args])

  it('says what is proved, with the key in a file or as it is', async () => {
    const fork = await verify(join(VECTORS, 'valid/fork.evidence'), '--vkey', join(VECTORS, 'log.vkey'))
    expect(fork).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('proved     the log vectors.example/log signed a tree of 9 entries that does not continue the tree of 7') as string })
    const rule = await verify(join(VECTORS, 'valid/broken-recovery.evidence'), '--vkey', vkey)
    expect(rule.code).toBe(0)
    expect(rule.stdout).toContain('rule       recovery: LATE_RECOVERY')
    expect(rule.stdout).toContain('signed     by vectors.example/log+')
  })

  it('tells proof, nothing, a wrong command line and an alarm apart by its exit code', async () => {
    expect(await verify(join(VECTORS, 'invalid/no-fork.evidence'), '--vkey', vkey)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('Nothing is proved against the log') as string })
    expect(await verify(join(VECTORS, 'valid/fork.evidence'), '--vkey', formatVerifierKey(LOG_KEY))).toMatchObject({ code: 1, stdout: '' })
    expect((await verify(join(VECTORS, 'valid/fork.evidence'))).code).toBe(2)
    const alarm = await verify(join(VECTORS, 'seen.alarm'), '--vkey', vkey)
    expect(alarm).toMatchObject({ code: 3, stderr: expect.stringContaining('not proof') as string, stdout: expect.stringContaining('--- response, 2 bytes\n9\n') as string })
    expect(alarm.stdout).not.toContain('proved')
  })
})

describe('stele verify-evidence --replay', () => {
  const leaves = identityLeaves(300)
  const hashes = leaves.map(leafHash)
  const root = naiveRoot(hashes.slice(0, 290))
  const note = (key: typeof LOG_KEY, all: readonly Uint8Array[]): string => signCheckpoint({ origin: key.name, size: all.length, root: naiveRoot(all) }, [key])
  const claim = (name: string, mapRoot: Uint8Array): string => {
    const entry = encodeMapLeaf({ mapRoot, size: 290, root })
    const tree = { root, proof: naiveConsistency(290, hashes) }
    const evidence = wrongMap('root', [{ index: 0, entry, proof: [] }], tree, [note(MAP_KEY, [leafHash(entry)]), note(LOG_KEY, hashes)], [LOG_KEY, MAP_KEY])
    writeFileSync(join(home.folder, name), formatEvidence(evidence))
    return name
  }
  const verify = (name: string, ...more: string[]) => home.run(['verify-evidence', name, '--vkey', formatVerifierKey(LOG_KEY), '--vkey', formatVerifierKey(MAP_KEY), ...more])

  it('says that a map is wrong once the log was read and leads to another, that it is not where it leads to the same, and nothing where what is served is not the log', async () => {
    const store = await storedLog(leaves)
    await using counter = await openCounter({ ports: { store, tip: new Tip({ durable: 300, published: 300 }), origin: LOG_KEY.name } })
    const wrong = claim('wrong.evidence', new Uint8Array(32).fill(1))
    expect(await verify(wrong)).toMatchObject({ code: 3, stderr: expect.stringContaining('nothing is proved by this file alone') as string, stdout: expect.stringContaining('claimed    the log of the map stored.test/log/map signed, as leaf 0, a root of the map of the first 290 entries') as string })
    const map = new DerivedMap()
    map.add({ rows: await store.entries(0, 290) })
    const proved = await verify(wrong, '--replay', counter.url)
    expect(proved).toMatchObject({ code: 0, stdout: expect.stringContaining('proved     stored.test/log/map signed another map of 290 entries than the log leads to') as string })
    expect(proved.stdout).toContain(`the log's  ${Buffer.from(map.root()).toString('base64')}`)
    expect(await verify(claim('right.evidence', map.root()), '--replay', counter.url)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('Nothing is proved against the log') as string })
    const other = await storedLog([...leaves.slice(1), ...leaves.slice(0, 1)])
    await using liar = await openCounter({ ports: { store: other, tip: new Tip({ durable: 300, published: 300 }), origin: LOG_KEY.name } })
    expect(await verify(wrong, '--replay', liar.url)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('does not serve the first 290 entries of the log as they were signed') as string })
    expect((await verify(wrong, '--replay', 'nowhere')).code).toBe(2)
  })
})

describe('stele fsck --kept', () => {
  it('writes evidence of a fork that a stranger can check, an alarm where nothing is proved, and nothing where all is well', async () => {
    const store = await storedLog(identityLeaves(5))
    await using counter = await openCounter({ ports: { store, tip: new Tip({ durable: 5, published: 5 }), origin: LOG_KEY.name } })
    const vkey = formatVerifierKey(LOG_KEY)
    const write = (name: string, leaves: readonly Uint8Array[]): string => {
      writeFileSync(join(home.folder, name), signCheckpoint({ origin: LOG_KEY.name, size: leaves.length, root: naiveRoot(leaves.map(leafHash)) }, [LOG_KEY]))
      return name
    }
    const check = (kept: string, out: string) => home.run(['fsck', counter.url, '--vkey', vkey, '--kept', kept, '--evidence', out])
    expect(await check(write('same', identityLeaves(3)), 'none')).toMatchObject({ code: 0 })
    expect(existsSync(join(home.folder, 'none'))).toBe(false)
    const forked = await check(write('other', identityLeaves(4).slice(1)), 'found.evidence')
    expect(forked).toMatchObject({ code: 1, stdout: expect.stringContaining('evidence   found.evidence: fork') as string })
    expect(await home.run(['verify-evidence', 'found.evidence', '--vkey', vkey])).toMatchObject({ code: 0 })
    expect(await check(write('larger', identityLeaves(6)), 'found.alarm')).toMatchObject({ code: 1, stdout: expect.stringContaining('alarm      found.alarm') as string })
    expect(await home.run(['verify-evidence', 'found.alarm', '--vkey', vkey])).toMatchObject({ code: 3 })
    expect(await check('other', 'found.evidence')).toMatchObject({ code: 1, stderr: expect.stringContaining('never overwritten') as string })
  })
})

describe('stele verify --policy', () => {
  it('says who signed and who has seen the checkpoint, and refuses what lacks the quorum or its age', async () => {
    const { did, genesis } = person('alice')
    const entry = { did, createdAt: FIRST_MS, operation: genesis, source: null }
    const witness = makeSigningKey('w.test', KEY_TYPES.cosignature, new Uint8Array(32).fill(3))
    const checkpoint = { origin: LOG_KEY.name, size: 1, root: leafHash(encodeEntry(entry)) }
    const { text, signatures } = parseNote(signCheckpoint(checkpoint, [LOG_KEY]))
    const write = (name: string, content: string): string => (writeFileSync(join(home.folder, name), content), name)
    const receipt = (times: readonly number[]) => formatReceipt(entry, 0, [], formatNote({ text, signatures: [...signatures, ...times.map((time) => cosign(checkpoint, witness, time))] }))
    write('op.json', renderJson(genesis.value))
    write('seen.tlog-proof', receipt([1_800_000_000]))
    write('now.tlog-proof', receipt([Math.floor(Date.now() / 1000)]))
    write('unseen.tlog-proof', receipt([]))
    write('policy', `log ${formatVerifierKey(LOG_KEY)}\nwitness alice ${formatVerifierKey(witness)}\nquorum alice\n`)
    const verify = (name: string, ...more: string[]) => home.run(['verify', name, '--operation', 'op.json', ...more])
    const seen = await verify('seen.tlog-proof', '--policy', 'policy')
    expect(seen).toMatchObject({ code: 0, stderr: '' })
    for (const line of [`identity   ${did}`, 'signed     by stored.test/log+', 'witnessed  by alice at 2027-01-15T08:00:00.000Z', 'quorum     alice: met']) expect(seen.stdout).toContain(line)
    expect(await verify('unseen.tlog-proof', '--policy', 'policy')).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('quorum') as string })
    expect((await verify('unseen.tlog-proof', '--vkey', formatVerifierKey(LOG_KEY))).code).toBe(0)
    expect((await verify('now.tlog-proof', '--policy', 'policy', '--max-age', '1h')).code).toBe(0)
    write('old.tlog-proof', receipt([1_500_000_000]))
    expect(await verify('old.tlog-proof', '--policy', 'policy', '--max-age', '1h')).toMatchObject({ code: 1, stdout: '' })
    expect((await verify('seen.tlog-proof')).code).toBe(2)
    expect((await verify('seen.tlog-proof', '--policy', 'policy', '--vkey', formatVerifierKey(LOG_KEY))).code).toBe(2)
    expect((await verify('seen.tlog-proof', '--vkey', formatVerifierKey(LOG_KEY), '--max-age', '1h')).code).toBe(2)
  })
})
