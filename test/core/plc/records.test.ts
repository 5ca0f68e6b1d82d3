import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import { parseRecord, renderAuditLog, renderLegacy, renderSequenced, type LedgerRecord } from '../../../src/core/plc/records.ts'
import { makeIdentity, makeTombstone, makeUpdate } from '../../support/identities.ts'

const { did, genesis } = makeIdentity([0])
const createdAt = Date.UTC(2026, 7, 1, 12, 0, 0, 7)
const record = { did, operation: genesis, cid: genesis.cid, createdAt }

describe('a record', () => {
  it('has its members in the deployed order in each of its forms', () => {
    const full: LedgerRecord = { ...record, nullified: false, seq: 7 }
    const keys = (text: string) => Object.keys(JSON.parse(text) as object)
    expect(keys(renderAuditLog([full]).slice(1, -1))).toEqual(['did', 'operation', 'cid', 'nullified', 'createdAt'])
    expect(keys(renderSequenced(full))).toEqual(['did', 'cid', 'seq', 'createdAt', 'operation', 'type'])
    expect(keys(renderLegacy(full))).toEqual(['did', 'cid', 'createdAt', 'operation', 'nullified'])
    expect(renderSequenced(full)).toContain(`"seq":7,"createdAt":"2026-08-01T12:00:00.007Z","operation":{"sig":"${genesis.sig}","prev":null,"type":`)
    expect(renderSequenced(full)).toMatch(/"type":"sequenced_op"\}$/)
  })

  it('comes back from each of its forms', () => {
    const operations = fc.constantFrom(genesis, makeUpdate(genesis.cid, 0, [1]), makeTombstone(genesis.cid, 0))
    const time = fc.integer({ min: 0, max: 4_000_000_000_000 })
    fc.assert(
      fc.property(operations, time, fc.boolean(), fc.integer({ min: 1, max: 2 ** 40 }), (operation, createdAt, nullified, seq) => {
        const base = { did, operation, cid: operation.cid, createdAt }
        const [audit] = JSON.parse(renderAuditLog([{ ...base, nullified }])) as unknown[]
        const forms: [unknown, LedgerRecord][] = [
          [audit, { ...base, nullified }],
          [JSON.parse(renderLegacy({ ...base, nullified })), { ...base, nullified }],
          [JSON.parse(renderSequenced({ ...base, seq })), { ...base, seq }],
        ]
        for (const [json, expected] of forms) {
          const parsed = parseRecord(json)
          expect({ ...parsed, operation: parsed.operation.bytes }).toEqual({ ...expected, operation: operation.bytes })
        }
      }),
    )
  })

  it('of no operations is an empty array', () => {
    expect(renderAuditLog([])).toBe('[]')
  })

  it('is refused where a member is missing or wrong, and where its cid is not that of its operation', () => {
    const json = JSON.parse(renderLegacy({ ...record, nullified: false })) as Record<string, unknown>
    const other = makeUpdate(genesis.cid, 0, [0]).cid
    const broken: [unknown, string][] = [
      [null, 'MALFORMED_RECORD'],
      ['x', 'MALFORMED_RECORD'],
      [[json], 'MALFORMED_RECORD'],
      [{ ...json, did: 7 }, 'MALFORMED_RECORD'],
      [{ ...json, did: `${did}a` }, 'MALFORMED_DID'],
      [{ ...json, cid: other }, 'MALFORMED_RECORD'],
      [{ ...json, cid: genesis.cid.toUpperCase() }, 'MALFORMED_RECORD'],
      [{ ...json, cid: undefined }, 'MALFORMED_RECORD'],
      [{ ...json, createdAt: '2026-08-01T12:00:00Z' }, 'MALFORMED_TIMESTAMP'],
      [{ ...json, createdAt: 0 }, 'MALFORMED_RECORD'],
      [{ ...json, operation: { ...(json['operation'] as object), more: 'x' } }, 'INVALID_OPERATION'],
      [{ ...json, operation: 7 }, 'MALFORMED_JSON'],
      [{ ...json, operation: undefined }, 'INVALID_OPERATION'],
      [{ ...json, operation: JSON.parse('['.repeat(5000) + ']'.repeat(5000)) as unknown }, 'MALFORMED_JSON'],
      [{ ...json, nullified: 'false' }, 'MALFORMED_RECORD'],
      [{ ...json, nullified: null }, 'MALFORMED_RECORD'],
      [{ ...json, seq: 0 }, 'MALFORMED_RECORD'],
      [{ ...json, seq: 1.5 }, 'MALFORMED_RECORD'],
      [{ ...json, seq: '1' }, 'MALFORMED_RECORD'],
      [{ ...json, type: 'other' }, 'MALFORMED_RECORD'],
    ]
    for (const [value, code] of broken) expect(verdictOf(() => parseRecord(value)).verdict?.code).toBe(code)
    expect(parseRecord({ ...json, more: 'ignored' })).toMatchObject({ did, cid: genesis.cid })
  })

  it('cannot be rendered without what its form says', () => {
    expect(() => renderSequenced(record)).toThrow('assertion failed')
    expect(() => renderLegacy(record)).toThrow('assertion failed')
    expect(() => renderAuditLog([record])).toThrow('assertion failed')
  })
})
