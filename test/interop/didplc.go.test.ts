// go-didplc follows our export, judges every identity by its own rules, and agrees with what the directory serves; or
// says where not, when something was changed on the way.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ledger } from '../../bench/ledger.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { makeIdentity, makeTombstone, makeUpdate } from '../support/identities.ts'
import { openDirectory, openLiar, post, type Directory } from './directory.ts'
import { hasGoFor, runGo } from './go.ts'

const IMPORTED = 2_000
const OWN = 20

describe.skipIf(!hasGoFor('didplc', 'go-didplc'))('go-didplc', () => {
  let directory: Directory
  let url: string
  const records = Array.from(ledger(IMPORTED, 7))

  beforeAll(async () => {
    directory = await openDirectory(records)
    ;({ url } = directory)
    const tellAll = Array.from({ length: OWN }, (_, n) => stories(n)).flat()
    await Promise.all(tellAll.map(async ({ did, operations }) => {
      for (const operation of operations) await post(url, did, operation)
    }))
  })

  afterAll(() => directory[Symbol.asyncDispose]())

  it('agrees on every identity of a ledger', async () => {
    const { code, stdout, stderr } = await runGo('./didplc', url)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const ended = records.filter(({ operation }) => operation.type === 'plc_tombstone').length
    const identities = new Set(records.map((record) => record.did)).size
    expect(ended).toBeGreaterThan(0)
    expect(records.filter(({ operation }) => operation.type === 'create').length).toBeGreaterThan(0)
    expect(stdout).toBe(
      `agreed on ${identities + 4 * OWN} identities and ${IMPORTED + 11 * OWN} operations, ${4 * OWN} of them nullified, ${ended + OWN} of them ended\n`,
    )
  })

  it.each([
    ["an operation's signature in the export", '/export', (text: string) => text.replace(/"sig":"(.)(.)/, (_, a: string, b: string) => `"sig":"${b === a ? 'A' : b}${a}`)],
    ['a time in the export', '/export', (text: string) => text.replace(/"createdAt":"20\d\d/, '"createdAt":"1999')],
    ['an identity left out of the export but for its updates', '/export', (text: string) => text.replace(/^.*\n/, '')],
    ['a handle in a document', '/did:plc:', (text: string) => text.replace('at://', 'at://not-')],
    ['a nullification in an audit log', '/log/audit', (text: string) => text.replace('"nullified":false', '"nullified":true')],
  ])('disagrees where somebody changes %s', async (_, part, change) => {
    let changes = 0
    await using liar = await openLiar(url, (path, body) => {
      const document = part === '/did:plc:' && /^\/did:plc:[a-z2-7]{24}$/.test(path)
      if (!(document || (part !== '/did:plc:' && path.includes(part))) || changes > 0) return null
      changes++
      return Buffer.from(change(body.toString()))
    })
    expect(await runGo('./didplc', liar.url)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('refused: ') as string })
    expect(liar.lied()).toBe(true)
  })
})

interface Story {
  readonly did: string
  readonly operations: readonly Operation[]
}

/** What happens to identities that the directory accepts itself: four of them, eleven operations of which four are undone, and one end. */
function stories(n: number): Story[] {
  const [even, odd] = [4 * n, 4 * n + 1]
  const [plain, stolen, ended, saved] = (['plain', 'stolen', 'ended', 'saved'] as const).map((name) => makeIdentity([even, odd], even, `${name}-${n}.test`))
  if (plain === undefined || stolen === undefined || ended === undefined || saved === undefined) throw new Error('four identities')
  const theft = makeUpdate(stolen.genesis.cid, odd, [odd], 'thief.test')
  const again = makeUpdate(theft.cid, odd, [odd], 'thief-again.test')
  const third = makeTombstone(again.cid, odd)
  return [
    { did: plain.did, operations: [plain.genesis] },
    { did: stolen.did, operations: [stolen.genesis, theft, again, third, makeUpdate(stolen.genesis.cid, even, [even], 'back.test')] },
    { did: ended.did, operations: [ended.genesis, makeTombstone(ended.genesis.cid, odd)] },
    { did: saved.did, operations: [saved.genesis, makeTombstone(saved.genesis.cid, odd)].concat(makeUpdate(saved.genesis.cid, even, [odd], 'alive.test')) },
  ]
}
