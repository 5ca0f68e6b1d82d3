import { describe, expect, it } from 'vitest'
import { base64 } from '../../src/core/encoding/text.ts'
import { verifyReceipt } from '../../src/core/receipt.ts'
import { verifyConsistency, verifyInclusion } from '../../src/core/tlog/proof.ts'
import { COUNTER_KEY, openCounter, type TestCounter } from '../support/counter.ts'
import { naiveLeafHash, naiveRoot } from '../support/naive-tree.ts'
import { person } from '../support/people.ts'

const message = (text: string): string => JSON.stringify({ message: text })
const SIZES = [1, 2, 3, 8, 255, 256, 257, 300, 512, 513, 700]

async function openTree(size: number): Promise<{ counter: TestCounter; leaves: Uint8Array[] }> {
  const counter = await openCounter()
  await counter.fill(size)
  await counter.publish()
  return { counter, leaves: (await counter.store.entries(0, size)).map((row) => naiveLeafHash(row.entry)) }
}

interface Inclusion { index: number; size: number; leaf: string; root: string; proof: string[] }
interface Consistency { from: number; to: number; fromRoot: string; toRoot: string; proof: string[] }

const decode = (texts: readonly string[]): Uint8Array[] => texts.map((text) => base64.decode(text))

describe('GET /log/proof/inclusion', () => {
  it('proves entries in trees of every size that was published or not', async () => {
    const { counter, leaves } = await openTree(700)
    await using tree = counter
    for (const size of SIZES) {
      const root = naiveRoot(leaves.slice(0, size))
      for (const index of new Set([0, Math.floor(size / 2), Math.max(0, size - 2), size - 1])) {
        const reply = await tree.ask(`/log/proof/inclusion?index=${index}&size=${size}`)
        expect(reply.headers['content-type']).toBe('application/json; charset=utf-8')
        const answer = JSON.parse(reply.text) as Inclusion
        expect(answer).toMatchObject({ index, size, leaf: base64.encode(leaves[index] ?? new Uint8Array()), root: base64.encode(root) })
        verifyInclusion({ index, size, leaf: base64.decode(answer.leaf), proof: decode(answer.proof), root })
      }
    }
    expect(JSON.parse((await tree.ask('/log/proof/inclusion?index=5')).text)).toMatchObject({ index: 5, size: 700 })
  })

  it('asks for numbers, within the published tree', async () => {
    const { counter } = await openTree(10)
    await using tree = counter
    await tree.fill(10)
    const refused: [string, number, string][] = [
      ['', 400, 'Not a decimal number: index'],
      ['index=', 400, 'Not a decimal number: index'],
      ['index=01', 400, 'Not a decimal number: index'],
      ['index=-1', 400, 'Not a decimal number: index'],
      ['index=1e0', 400, 'Not a decimal number: index'],
      ['index=%201', 400, 'Not a decimal number: index'],
      ['index=1&index=2', 400, 'Not a decimal number: index'],
      ['index=99999999999999999999', 400, 'Not a decimal number: index'],
      ['index=1&size=', 400, 'Not a decimal number: size'],
      ['index=1&size=2&size=3', 400, 'Not a decimal number: size'],
      ['index=10', 400, 'Index or size out of range: [10, 11) of 10'],
      ['index=5&size=5', 400, 'Index or size out of range: [5, 6) of 5'],
      ['index=0&size=0', 400, 'Index or size out of range: [0, 1) of 0'],
      ['index=1&size=11', 404, 'Larger than the published tree: size is 11, the tree has 10 entries'],
      ['index=9007199254740991', 400, 'Index or size out of range: [9007199254740991, 9007199254740992) of 10'],
    ]
    for (const [query, status, words] of refused) {
      const reply = await tree.ask(`/log/proof/inclusion?${query}`)
      expect(reply, query).toMatchObject({ status, text: message(words) })
      expect(reply.headers['cache-control']).toBe('no-store')
    }
  })
})

describe('GET /log/proof/consistency', () => {
  it('proves that every tree continues every smaller one', async () => {
    const { counter, leaves } = await openTree(700)
    await using tree = counter
    for (const to of [0, ...SIZES]) {
      for (const from of [0, ...SIZES].filter((size) => size <= to)) {
        const answer = JSON.parse((await tree.ask(`/log/proof/consistency?from=${from}&to=${to}`)).text) as Consistency
        const [oldRoot, newRoot] = [naiveRoot(leaves.slice(0, from)), naiveRoot(leaves.slice(0, to))]
        expect(answer).toMatchObject({ from, to, fromRoot: base64.encode(oldRoot), toRoot: base64.encode(newRoot) })
        verifyConsistency({ oldSize: from, oldRoot, newSize: to, newRoot, proof: decode(answer.proof) })
      }
    }
    expect(JSON.parse((await tree.ask('/log/proof/consistency?from=5')).text)).toMatchObject({ from: 5, to: 700 })
  })

  it('asks for numbers in order, within the published tree', async () => {
    const { counter } = await openTree(10)
    await using tree = counter
    expect(await tree.ask('/log/proof/consistency')).toMatchObject({ status: 400, text: message('Not a decimal number: from') })
    expect(await tree.ask('/log/proof/consistency?from=1&to=x')).toMatchObject({ status: 400, text: message('Not a decimal number: to') })
    expect(await tree.ask('/log/proof/consistency?from=4&to=3')).toMatchObject({ status: 400, text: message('Index or size out of range: 4 of 3') })
    expect(await tree.ask('/log/proof/consistency?from=11')).toMatchObject({ status: 400 })
    expect(await tree.ask('/log/proof/consistency?from=1&to=11')).toMatchObject({ status: 404 })
  })

  it('holds for the log without entries', async () => {
    const { counter } = await openTree(0)
    await using tree = counter
    expect(JSON.parse((await tree.ask('/log/proof/consistency?from=0')).text)).toMatchObject({ from: 0, to: 0, proof: [] })
  })
})

describe('GET /:did/log/:cid/proof', () => {
  it('is a receipt that verifies, for every operation of an identity, nullified ones included', async () => {
    await using counter = await openCounter()
    const carol = person('carol')
    const stolen = carol.update(carol.genesis, { key: 2, handle: 'stolen' })
    const recovery = carol.update(carol.genesis, { key: 0, handle: 'recovered' })
    await counter.fill(255)
    await counter.submit(carol.did, carol.genesis)
    await counter.submit(carol.did, stolen)
    await counter.submit(carol.did, recovery)
    await counter.fill(40)
    await counter.publish()
    for (const [i, operation] of [carol.genesis, stolen, recovery].entries()) {
      const reply = await counter.ask(`/${carol.did}/log/${operation.cid}/proof`)
      expect(reply.status).toBe(200)
      expect(reply.headers).toMatchObject({ 'content-type': 'text/x.tlog-proof; charset=utf-8', 'cache-control': 'no-cache' })
      const proved = verifyReceipt(reply.text, operation, [COUNTER_KEY])
      expect(proved).toMatchObject({ index: 255 + i, entry: { did: carol.did }, opened: { checkpoint: { size: 298 } } })
    }
    const { text } = await counter.ask(`/${carol.did}/log/${stolen.cid}/proof`)
    expect(() => verifyReceipt(text, recovery, [COUNTER_KEY])).toThrow('Proof does not verify')
  })

  it('says 404 for an operation that the identity does not have', async () => {
    await using counter = await openCounter()
    const [alice, bob] = [person('alice'), person('bob')]
    await counter.submit(alice.did, alice.genesis)
    await counter.submit(bob.did, bob.genesis)
    await counter.publish()
    expect(await counter.ask(`/${alice.did}/log/${bob.genesis.cid}/proof`)).toMatchObject({ status: 404, text: message(`Operation not found: ${bob.genesis.cid}`) })
    expect(await counter.ask(`/${alice.did}/log/%00/proof`)).toMatchObject({ status: 404, text: message('Operation not found: \u0000') })
    expect(await counter.ask(`/foo/log/${bob.genesis.cid}/proof`)).toMatchObject({ status: 404, text: message('DID not registered: foo') })
  })
})
