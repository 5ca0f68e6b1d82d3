import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseAuditLog, verifyAuditLog } from '../../src/client/audit.ts'
import { directoryClient } from '../../src/client/directory-client.ts'
import { ServerError } from '../../src/client/request.ts'
import { DirectoryError } from '../../src/core/errors.ts'
import { parseRecord } from '../../src/core/plc/records.ts'
import { verifyReceipt } from '../../src/core/receipt.ts'
import { COUNTER_KEY, openCounter, type TestCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

describe('a directory client', () => {
  let counter: TestCounter
  const alice = person('alice')
  const update = alice.update(alice.genesis, { key: 1 })

  beforeAll(async () => {
    counter = await openCounter()
    const directory = directoryClient(counter.url)
    await directory.submit(alice.did, alice.genesis)
    await directory.submit(alice.did, update)
  })

  afterAll(() => counter[Symbol.asyncDispose]())

  it('submits operations and reads what became of them', async () => {
    const directory = directoryClient(`${counter.url}/`)
    expect(JSON.parse(await directory.document(alice.did))).toMatchObject({ id: alice.did, alsoKnownAs: ['at://new.alice.test'] })
    expect(JSON.parse(await directory.data(alice.did))).toMatchObject({ did: alice.did, rotationKeys: alice.keys.map((key) => key.did) })
    expect(JSON.parse(await directory.operationLog(alice.did))).toHaveLength(2)
    const chain = verifyAuditLog(alice.did, parseAuditLog(await directory.auditLog(alice.did)))
    expect(chain.links.map((link) => link.operation.cid)).toEqual([alice.genesis.cid, update.cid])
  })

  it("carries the directory's own words for what it refuses", async () => {
    const directory = directoryClient(counter.url)
    await expect(directory.submit(alice.did, alice.update(alice.genesis, { key: 0, handle: 'other' }))).resolves.toBeUndefined()
    const error: unknown = await directory.submit(alice.did, update).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ServerError)
    expect(error).toMatchObject({ status: 400, message: 'Operations not correctly ordered' })
    await expect(directory.document('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')).rejects.toMatchObject({ status: 404, message: 'DID not registered: did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' })
  })

  it('fetches a receipt that verifies, and tells "not yet" from "never"', async () => {
    const directory = directoryClient(counter.url)
    await expect(directory.receipt(alice.did, alice.genesis.cid)).rejects.toMatchObject({ status: 404, retryAfterMs: 1_000 })
    await expect(directory.receipt(alice.did, person('bob').genesis.cid)).rejects.toMatchObject({ status: 404, retryAfterMs: null })
    await counter.publish()
    const receipt = await directory.receipt(alice.did, alice.genesis.cid)
    expect(verifyReceipt(receipt, alice.genesis, [COUNTER_KEY])).toMatchObject({ index: 0, entry: { did: alice.did } })
  })

  it('exports page after page, every record once and in order', async () => {
    await counter.fill(2_500)
    const seqs: number[] = []
    const pages: number[] = []
    for await (const lines of directoryClient(counter.url).exportPages(1)) {
      pages.push(lines.length)
      seqs.push(...lines.map((line) => parseRecord(JSON.parse(line)).seq ?? 0))
    }
    const { size } = (await counter.store.head()) ?? { size: 0 }
    expect(pages).toEqual([1_000, 1_000, size - 2_001])
    expect(seqs).toEqual(Array.from({ length: size - 1 }, (_, i) => i + 2))
  })

  it('gives no page with a line that is no record', async () => {
    for (const page of ['words', 'verified   all of it\n{"seq":5}', '{"seq":5}\nwords']) {
      const client = directoryClient('http://directory.example', { fetch: () => Promise.resolve(new Response(page)) })
      await expect(client.exportPages(0).next()).rejects.toThrow(DirectoryError)
    }
  })

  it('ends an export whose sequence numbers do not grow, rather than asking for ever', async () => {
    const line = '{"seq":5}'
    const stuck = directoryClient('http://directory.example', { fetch: () => Promise.resolve(new Response(line)) })
    const pages = stuck.exportPages(0)
    expect((await pages.next()).value).toEqual([line])
    await expect(pages.next()).rejects.toMatchObject({ code: 'MALFORMED_RECORD' })
  })
})
