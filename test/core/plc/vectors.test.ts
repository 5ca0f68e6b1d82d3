import { expect, it } from 'vitest'
import type { ErrorCode } from '../../../src/core/errors.ts'
import { verdictOf } from '../../../src/core/errors.ts'
import { isCborMap, type CborValue } from '../../../src/core/encoding/dag-cbor.ts'
import { applyOperation, emptyChain, headOf, type Chain } from '../../../src/core/plc/chain.ts'
import { dataOf } from '../../../src/core/plc/operation.ts'
import { parseRecord, renderAuditLog, type LedgerRecord } from '../../../src/core/plc/records.ts'
import { accept } from '../../support/identities.ts'
import { describeVectors, readVectors } from '../../support/vectors.ts'

/** Why each is invalid, and at which operation that shows. */
const REFUSALS: Readonly<Record<string, readonly [position: number, code: ErrorCode]>> = {
  log_invalid_nullification_too_slow: [2, 'LATE_RECOVERY'], // 72 h and one second after the operation it would undo
  log_invalid_sig_b64_padding_bits: [0, 'INVALID_SIGNATURE'],
  log_invalid_sig_b64_padding_chars: [0, 'INVALID_SIGNATURE'],
  log_invalid_sig_der: [0, 'INVALID_SIGNATURE'], // DER of exactly 64 bytes
  log_invalid_sig_k256_high_s: [0, 'INVALID_SIGNATURE'],
  log_invalid_update_nullified: [4, 'MISORDERED'],
  log_invalid_update_tombstoned: [2, 'MISORDERED'],
}

const valid = readVectors('plc/valid')
const invalid = readVectors('plc/invalid')

describeVectors('published logs of did:plc', () => {
  it.each(valid)('replays $name with the same CIDs and nullified flags', ({ json }) => {
    const records = recordsOf(json)
    let chain = emptyChain(records[0]?.did ?? '')
    for (const { operation, createdAt } of records) ({ chain } = accept(chain, operation, createdAt))
    expect(chain.links.map((link) => ({ cid: link.operation.cid, nullified: link.nullified }))).toEqual(
      records.map(({ cid, nullified }) => ({ cid, nullified })),
    )
    expect(JSON.parse(renderAuditLog(records))).toEqual(json)
  })

  it.each(valid)('reads from $name the data that its newest operation says', ({ json }) => {
    const records = recordsOf(json)
    const newest = records.findLast((record) => record.nullified === false)
    const stated = newest === undefined ? null : newest.operation.value
    const chain = replay(records)
    const head = headOf(chain)
    const data = head === null ? null : dataOf(head.operation)
    if (stated?.get('type') === 'plc_tombstone') {
      expect(data).toBeNull()
    } else {
      expect(data).toEqual({
        rotationKeys: stated?.get('rotationKeys'),
        verificationMethods: stated?.get('verificationMethods'),
        alsoKnownAs: stated?.get('alsoKnownAs'),
        services: new Map(entries(stated?.get('services')).map(([id, service]) => [id, Object.fromEntries(entries(service))])),
      })
    }
  })

  it.each(invalid)('refuses $name where and because it is invalid', ({ name, json }) => {
    const records = recordsOf(json)
    const [position, code] = REFUSALS[name] ?? []
    let chain = emptyChain(records[0]?.did ?? '')
    const refused = records.findIndex(({ operation, createdAt }) => {
      const { value, verdict } = verdictOf(() => accept(chain, operation, createdAt))
      chain = value?.chain ?? chain
      if (verdict !== null) expect(verdict.code).toBe(code)
      return verdict !== null
    })
    expect(refused).toBe(position)
  })

  it('knows why each invalid log is invalid, and why the late recovery is: by its time alone', () => {
    expect(invalid.map(({ name }) => name)).toEqual(Object.keys(REFUSALS))
    const late = invalid.find(({ name }) => name === 'log_invalid_nullification_too_slow')
    const [genesis, update, recovery] = recordsOf(late?.json)
    if (genesis === undefined || update === undefined || recovery === undefined) throw new Error('three operations')
    const before = replay([genesis, update])
    expect(accept(before, recovery.operation, recovery.createdAt - 1000).nullified).toEqual([1])
    expect(() => applyOperation(before, recovery.operation, recovery.createdAt, 0)).toThrow(`Time lapsed: ${72 * 3_600_000 + 1000}`)
  })
})

function recordsOf(json: unknown): LedgerRecord[] {
  if (!Array.isArray(json)) throw new Error('a log is an array')
  return json.map(parseRecord)
}

function replay(records: readonly LedgerRecord[]): Chain {
  let chain = emptyChain(records[0]?.did ?? '')
  for (const { operation, createdAt } of records) ({ chain } = accept(chain, operation, createdAt))
  return chain
}

function entries(value: CborValue | undefined): [string, CborValue][] {
  return isCborMap(value) ? [...value] : []
}
