import { describe, expect, it } from 'vitest'
import { alertLines, alertOf, renderAlert, type Undo } from '../../src/client/alert.ts'
import { RECOVERY_WINDOW_MS } from '../../src/core/plc/chain.ts'
import { chainOf, makeIdentity, makeUpdate, testKey } from '../support/identities.ts'

const FIRST = Date.UTC(2026, 0, 1)
const HOUR = 3_600_000
const { did, genesis } = makeIdentity([0, 1, 2], 0, 'alice.example')
const command = ({ from }: Undo): string => `undo ${from}`

describe('an alert', () => {
  it('names the keys before the one that signed, and the last moment for each way', () => {
    const one = makeUpdate(genesis.cid, 2, [0, 1, 2], 'one.example')
    const two = makeUpdate(one.cid, 1, [0, 1, 2], 'two.example')
    const chain = chainOf(did, [genesis, FIRST], [one, FIRST + HOUR], [two, FIRST + 2 * HOUR])
    const alert = alertOf(chain, FIRST + 3 * HOUR)
    expect(alert).toMatchObject({
      cid: two.cid,
      signer: { key: testKey(1).did, priority: 2, of: 3 },
      undo: [
        { from: one.cid, operations: 1, until: FIRST + 2 * HOUR + RECOVERY_WINDOW_MS, keys: [testKey(0).did] },
        { from: genesis.cid, operations: 2, until: FIRST + HOUR + RECOVERY_WINDOW_MS, keys: [testKey(0).did, testKey(1).did] },
      ],
    })
    expect(alertLines(alert, 'entry 7 of log', command, FIRST + 3 * HOUR)).toEqual([
      `${did} has changed: entry 7 of log, accepted 2026-01-01T02:00:00.000Z`,
      '  it changed the handle to two.example from one.example',
      `  signed by rotation key 2 of 3, ${testKey(1).did}`,
      '  until 2026-01-04T02:00:00.000Z (71 h left), this key can undo it:',
      `    1  ${testKey(0).did}`,
      '  to see first what that would do, add --dry-run; this does it:',
      `    undo ${one.cid}`,
      '  or, until 2026-01-04T01:00:00.000Z (70 h left), any of these keys can undo it and 1 more:',
      `    1  ${testKey(0).did}`,
      `    2  ${testKey(1).did}`,
      '  to see first what that would do, add --dry-run; this does it:',
      `    undo ${genesis.cid}`,
    ])
    // The longer way is closed first.
    expect(alertOf(chain, FIRST + HOUR + RECOVERY_WINDOW_MS + 1)).toMatchObject({ undo: [{ from: one.cid }], missed: 1 })
    const late = alertOf(chain, FIRST + 2 * HOUR + RECOVERY_WINDOW_MS + 1)
    expect(alertLines(late, 'here', command, 0).at(-1)).toBe('  nothing can undo it: the 72 hours are over')
  })

  it('says where nothing can undo it', () => {
    const strong = chainOf(did, [genesis, FIRST], [makeUpdate(genesis.cid, 0, [0], 'x.example'), FIRST + HOUR])
    expect(alertLines(alertOf(strong, FIRST + HOUR), 'here', command, FIRST).at(-1)).toBe('  nothing can undo it: that is the strongest key')
    expect(alertLines(alertOf(chainOf(did, [genesis, FIRST]), FIRST), 'here', command, FIRST)).toContain('  it created the identity')
  })

  it('is one line of JSON with the operation and the command', () => {
    const theft = makeUpdate(genesis.cid, 1, [1], 'x.example')
    const chain = chainOf(did, [genesis, FIRST], [theft, FIRST + HOUR])
    const json = renderAlert(alertOf(chain, FIRST + HOUR), 12, chain, command)
    expect(json).not.toContain('\n')
    expect(JSON.parse(json)).toMatchObject({ type: 'change', seq: 12, did, cid: theft.cid, signer: { priority: 2 }, undo: [{ command: `undo ${genesis.cid}`, until: '2026-01-04T01:00:00.000Z' }], operation: { prev: genesis.cid } })
  })
})
