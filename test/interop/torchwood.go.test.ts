// torchwood over what a directory's process serves: its client reads the log, its verifier of tlog-proofs the
// receipts, and both refuse what was changed on the way.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ledger } from '../../bench/ledger.ts'
import { fromJson } from '../../src/core/encoding/json.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { parseOperation } from '../../src/core/plc/operation.ts'
import { parseVerifierKey } from '../../src/core/tlog/note.ts'
import { verifyReceipt } from '../../src/core/receipt.ts'
import { makeIdentity } from '../support/identities.ts'
import type { Ended } from '../support/program.ts'
import { flipBitOf, openDirectory, openLiar, post, readFrom, readKey, untilPublished, type Directory } from './directory.ts'
import { hasGoFor, runGo } from './go.ts'
import { verifyLog } from './independent-verifier.ts'

const COUNT = 1_300
const REFUSED = { code: 1, stdout: '', stderr: expect.stringContaining('refused: ') as string }

describe.skipIf(!hasGoFor('torchwood', 'torchwood'))('torchwood', () => {
  let directory: Directory
  let url: string
  let key: string

  beforeAll(async () => {
    directory = await openDirectory(ledger(COUNT - 1, 1))
    ;({ url } = directory)
    key = await readKey(url)
    const { did, genesis } = makeIdentity([0], 0, 'newcomer.test')
    await post(url, did, genesis)
    await untilPublished(url, COUNT)
  })

  afterAll(() => directory[Symbol.asyncDispose]())

  it('reads every entry of a log that begins with imported history', async () => {
    const { size, root } = await verifyLog(readFrom(url), key)
    expect(size).toBe(COUNT)
    expect(await runGo('./torchwood', 'log', url, key)).toMatchObject({ code: 0, stdout: `${COUNT} entries under ${Buffer.from(root, 'base64').toString('hex')}\n` })
  })

  it.each(['checkpoint', 'tile/0/000', 'tile/0/005.p/20', 'tile/1/000.p/5', 'tile/entries/002', 'tile/entries/005.p/20'])('refuses it with a bit of %s flipped', async (path) => {
    await using liar = await openLiar(url, flipBitOf(`/${path}`))
    expect(await runGo('./torchwood', 'log', liar.url, key)).toMatchObject(REFUSED)
    expect(liar.lied()).toBe(true)
  })

  it('accepts receipts, of imported operations and others, for the very leaf and under the very key', async () => {
    const imported = Array.from(ledger(COUNT - 1, 1)).filter((_, i) => i % 400 === 0)
    const { did, genesis } = makeIdentity([0], 0, 'newcomer.test')
    for (const [person, cid] of [...imported.map((record) => [record.did, record.cid]), [did, genesis.cid]]) {
      const { receipt, leaf } = await fetchReceipt(person ?? '', cid ?? '')
      expect(await check(key, receipt, leaf)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^proved, with \d+ bytes more\n$/) as string })
    }
    const { receipt, leaf } = await fetchReceipt(did, genesis.cid)
    const otherLeaf = Buffer.from(leaf)
    otherLeaf[20] = (otherLeaf[20] ?? 0) ^ 1
    expect(await check(key, receipt, otherLeaf)).toMatchObject(REFUSED)
    const [hash = ''] = receipt.split('\n').slice(3)
    for (const forged of [receipt.replace(/^index \d+$/m, 'index 0'), receipt.replace(`${hash}\n`, ''), receipt.replace(`\n${COUNT}\n`, `\n${COUNT + 1}\n`)]) {
      expect(forged).not.toBe(receipt)
      expect(await check(key, forged, leaf)).toMatchObject(REFUSED)
    }
    await using other = await openDirectory()
    expect(await check(await readKey(other.url), receipt, leaf)).toMatchObject(REFUSED)
  })

  /** The receipt of an operation, and the leaf that operation and receipt make together. */
  async function fetchReceipt(did: string, cid: string): Promise<{ receipt: string; leaf: Uint8Array }> {
    const receipt = await (await fetch(`${url}/${did}/log/${cid}/proof`)).text()
    const audit = (await (await fetch(`${url}/${did}/log/audit`)).json()) as { cid: string; operation: unknown }[]
    const operation = parseOperation(fromJson(audit.find((record) => record.cid === cid)?.operation))
    return { receipt, leaf: encodeEntry(verifyReceipt(receipt, operation, [parseVerifierKey(key)]).entry) }
  }

  function check(under: string, receipt: string, leaf: Uint8Array): Promise<Ended> {
    const [receiptFile, leafFile] = [join(directory.home.folder, 'receipt'), join(directory.home.folder, 'leaf')]
    writeFileSync(receiptFile, receipt)
    writeFileSync(leafFile, leaf)
    return runGo('./torchwood', 'receipt', under, receiptFile, leafFile)
  }
})
