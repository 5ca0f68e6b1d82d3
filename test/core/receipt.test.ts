import { describe, expect, it } from 'vitest'
import { encodeEntry, type Entry } from '../../src/core/entry.ts'
import { DirectoryError } from '../../src/core/errors.ts'
import { formatReceipt, verifyReceipt } from '../../src/core/receipt.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { KEY_TYPES, makeSigningKey } from '../../src/core/tlog/note.ts'
import { naivePath, naiveRoot } from '../support/naive-tree.ts'
import { person } from '../support/people.ts'

const people = Array.from({ length: 11 }, (_, i) => person(`r${i}`, 1))
const first = person('r0', 1)
const entries: Entry[] = people.map(({ did, genesis }, i) => ({ did, createdAt: 1_700_000_000_000 + i, operation: genesis, source: i === 4 ? 'elsewhere' : null }))
const leaves = entries.map((entry) => leafHash(encodeEntry(entry)))
const key = makeSigningKey('receipts.test', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
const checkpoint = signCheckpoint({ origin: key.name, size: leaves.length, root: naiveRoot(leaves) }, [key])
const receipts = entries.map((entry, i) => formatReceipt(entry, i, naivePath(i, leaves), checkpoint))

describe('a receipt', () => {
  it('proves its operation, with DID, time and source', () => {
    for (const [i, receipt] of receipts.entries()) {
      const operation = people[i]?.genesis
      if (operation === undefined) throw new Error('no operation')
      const proved = verifyReceipt(receipt, operation, [key])
      expect(proved.entry).toEqual(entries[i])
      expect(proved.index).toBe(i)
      expect(proved.opened.checkpoint.size).toBe(11)
    }
  })

  it('proves no other operation', () => {
    for (const [i, receipt] of receipts.entries()) {
      const other = people[(i + 1) % people.length]
      expect(() => verifyReceipt(receipt, (other ?? first).genesis, [key])).toThrow(expect.objectContaining({ code: 'INVALID_PROOF' }))
    }
  })

  it('proves nothing under another key of the same name', () => {
    const other = makeSigningKey(key.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(2))
    const [receipt] = receipts
    expect(() => verifyReceipt(receipt ?? '', first.genesis, [other])).toThrow(expect.objectContaining({ code: 'UNTRUSTED_NOTE' }))
  })

  it('with any character changed proves nothing', () => {
    const receipt = receipts[6] ?? ''
    const operation = (people[6] ?? first).genesis
    for (let at = 0; at < receipt.length; at++) {
      const changed = receipt.slice(0, at) + (receipt[at] === 'A' ? 'B' : 'A') + receipt.slice(at + 1)
      expect(() => verifyReceipt(changed, operation, [key]), `at ${at}: ${changed}`).toThrow(DirectoryError)
    }
  })
})
